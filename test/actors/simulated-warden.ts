/**
 * A warden in memory, for what the real one cannot be made to do at will: it outlives systems, keeps what is unacknowledged, can be replaced
 * by another one, and lets a test hold back its answers. Keeps the promises of docs/design/wire.md that the supervisor relies on.
 * Programs: true, exit N, sleep MS [code], print BYTES [chunk], echo TEXT, hang, deaf (ignores SIGTERM), cat, missing, files NAME=TEXT…, ask LINE… (over the tools channel;
 * it prints the answers).
 */
import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { CohortError } from "../../runtime/kernel/error.ts";
import type {
  ExecExit,
  ExecPlan,
  ExecStream,
  GrantEnd,
  GrantInfo,
  GrantPlan,
  ListedSandbox,
  RevokedGrant,
  SandboxInfo,
  SandboxPlan,
  Vm,
  VmEvents,
} from "../../vm/backend.ts";

interface Out {
  bytes: Buffer;
  produced: number;
  acked: number;
  /** On this connection, and on any. */
  sent: number;
  sentMost: number;
  fin: boolean;
  finAcked: boolean;
}

interface SimulatedExec {
  readonly plan: ExecPlan;
  readonly out: Record<ExecStream, Out>;
  /** What the supervisor wrote to the tools channel. */
  toolsIn: Buffer;
  stdin: Buffer;
  stdinFin: boolean;
  ended: { cause: ExecExit["cause"]; code: number; signal: number } | null;
  exit: ExecExit | null;
  wake: () => void;
}

interface Sandbox {
  readonly plan: SandboxPlan;
  readonly uid: number;
  readonly execs: Map<number, SimulatedExec>;
  readonly grants: Map<number, SimulatedGrant>;
  argv: readonly string[];
  dead: boolean;
}

interface SimulatedGrant {
  readonly plan: GrantPlan;
  readonly info: GrantInfo;
  readonly timer: NodeJS.Timeout | undefined;
  end: GrantEnd | null;
}

const emptyOut = (): Out => ({ bytes: Buffer.alloc(0), produced: 0, acked: 0, sent: 0, sentMost: 0, fin: false, finAcked: false });

const streamsOf = ({ plan }: SimulatedExec): readonly ExecStream[] =>
  plan.tools === undefined ? ["stdout", "stderr"] : ["stdout", "stderr", "tools"];

/** What `print BYTES` says: eight digits a line, so that each byte tells its place. */
export function numbered(bytes: number): Buffer {
  const lines: string[] = [];
  for (let line = 0; line * 8 < bytes; line += 1) lines.push(`${String(line).padStart(7, "0")}\n`);
  return Buffer.from(lines.join("")).subarray(0, bytes);
}

export class SimulatedWarden {
  wardenId = randomBytes(8).toString("hex");
  readonly sandboxes = new Map<string, Sandbox>();
  /** `<name>` of every command that was executed, once for each execution. */
  readonly executed: string[] = [];
  destroyed = 0;
  absent = false;
  /** Every change of a deadline that was asked for. */
  readonly deadlines: { readonly name: string; readonly timeoutMs: number }[] = [];
  createDelayMs = 0;
  destroyFails = 0;
  /** What the next revocations find. */
  holders: RevokedGrant = { processesKilled: 0, childKilled: false };
  #events: VmEvents | null = null;
  #connection = 0;
  #uid = 1000;

  /** Every sandbox is gone, as after the death of a warden; the next connection meets another one. */
  replace(): void {
    for (const sandbox of this.sandboxes.values()) this.#end(sandbox, "signaled", 9, false);
    this.sandboxes.clear();
    this.wardenId = randomBytes(8).toString("hex");
    this.disconnect();
  }

  disconnect(): void {
    const events = this.#events;
    this.#events = null;
    this.#connection += 1;
    events?.closed(new CohortError("WARDEN_GONE", { on: "simulated" }));
  }

  readonly connect = async (events: VmEvents): Promise<Vm> => {
    await delay(1);
    if (this.absent) throw new CohortError("WARDEN_ABSENT");
    this.#connection += 1;
    this.#events = events;
    const connection = this.#connection;
    setImmediate(() => this.#resend());
    return this.#vm(connection);
  };

  #vm(connection: number): Vm {
    const ask = async <T>(answer: () => T | Promise<T>): Promise<T> => {
      await delay(this.createDelayMs > 0 ? this.createDelayMs : undefined);
      if (connection !== this.#connection) throw new CohortError("WARDEN_GONE");
      const value = await answer();
      if (connection !== this.#connection) throw new CohortError("WARDEN_GONE");
      return value;
    };
    const tell = (action: () => void): void => {
      if (connection === this.#connection) action();
    };
    return {
      identity: {
        wardenId: this.wardenId,
        binarySha256: "00",
        features: [],
        sandboxesMax: 4000,
        windowBytesMax: 1 << 20,
        memoryBytesTotal: 1 << 30,
      },
      create: (plan) => ask(() => this.#create(plan)),
      exec: (name, plan) => ask(() => this.#exec(name, plan)),
      writeStdin: (name, execId, offset, bytes, fin) => tell(() => this.#stdin(name, execId, offset, bytes, fin)),
      writeTools: (name, execId, offset, bytes) => tell(() => this.#toolsIn(name, execId, offset, bytes)),
      ackOutput: (name, execId, stream, offset) => tell(() => this.#ack(name, execId, stream, offset)),
      ackExit: (name, execId) =>
        tell(() => {
          const execs = this.sandboxes.get(name)?.execs;
          if (execs?.get(execId)?.exit === null) throw new Error(`acknowledged an exit of ${name} that was never sent`);
          // As the real one: everything of the exec is let go of, its id too.
          execs?.delete(execId);
        }),
      setWindow: () => {},
      signal: (name, _execId, signal) => ask(() => this.#signal(this.#alive(name), signal)),
      resize: () => ask(() => {}),
      setDeadline: (name, timeoutMs) => ask(() => void this.deadlines.push({ name: this.#alive(name).plan.name, timeoutMs })),
      freeze: () => ask(() => {}),
      thaw: () => ask(() => {}),
      kill: (name) => ask(() => this.#end(this.#alive(name), "signaled", 9, true)),
      stats: () => ask(() => ({ memoryBytes: 0, memoryPeakBytes: 0, pids: 1, cpuUs: 0, oomKills: 0, pidsRefused: 0, throttledUs: 0 })),
      grant: (name, plan) => ask(() => this.#grant(this.#alive(name), plan)),
      revoke: (name, grantId) => ask(() => this.#revoke(name, grantId, "revoked")),
      probe: () => ask(() => ({ inside: ["uid"], outside: ["uid"] })),
      destroy: (name) =>
        ask(() => {
          if (this.destroyFails > 0) {
            this.destroyFails -= 1;
            throw new CohortError("DEADLINE", { on: "simulated" });
          }
          const sandbox = this.sandboxes.get(name);
          if (sandbox === undefined) return;
          this.#end(sandbox, "signaled", 9, true);
          this.sandboxes.delete(name);
          this.destroyed += 1;
        }),
      list: () => ask(() => this.#list()),
      shutdown: () => ask(() => {}),
      close: () => {
        if (connection !== this.#connection) return;
        this.#connection += 1;
        this.#events = null;
      },
    };
  }

  #alive(name: string): Sandbox {
    const sandbox = this.sandboxes.get(name);
    if (sandbox === undefined) throw new CohortError("WARDEN_REFUSED", { on: `NAME_UNKNOWN: ${name}` });
    if (sandbox.dead) throw new CohortError("WARDEN_REFUSED", { on: `SANDBOX_DEAD: ${name}` });
    return sandbox;
  }

  #create(plan: SandboxPlan): SandboxInfo {
    const known = this.sandboxes.get(plan.name);
    if (plan.mounts.some(({ source }) => source === "/nowhere"))
      throw new CohortError("MOUNT_REFUSED", { on: "MOUNT_SOURCE_UNREADABLE: /nowhere" });
    const sandbox = known ?? { plan, uid: (this.#uid += 1), execs: new Map(), grants: new Map(), argv: [], dead: false };
    this.sandboxes.set(plan.name, sandbox);
    return { name: plan.name, uid: sandbox.uid, initPid: 1, layers: [] };
  }

  #grant(sandbox: Sandbox, plan: GrantPlan): GrantInfo {
    const { name } = sandbox.plan;
    const known = sandbox.grants.get(plan.grantId);
    if (known !== undefined && known.end !== null) throw new CohortError("GRANT_ENDED", { on: `GRANT_ENDED: ${plan.grantId} in ${name}` });
    if (known !== undefined) return known.info;
    if (plan.source === "/nowhere") throw new CohortError("MOUNT_REFUSED", { on: "MOUNT_SOURCE_UNREADABLE: /nowhere" });
    const timer = plan.ttlMs === 0 ? undefined : setTimeout(() => this.#revoke(name, plan.grantId, "expired"), plan.ttlMs);
    const info = { mountId: 100 + plan.grantId, copied: false, copyPartial: false, protectionPartial: false };
    sandbox.grants.set(plan.grantId, { plan, info, timer, end: null });
    return info;
  }

  #revoke(name: string, grantId: number, reason: GrantEnd["reason"]): RevokedGrant {
    const sandbox = this.sandboxes.get(name);
    const grant = sandbox?.grants.get(grantId);
    if (sandbox === undefined || grant === undefined || grant.end !== null) return { processesKilled: 0, childKilled: false };
    clearTimeout(grant.timer);
    const { holders } = this;
    grant.end = { name, grantId, reason, ...holders };
    if (!sandbox.dead) this.#events?.grantEnded(grant.end);
    if (holders.childKilled) this.#end(sandbox, "signaled", 9, true);
    return holders;
  }

  #exec(name: string, plan: ExecPlan): void {
    const sandbox = this.#alive(name);
    if (sandbox.execs.has(plan.execId)) return;
    const exec: SimulatedExec = {
      plan,
      out: { stdout: emptyOut(), stderr: emptyOut(), tools: emptyOut() },
      toolsIn: Buffer.alloc(0),
      stdin: Buffer.alloc(0),
      stdinFin: false,
      ended: null,
      exit: null,
      wake: () => {},
    };
    if (plan.kind === "command" && plan.argv[0] === "missing")
      throw new CohortError("EXEC_FAILED", { on: "missing: No such file or directory" });
    sandbox.execs.set(plan.execId, exec);
    if (plan.execId === 1) sandbox.argv = plan.argv;
    if (plan.kind === "command" && plan.execId < 1000) this.executed.push(name);
    this.#run(sandbox, exec).catch((error: unknown) => this.#events?.notice(name, "program", String(error)));
  }

  async #run(sandbox: Sandbox, exec: SimulatedExec): Promise<void> {
    await delay();
    const code = await this.#work(sandbox, exec);
    this.#finish(sandbox, exec, exec.ended ?? { cause: "exited", code, signal: 0 });
  }

  async #work(sandbox: Sandbox, exec: SimulatedExec): Promise<number> {
    switch (exec.plan.kind) {
      case "command":
        return this.#program(exec);
      case "collect":
        return this.#collect(sandbox, exec);
      case "diff":
        // Nothing was changed.
        await this.#print(exec, "stdout", Buffer.concat([Buffer.from("cohort-diff 1\n"), Buffer.from([0, 0])]));
        return 0;
    }
  }

  async #program(exec: SimulatedExec): Promise<number> {
    const [program = "", first = "", second = ""] = exec.plan.argv;
    switch (program) {
      case "true":
        return 0;
      case "exit":
        return Number(first);
      case "sleep":
        await this.#wait(exec, Number(first));
        return Number(second);
      case "echo":
        await this.#print(exec, "stdout", Buffer.from(`${exec.plan.argv.slice(1).join(" ")}\n`));
        return 0;
      case "env":
        await this.#print(exec, "stdout", Buffer.from(JSON.stringify({ env: exec.plan.env, cwd: exec.plan.cwd })));
        return 0;
      case "print":
        for (
          let position = 0, all = numbered(Number(first));
          position < all.length && exec.ended === null;
          position += Number(second) || 16_384
        ) {
          await this.#print(exec, "stdout", all.subarray(position, position + (Number(second) || 16_384)));
        }
        return 0;
      case "cat":
        while (!exec.stdinFin && exec.ended === null) await this.#wait(exec, 5);
        await this.#print(exec, "stdout", exec.stdin);
        return 0;
      case "ask":
        await this.#print(exec, "tools", Buffer.from(exec.plan.argv.slice(1).join("\n") + "\n"));
        for (let lines = 1; lines < exec.plan.argv.length && exec.ended === null; lines += 1)
          while (exec.toolsIn.toString().split("\n").length <= lines && exec.ended === null) await this.#wait(exec, 5);
        await this.#print(exec, "stdout", exec.toolsIn);
        return 0;
      case "hang":
      case "deaf":
      case "files":
        if (program === "files") return 0;
        while (exec.ended === null) await this.#wait(exec, 60_000);
        return 0;
      default:
        throw new Error(`no such program: ${program}`);
    }
  }

  async #collect(sandbox: Sandbox, exec: SimulatedExec): Promise<number> {
    const { argv } = sandbox;
    const records: Buffer[] = [];
    for (const file of argv[0] === "files" ? argv.slice(1) : []) {
      const [path = "", text = ""] = file.split("=");
      const head = Buffer.alloc(3);
      head.writeUInt8(1, 0);
      head.writeUInt16BE(path.length, 1);
      const tail = Buffer.alloc(12);
      tail.writeUInt32BE(0o644, 0);
      tail.writeBigUInt64BE(BigInt(text.length), 4);
      records.push(head, Buffer.from(path), tail, Buffer.from(text));
    }
    await this.#print(exec, "stdout", Buffer.concat([...records, Buffer.from([0])]));
    return 0;
  }

  #wait(exec: SimulatedExec, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      exec.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #print(exec: SimulatedExec, stream: ExecStream, bytes: Buffer): Promise<void> {
    const out = exec.out[stream];
    for (let position = 0; position < bytes.length && exec.ended === null;) {
      const room = exec.plan.windowBytes - (out.produced - out.acked);
      if (room <= 0) {
        await this.#wait(exec, 1000);
        continue;
      }
      const part = bytes.subarray(position, position + room);
      position += part.length;
      out.bytes = Buffer.concat([out.bytes, part]);
      out.produced += part.length;
      this.#flush(this.#nameOf(exec), exec, stream);
    }
  }

  #nameOf(exec: SimulatedExec): string {
    return [...this.sandboxes].find(([, { execs }]) => execs.get(exec.plan.execId) === exec)?.[0] ?? "";
  }

  #flush(name: string, exec: SimulatedExec, stream: ExecStream): void {
    const out = exec.out[stream];
    if (this.#events === null) return;
    const pending = out.bytes.subarray(out.sent - out.acked);
    for (let position = 0; position < pending.length; position += 32_768) {
      const bytes = pending.subarray(position, position + 32_768);
      this.#send(name, exec.plan.execId, stream, out.sent, bytes, false);
      out.sent += bytes.length;
      out.sentMost = Math.max(out.sentMost, out.sent);
    }
    if (out.fin && !out.finAcked) this.#send(name, exec.plan.execId, stream, out.sent, Buffer.alloc(0), true);
  }

  #send(name: string, execId: number, stream: ExecStream, offset: number, bytes: Buffer, fin: boolean): void {
    if (stream === "tools") this.#events?.tools?.({ name, execId, offset, bytes, fin });
    else this.#events?.output({ name, execId, stream, offset, bytes, fin });
  }

  #ack(name: string, execId: number, stream: ExecStream, offset: number): void {
    const exec = this.sandboxes.get(name)?.execs.get(execId);
    if (exec === undefined) return;
    const out = exec.out[stream];
    if (offset > out.sentMost) throw new Error(`acknowledged ${offset} of ${out.sentMost} bytes of ${name}`);
    if (offset > out.acked) {
      out.bytes = out.bytes.subarray(offset - out.acked);
      out.acked = offset;
      out.sent = Math.max(out.sent, offset);
    }
    if (out.fin && offset === out.produced) out.finAcked = true;
    exec.wake();
  }

  #stdin(name: string, execId: number, offset: number, bytes: Uint8Array, fin: boolean): void {
    const exec = this.sandboxes.get(name)?.execs.get(execId);
    if (exec === undefined) return;
    if (offset > exec.stdin.length) throw new Error(`a gap in stdin of ${name}`);
    exec.stdin = Buffer.concat([exec.stdin, bytes.subarray(exec.stdin.length - offset)]);
    exec.stdinFin ||= fin;
    setImmediate(() => this.#events?.stdinAcked(name, execId, exec.stdin.length));
  }

  #toolsIn(name: string, execId: number, offset: number, bytes: Uint8Array): void {
    const exec = this.sandboxes.get(name)?.execs.get(execId);
    if (exec === undefined) return;
    if (exec.plan.tools === undefined) throw new Error(`${name} has no tools channel`);
    if (offset > exec.toolsIn.length) throw new Error(`a gap in the tools channel of ${name}`);
    exec.toolsIn = Buffer.concat([exec.toolsIn, bytes.subarray(exec.toolsIn.length - offset)]);
    exec.wake();
    setImmediate(() => this.#events?.toolsAcked?.(name, execId, exec.toolsIn.length));
  }

  #signal(sandbox: Sandbox, signal: number): void {
    for (const exec of sandbox.execs.values()) {
      if (exec.ended !== null || exec.exit !== null || exec.plan.argv[0] === "deaf") continue;
      exec.ended = { cause: "signaled", code: 0, signal };
      exec.wake();
    }
  }

  #end(sandbox: Sandbox, cause: ExecExit["cause"], signal: number, tell: boolean): void {
    sandbox.dead = true;
    for (const exec of sandbox.execs.values()) {
      exec.ended ??= { cause, code: 0, signal };
      exec.wake();
      if (tell) this.#finish(sandbox, exec, exec.ended);
    }
  }

  #finish(sandbox: Sandbox, exec: SimulatedExec, end: { cause: ExecExit["cause"]; code: number; signal: number }): void {
    if (exec.exit !== null || this.sandboxes.get(sandbox.plan.name) !== sandbox) return;
    const { name } = sandbox.plan;
    exec.ended ??= end;
    for (const stream of streamsOf(exec)) {
      exec.out[stream].fin = true;
      this.#flush(name, exec, stream);
    }
    exec.exit = {
      ...end,
      name,
      execId: exec.plan.execId,
      oomKilled: false,
      pidsLimitHit: false,
      deadlineHit: false,
      leaseExpired: false,
      outIsEmpty: false,
      full: [],
      wallUs: 1000,
      userUs: 300,
      systemUs: 200,
      maxRssKib: 1024,
      stdoutBytes: exec.out.stdout.produced,
      stderrBytes: exec.out.stderr.produced,
      detail: "",
    };
    this.#events?.exit(exec.exit);
  }

  #list(): ListedSandbox[] {
    return [...this.sandboxes].map(([name, { uid, dead, execs }]) => ({
      name,
      uid,
      state: dead ? "dead" : "alive",
      execs: [...execs].map(([execId, { exit, out }]) => ({
        execId,
        state: exit === null ? "running" : "exited",
        stdout: { acked: out.stdout.acked, produced: out.stdout.produced },
        stderr: { acked: out.stderr.acked, produced: out.stderr.produced },
      })),
    }));
  }

  /** To a new connection: everything unacknowledged, from the acknowledged offset on, then exits. */
  #resend(): void {
    for (const [name, { execs, grants }] of this.sandboxes) {
      for (const exec of execs.values()) {
        for (const stream of streamsOf(exec)) {
          exec.out[stream].sent = exec.out[stream].acked;
          this.#flush(name, exec, stream);
        }
        if (exec.exit !== null) this.#events?.exit(exec.exit);
      }
      for (const { end } of grants.values()) if (end !== null) this.#events?.grantEnded(end);
    }
  }
}
