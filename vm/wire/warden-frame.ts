/** Frames from the warden: decoded strictly, and encoded for a peer that plays the warden. */
import { fullSpaces, type Denial, type ExecExit, type GrantEnd, type SandboxDeath } from "../backend.ts";
import { CohortError } from "../../runtime/kernel/error.ts";
import { FieldReader } from "./field-reader.ts";
import { frameTypes, type StreamNumber, type WardenFrame } from "./frames.ts";

const FEATURES_MAX = 256;
/** Flag of the first of `fullSpaces`. */
const FULL_FIRST = 32;
const streams = [0, 1, 2, 3] as const;
const exitCauses = ["exited", "signaled", "not-started", "sandbox-died", "layer-missing"] as const;
const deathReasons = ["asked", "itself", "deadline", "lease", "oom", "revocation"] as const;
const grantEndReasons = ["revoked", "expired"] as const;

/** Throws FRAME_INVALID for anything that docs/design/wire.md does not allow. */
export function decodeWardenFrame(value: unknown): WardenFrame {
  const reader = new FieldReader(value, "a frame of the warden");
  const frame = readFrame(reader, reader.uint());
  reader.end();
  return frame;
}

function readFrame(reader: FieldReader, type: number): WardenFrame {
  switch (type) {
    case frameTypes.data:
      return {
        type: "data",
        name: reader.name(),
        execId: reader.uint32(),
        stream: readStream(reader),
        offset: reader.uint(),
        bytes: reader.bytes(),
        fin: reader.bool(),
      };
    case frameTypes.ack:
      return { type: "ack", name: reader.name(), execId: reader.uint32(), stream: readStream(reader), offset: reader.uint() };
    case frameTypes.ok:
      return { type: "ok", seq: reader.uint32(), values: readValues(reader) };
    case frameTypes.error:
      return { type: "error", seq: reader.uint32(), code: reader.string(), message: reader.string(), errno: reader.int() };
    case frameTypes.exit:
      return { type: "exit", exit: readExit(reader) };
    case frameTypes.died:
      return { type: "died", death: { name: reader.name(), reason: readChoice(reader, deathReasons), detail: reader.string() } };
    case frameTypes.denied:
      return { type: "denied", denial: readDenial(reader) };
    case frameTypes.grantEnded:
      return { type: "grantEnded", end: readGrantEnd(reader) };
    case frameTypes.event:
      return { type: "event", name: reader.string(), kind: reader.string(), detail: reader.string() };
    case frameTypes.helloOk:
      return readHelloOk(reader);
    default:
      throw new CohortError("FRAME_INVALID", { on: `the warden sent a frame of type ${type}` });
  }
}

function readHelloOk(reader: FieldReader): WardenFrame {
  const version = reader.uint32();
  const wardenId = reader.string();
  const binarySha256 = reader.string();
  const features = reader.strings(FEATURES_MAX);
  const limits = reader.fields();
  const nameMax = limits.uint32();
  const identity = {
    wardenId,
    binarySha256,
    features,
    sandboxesMax: limits.uint32(),
    windowBytesMax: limits.uint(),
    memoryBytesTotal: limits.uint(),
  };
  limits.end();
  return { type: "helloOk", version, nameMax, identity };
}

function readExit(reader: FieldReader): ExecExit {
  const name = reader.name();
  const execId = reader.uint32();
  const cause = readChoice(reader, exitCauses);
  const code = reader.int();
  const signal = reader.int();
  const flags = reader.uint32();
  return {
    name,
    execId,
    cause,
    code,
    signal,
    oomKilled: (flags & 1) !== 0,
    pidsLimitHit: (flags & 2) !== 0,
    deadlineHit: (flags & 4) !== 0,
    leaseExpired: (flags & 8) !== 0,
    outIsEmpty: (flags & 16) !== 0,
    full: fullSpaces.filter((_, at) => (flags & (FULL_FIRST << at)) !== 0),
    wallUs: reader.uint(),
    userUs: reader.uint(),
    systemUs: reader.uint(),
    maxRssKib: reader.uint(),
    stdoutBytes: reader.uint(),
    stderrBytes: reader.uint(),
    detail: reader.string(),
  };
}

function readDenial(reader: FieldReader): Denial {
  return {
    name: reader.name(),
    ordinal: reader.uint32(),
    pid: reader.uint32(),
    program: reader.string(),
    call: reader.string(),
    detail: reader.string(),
    repeated: reader.uint32(),
  };
}

function readGrantEnd(reader: FieldReader): GrantEnd {
  return {
    name: reader.name(),
    grantId: reader.uint32(),
    reason: readChoice(reader, grantEndReasons),
    processesKilled: reader.uint32(),
    childKilled: reader.uint32(1) === 1,
  };
}

function readStream(reader: FieldReader): StreamNumber {
  return streams[reader.uint32(3)] ?? 0;
}

function readValues(reader: FieldReader): readonly unknown[] {
  const values = reader.next();
  if (!Array.isArray(values)) throw new CohortError("FRAME_INVALID", { on: "OK carries no array" });
  return values;
}

function readChoice<T extends string>(reader: FieldReader, choices: readonly T[]): T {
  const choice = choices[reader.uint32(choices.length - 1)];
  if (choice === undefined) throw new CohortError("FRAME_INVALID", { on: "an unknown choice" });
  return choice;
}

/** The array that goes into a frame. Cohort never sends these: they serve peers that stand in for the warden. */
export function wardenFrameFields(frame: WardenFrame): readonly unknown[] {
  switch (frame.type) {
    case "helloOk": {
      const { wardenId, binarySha256, features, sandboxesMax, windowBytesMax, memoryBytesTotal } = frame.identity;
      const limits = [frame.nameMax, sandboxesMax, windowBytesMax, memoryBytesTotal];
      return [frameTypes.helloOk, frame.version, wardenId, binarySha256, features, limits];
    }
    case "ok":
      return [frameTypes.ok, frame.seq, frame.values];
    case "error":
      return [frameTypes.error, frame.seq, frame.code, frame.message, frame.errno];
    case "data":
      return [frameTypes.data, frame.name, frame.execId, frame.stream, frame.offset, frame.bytes, frame.fin];
    case "ack":
      return [frameTypes.ack, frame.name, frame.execId, frame.stream, frame.offset];
    case "exit":
      return exitFields(frame.exit);
    case "died":
      return diedFields(frame.death);
    case "denied": {
      const { name, ordinal, pid, program, call, detail, repeated } = frame.denial;
      return [frameTypes.denied, name, ordinal, pid, program, call, detail, repeated];
    }
    case "grantEnded":
      return grantEndedFields(frame.end);
    case "event":
      return [frameTypes.event, frame.name, frame.kind, frame.detail];
    default:
      return frame satisfies never;
  }
}

function diedFields(death: SandboxDeath): readonly unknown[] {
  return [frameTypes.died, death.name, deathReasons.indexOf(death.reason), death.detail];
}

function grantEndedFields({ name, grantId, reason, processesKilled, childKilled }: GrantEnd): readonly unknown[] {
  return [frameTypes.grantEnded, name, grantId, grantEndReasons.indexOf(reason), processesKilled, childKilled ? 1 : 0];
}

function exitFields(exit: ExecExit): readonly unknown[] {
  const flags =
    (exit.oomKilled ? 1 : 0) |
    (exit.pidsLimitHit ? 2 : 0) |
    (exit.deadlineHit ? 4 : 0) |
    (exit.leaseExpired ? 8 : 0) |
    (exit.outIsEmpty ? 16 : 0) |
    fullSpaces.reduce((bits, space, at) => bits | (exit.full.includes(space) ? FULL_FIRST << at : 0), 0);
  const cause = exitCauses.indexOf(exit.cause);
  const usage = [exit.wallUs, exit.userUs, exit.systemUs, exit.maxRssKib, exit.stdoutBytes, exit.stderrBytes];
  return [frameTypes.exit, exit.name, exit.execId, cause, exit.code, exit.signal, flags, ...usage, exit.detail];
}
