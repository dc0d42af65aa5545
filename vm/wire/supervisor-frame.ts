/** Frames from the supervisor: checked before they are sent, because one that the warden cannot read closes the connection. */
import { CohortError } from "../../runtime/kernel/error.ts";
import { encodeFrame } from "../../runtime/kernel/frame-codec.ts";
import { GRANT_ID_MIN, type ExecPlan, type GrantPlan, type MountMode, type MountPlan, type SandboxPlan } from "../backend.ts";
import { frameTypes, WIRE_FRAME_BYTES_MAX, type SupervisorFrame } from "./frames.ts";

const NAME = /^[a-z][a-z0-9-]{0,62}$/;
const UINT32_MAX = 0xffff_ffff;
const MOUNTS_MAX = 16;
const ENDPOINT_BYTES_MAX = 107;
const NETWORK_NONE = 0;
const NETWORK_PROXIED = 1;
/** In the order of their numbers. */
const diskKinds = ["tmpfs", "ext4"] as const;
const mountModes: Readonly<Record<MountMode, number>> = { ro: 0, rw: 1, staged: 2 };
/** As the wire numbers them. */
const EXEC_KINDS: readonly ExecPlan["kind"][] = ["command", "collect", "diff"];
const FLAG_PTY = 1;
const FLAG_STDIN = 2;
const FLAG_TOOLS = 4;

/** Throws REQUEST_INVALID and names the field. */
export function encodeSupervisorFrame(frame: SupervisorFrame): Buffer {
  const bytes = encodeFrame(supervisorFrameFields(frame));
  if (bytes.length - 4 > WIRE_FRAME_BYTES_MAX) {
    throw new CohortError("REQUEST_INVALID", {
      on: `${frame.type} takes ${bytes.length - 4} bytes, at most ${WIRE_FRAME_BYTES_MAX} are possible`,
    });
  }
  return bytes;
}

function supervisorFrameFields(frame: SupervisorFrame): readonly unknown[] {
  switch (frame.type) {
    case "data":
      return [frameTypes.data, name(frame.name), execId(frame.execId), frame.stream, uint("offset", frame.offset), frame.bytes, frame.fin];
    case "ack":
      return [frameTypes.ack, name(frame.name), execId(frame.execId), frame.stream, uint("offset", frame.offset)];
    case "credit":
      return [frameTypes.credit, name(frame.name), execId(frame.execId), frame.stream, uint("windowBytes", frame.windowBytes)];
    case "exitAck":
      return [frameTypes.exitAck, name(frame.name), execId(frame.execId)];
    case "renew":
      return [frameTypes.renew];
    case "hello":
      return [
        frameTypes.hello,
        frame.version,
        text("supervisorId", frame.supervisorId),
        uint("freezeAfterMs", frame.freezeAfterMs),
        uint("killAfterMs", frame.killAfterMs),
      ];
    case "create":
      return createFields(frame.seq, frame.plan);
    case "exec":
      return execFields(frame.seq, frame.name, frame.plan);
    case "signal":
      return [frameTypes.signal, frame.seq, name(frame.name), uint32("execId", frame.execId), uint32("signal", frame.signal)];
    case "resize":
      return [
        frameTypes.resize,
        frame.seq,
        name(frame.name),
        execId(frame.execId),
        uint32("rows", frame.rows),
        uint32("columns", frame.columns),
      ];
    case "grant":
      return grantFields(frame.seq, frame.name, frame.plan);
    case "revoke":
      return [frameTypes.revoke, frame.seq, name(frame.name), grantId(frame.grantId)];
    case "deadline":
      return [frameTypes.deadline, frame.seq, name(frame.name), uint32("timeoutMs", frame.timeoutMs)];
    case "list":
    case "shutdown":
      return [frameTypes[frame.type], frame.seq];
    case "freeze":
    case "thaw":
    case "kill":
    case "stats":
    case "probe":
    case "destroy":
      return [frameTypes[frame.type], frame.seq, name(frame.name)];
    default:
      return frame satisfies never;
  }
}

function createFields(seq: number, plan: SandboxPlan): readonly unknown[] {
  const { limits, mounts } = plan;
  if (mounts.length > MOUNTS_MAX) throw refused(`${mounts.length} mounts, at most ${MOUNTS_MAX} are possible`);
  return [
    frameTypes.create,
    seq,
    name(plan.name),
    uint("timeoutMs", plan.timeoutMs),
    uint("memoryBytes", limits.memoryBytes),
    uint("diskBytes", limits.diskBytes),
    uint("tmpBytes", limits.tmpBytes),
    uint("diskInodes", limits.diskInodes),
    uint32("pidsMax", limits.pidsMax),
    uint32("cpuPermille", limits.cpuPermille),
    uint32("openFilesMax", limits.openFilesMax),
    plan.network === "none" ? NETWORK_NONE : NETWORK_PROXIED,
    mounts.map(mountFields),
    plan.network === "none" ? "" : endpoint(plan.network.endpoint),
    diskKinds.indexOf(limits.diskKind),
  ];
}

function endpoint(path: string): string {
  if (!path.startsWith("/") || Buffer.byteLength(path) > ENDPOINT_BYTES_MAX) {
    throw refused(`the endpoint ${JSON.stringify(path)} is no absolute path of at most ${ENDPOINT_BYTES_MAX} bytes`);
  }
  return text("endpoint", path);
}

function mountFields(mount: MountPlan): readonly unknown[] {
  const stagedBytes = mount.mode === "staged" ? uint("stagedBytes", mount.stagedBytes) : 0;
  return [text("source of a mount", mount.source), text("target of a mount", mount.target), mountModes[mount.mode], stagedBytes];
}

function grantFields(seq: number, session: string, plan: GrantPlan): readonly unknown[] {
  if (plan.grantId < GRANT_ID_MIN) throw refused(`grantId is ${plan.grantId}, those below ${GRANT_ID_MIN} are the mounts of the creation`);
  return [
    frameTypes.grant,
    seq,
    name(session),
    grantId(plan.grantId),
    text("source of a grant", plan.source),
    text("target of a grant", plan.target),
    mountModes[plan.mode],
    uint("ttlMs", plan.ttlMs),
    uint("stagedBytes", plan.stagedBytes),
  ];
}

function execFields(seq: number, session: string, plan: ExecPlan): readonly unknown[] {
  return [
    frameTypes.exec,
    seq,
    name(session),
    execId(plan.execId),
    EXEC_KINDS.indexOf(plan.kind),
    plan.argv.map((argument) => text("argv", argument)),
    Object.entries(plan.env).map(([key, value]) => text("env", `${key}=${value}`)),
    text("cwd", plan.cwd),
    (plan.pty === null ? 0 : FLAG_PTY) | (plan.stdin === "stream" ? FLAG_STDIN : 0) | (plan.tools === "stream" ? FLAG_TOOLS : 0),
    uint32("rows", plan.pty?.rows ?? 0),
    uint32("columns", plan.pty?.columns ?? 0),
    uint("windowBytes", plan.windowBytes),
  ];
}

function refused(on: string): CohortError {
  return new CohortError("REQUEST_INVALID", { on });
}

function uint(field: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) throw refused(`${field} is ${value}, not an unsigned integer`);
  return value;
}

function uint32(field: string, value: number): number {
  if (uint(field, value) > UINT32_MAX) throw refused(`${field} is ${value}, over 32 bits`);
  return value;
}

function execId(value: number): number {
  if (uint32("execId", value) < 1) throw refused("execId is 0");
  return value;
}

function grantId(value: number): number {
  if (uint32("grantId", value) < 1) throw refused("grantId is 0");
  return value;
}

function name(value: string): string {
  if (!NAME.test(value)) throw refused(`${JSON.stringify(value)} is no session name`);
  return value;
}

/** The warden turns these into C strings, and refuses what is not UTF-8. */
function text(field: string, value: string): string {
  if (value.includes("\0")) throw refused(`${field} contains a NUL`);
  if (!value.isWellFormed()) throw refused(`${field} is not well-formed Unicode`);
  return value;
}
