/**
 * Owns one connection of this supervisor to a warden on this machine: its requests, its lease, and the events that come over it.
 * Does not own sandboxes (they outlive the connection), nor the offsets of streams (the caller keeps them), nor reconnecting.
 *
 * 1. No event is delivered before the caller has had a turn with the Vm that connectWarden resolved to.
 * 2. Events are delivered in the order of the wire; a handler that throws ends the connection.
 * 3. `closed` comes once, last, and not after the caller's own close().
 * 4. Frames without an answer (acks, input, exit acks, credit) that come after the end are dropped: the next connection resends from
 *    the acknowledged offsets, so they have nothing left to do.
 */
import { CohortError } from "../../runtime/kernel/error.ts";
import type {
  ExecPlan,
  ExecStream,
  GrantInfo,
  GrantPlan,
  RevokedGrant,
  SandboxInfo,
  SandboxPlan,
  SandboxStats,
  Vm,
  VmConnectOptions,
  VmEvents,
  VmIdentity,
} from "../backend.ts";
import * as answers from "../wire/answers.ts";
import { WIRE_VERSION, type NamedRequest, type StreamNumber, type SupervisorFrame, type WardenFrame } from "../wire/frames.ts";
import { encodeSupervisorFrame } from "../wire/supervisor-frame.ts";
import { wardenError } from "../wire/warden-error.ts";
import { decodeWardenFrame } from "../wire/warden-frame.ts";
import { FrameSocket } from "./frame-socket.ts";
import { PendingRequests } from "./pending-requests.ts";

/** An exec may wait behind the creation of its sandbox, so both have the longer deadline. */
const CREATE_DEADLINE_MS = 15_000;
const REQUEST_DEADLINE_MS = 10_000;
/** The warden copies a source that cannot be idmapped for at most 30 s, and ends a revocation within 10. */
const GRANT_DEADLINE_MS = 45_000;
const REVOKE_DEADLINE_MS = 20_000;
/** Far below the frame limit, so that other frames get in between. */
const INPUT_FRAME_BYTES_MAX = 64 * 1024;
/** Three renewals fit into the lease, so that one late tick freezes nothing. */
const RENEWALS_PER_LEASE = 3;
const RENEW_MS_MIN = 20;

/**
 * Connects and says hello.
 * Rejects with WARDEN_ABSENT (nobody listens), WARDEN_REFUSED (another person's, another version), DEADLINE, or FRAME_INVALID.
 */
export async function connectWarden(socketPath: string, options: VmConnectOptions, events: VmEvents): Promise<Vm> {
  const hello = new Hello();
  let connection: WardenConnection | null = null;
  const socket = await FrameSocket.connect(socketPath, {
    onFrame: (value) => {
      const frame = decodeWardenFrame(value);
      if (connection !== null) return connection.receive(frame);
      connection = new WardenConnection(socket, hello.accept(frame), events);
      // Invariant 1: what follows in the same read waits until the caller has run.
      socket.hold();
      setImmediate(() => socket.release());
      hello.resolve(connection);
    },
    onClosed: (reason) => {
      if (connection === null) hello.reject(reason);
      else connection.end(reason);
    },
  });
  const timer = setTimeout(() => {
    socket.fail(new CohortError("DEADLINE", { on: `the warden at ${socketPath} did not say hello within ${REQUEST_DEADLINE_MS} ms` }));
  }, REQUEST_DEADLINE_MS);
  try {
    const { supervisorId, freezeAfterMs, killAfterMs } = options;
    socket.send(encodeSupervisorFrame({ type: "hello", version: WIRE_VERSION, supervisorId, freezeAfterMs, killAfterMs }));
    const connected = await hello.promise;
    connected.renewEvery(Math.max(RENEW_MS_MIN, Math.floor(freezeAfterMs / RENEWALS_PER_LEASE)));
    return connected;
  } catch (error) {
    socket.close();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** The first frame of the warden decides. */
class Hello {
  readonly #resolvers = Promise.withResolvers<WardenConnection>();

  get promise(): Promise<WardenConnection> {
    return this.#resolvers.promise;
  }

  accept(frame: WardenFrame): VmIdentity {
    if (frame.type === "error") throw wardenError(frame.code, frame.message);
    if (frame.type !== "helloOk") throw new CohortError("FRAME_INVALID", { on: `${frame.type} before hello` });
    if (frame.version !== WIRE_VERSION) throw wardenError("BAD_VERSION", `it speaks ${frame.version}, this is ${WIRE_VERSION}`);
    return frame.identity;
  }

  resolve(connection: WardenConnection): void {
    this.#resolvers.resolve(connection);
  }

  reject(reason: Error): void {
    this.#resolvers.reject(reason);
  }
}

class WardenConnection implements Vm {
  readonly identity: VmIdentity;
  readonly #socket: FrameSocket;
  readonly #events: VmEvents;
  readonly #requests = new PendingRequests();
  #renewal: NodeJS.Timeout | undefined;

  constructor(socket: FrameSocket, identity: VmIdentity, events: VmEvents) {
    this.#socket = socket;
    this.identity = identity;
    this.#events = events;
  }

  renewEvery(intervalMs: number): void {
    this.#renewal = setInterval(() => this.#tell({ type: "renew" }), intervalMs);
  }

  receive(frame: WardenFrame): void {
    switch (frame.type) {
      case "data":
        return this.#output(frame.stream, frame);
      case "ack":
        return this.#acked(frame.stream, frame.name, frame.execId, frame.offset);
      case "ok":
        if (!this.#requests.answer(frame.seq, frame.values)) this.#late(frame.seq, "OK");
        return;
      case "error":
        if (!this.#requests.refuse(frame.seq, wardenError(frame.code, frame.message)))
          this.#late(frame.seq, `${frame.code}: ${frame.message}`);
        return;
      case "exit":
        return this.#events.exit(frame.exit);
      case "died":
        return this.#events.died(frame.death);
      case "denied":
        return this.#events.denied(frame.denial);
      case "grantEnded":
        return this.#events.grantEnded(frame.end);
      case "event":
        return this.#events.notice(frame.name, frame.kind, frame.detail);
      case "helloOk":
        throw new CohortError("FRAME_INVALID", { on: "a second hello" });
      default:
        return frame satisfies never;
    }
  }

  end(reason: Error): void {
    clearInterval(this.#renewal);
    this.#requests.end(new CohortError("WARDEN_GONE", { on: reason.message, cause: reason }));
    this.#events.closed(reason);
  }

  async create(plan: SandboxPlan): Promise<SandboxInfo> {
    const values = await this.#ask(`CREATE ${plan.name}`, CREATE_DEADLINE_MS, (seq) => ({ type: "create", seq, plan }));
    return answers.readSandboxInfo(plan.name, values);
  }

  async exec(name: string, plan: ExecPlan): Promise<void> {
    const what = `EXEC ${plan.execId} in ${name}`;
    answers.readNothing(await this.#ask(what, CREATE_DEADLINE_MS, (seq) => ({ type: "exec", seq, name, plan })));
  }

  writeStdin(name: string, execId: number, offset: number, bytes: Uint8Array, fin: boolean): void {
    this.#write(0, name, execId, offset, bytes, fin);
  }

  writeTools(name: string, execId: number, offset: number, bytes: Uint8Array, fin: boolean): void {
    this.#write(3, name, execId, offset, bytes, fin);
  }

  #write(stream: 0 | 3, name: string, execId: number, offset: number, bytes: Uint8Array, fin: boolean): void {
    let position = 0;
    do {
      const part = bytes.subarray(position, position + INPUT_FRAME_BYTES_MAX);
      const last = position + part.length >= bytes.length;
      this.#tell({ type: "data", name, execId, stream, offset: offset + position, bytes: part, fin: fin && last });
      position += part.length;
    } while (position < bytes.length);
  }

  ackOutput(name: string, execId: number, stream: ExecStream, offset: number): void {
    this.#tell({ type: "ack", name, execId, stream: streamNumber(stream), offset });
  }

  ackExit(name: string, execId: number): void {
    this.#tell({ type: "exitAck", name, execId });
  }

  setWindow(name: string, execId: number, stream: ExecStream, windowBytes: number): void {
    this.#tell({ type: "credit", name, execId, stream: streamNumber(stream), windowBytes });
  }

  async signal(name: string, execId: number, signal: number): Promise<void> {
    answers.readNothing(await this.#ask(`SIGNAL ${name}`, REQUEST_DEADLINE_MS, (seq) => ({ type: "signal", seq, name, execId, signal })));
  }

  async resize(name: string, execId: number, rows: number, columns: number): Promise<void> {
    answers.readNothing(
      await this.#ask(`RESIZE ${name}`, REQUEST_DEADLINE_MS, (seq) => ({ type: "resize", seq, name, execId, rows, columns })),
    );
  }

  async freeze(name: string): Promise<void> {
    answers.readNothing(await this.#askNamed("freeze", name));
  }

  async thaw(name: string): Promise<void> {
    answers.readNothing(await this.#askNamed("thaw", name));
  }

  async kill(name: string): Promise<void> {
    answers.readNothing(await this.#askNamed("kill", name));
  }

  async setDeadline(name: string, timeoutMs: number): Promise<void> {
    answers.readNothing(await this.#ask(`DEADLINE ${name}`, REQUEST_DEADLINE_MS, (seq) => ({ type: "deadline", seq, name, timeoutMs })));
  }

  async grant(name: string, plan: GrantPlan): Promise<GrantInfo> {
    const what = `GRANT ${plan.grantId} in ${name}`;
    return answers.readGrantInfo(await this.#ask(what, GRANT_DEADLINE_MS, (seq) => ({ type: "grant", seq, name, plan })));
  }

  async revoke(name: string, grantId: number): Promise<RevokedGrant> {
    const what = `REVOKE ${grantId} in ${name}`;
    return answers.readRevoked(await this.#ask(what, REVOKE_DEADLINE_MS, (seq) => ({ type: "revoke", seq, name, grantId })));
  }

  async stats(name: string): Promise<SandboxStats> {
    return answers.readStats(await this.#askNamed("stats", name));
  }

  async probe(name: string): Promise<{ readonly inside: readonly string[]; readonly outside: readonly string[] }> {
    return answers.readProbe(await this.#askNamed("probe", name));
  }

  async destroy(name: string): Promise<void> {
    answers.readDestroyed(name, await this.#askNamed("destroy", name));
  }

  async list(): ReturnType<Vm["list"]> {
    return answers.readListing(await this.#ask("LIST", REQUEST_DEADLINE_MS, (seq) => ({ type: "list", seq })));
  }

  async shutdown(): Promise<void> {
    answers.readNothing(await this.#ask("SHUTDOWN", REQUEST_DEADLINE_MS, (seq) => ({ type: "shutdown", seq })));
  }

  close(): void {
    clearInterval(this.#renewal);
    this.#socket.close();
    this.#requests.end(new CohortError("WARDEN_GONE", { on: "this side closed the connection" }));
  }

  #askNamed(type: NamedRequest, name: string): Promise<readonly unknown[]> {
    return this.#ask(`${type.toUpperCase()} ${name}`, REQUEST_DEADLINE_MS, (seq) => ({ type, seq, name }));
  }

  #ask(what: string, deadlineMs: number, frame: (seq: number) => SupervisorFrame): Promise<readonly unknown[]> {
    return this.#requests.ask(what, deadlineMs, (seq) => this.#tell(frame(seq)));
  }

  #tell(frame: SupervisorFrame): void {
    if (this.#socket.open) this.#socket.send(encodeSupervisorFrame(frame));
  }

  #output(stream: StreamNumber, frame: Extract<WardenFrame, { type: "data" }>): void {
    if (stream === 0) throw new CohortError("FRAME_INVALID", { on: "the warden sent stdin" });
    const { name, execId, offset, bytes, fin } = frame;
    if (stream === 3) return this.#events.tools?.({ name, execId, offset, bytes, fin });
    this.#events.output({ name, execId, stream: stream === 1 ? "stdout" : "stderr", offset, bytes, fin });
  }

  #acked(stream: StreamNumber, name: string, execId: number, offset: number): void {
    if (stream === 0) return this.#events.stdinAcked(name, execId, offset);
    if (stream === 3) return this.#events.toolsAcked?.(name, execId, offset);
    throw new CohortError("FRAME_INVALID", { on: "the warden acknowledged output" });
  }

  #late(seq: number, answer: string): void {
    if (seq === 0) throw wardenError("BAD_FRAME", answer);
    this.#events.notice("", "late-answer", `${answer} came after its deadline (seq ${seq})`);
  }
}

function streamNumber(stream: ExecStream): StreamNumber {
  return stream === "stdout" ? 1 : stream === "stderr" ? 2 : 3;
}
