/**
 * Owns a warden in simulated time: its sandboxes, what of their streams is not acknowledged, exit records, the lease, its own death.
 * Does not own: the supervisor, which finds here what docs/design/wire.md promises and not more.
 * 1. It outlives supervisors, and keeps their children under the lease. Its own death takes everything; the next one has another id.
 * 2. Every started program has one exit record, kept until it is acknowledged or its sandbox destroyed.
 * 3. Whatever a supervisor does against the wire's rules is a violation.
 */
import type { Cancel } from "../../../runtime/kernel/environment.ts";
import { CohortError } from "../../../runtime/kernel/error.ts";
import type { SimulatedLife } from "../../../runtime/simulated/simulated-environment.ts";
import type { SeededRandom } from "../../../runtime/simulated/seeded-random.ts";
import type {
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
} from "../../../vm/backend.ts";
import type { Computer } from "../machine/computer.ts";
import { Connection } from "./connection.ts";
import { SimulatedExec } from "./exec.ts";
import { Ledger } from "./ledger.ts";
import { Sandbox, STREAMS } from "./sandbox.ts";
import { stepsOf } from "./script.ts";
import type { Wire } from "./wire.ts";

const LEASE_FREEZE_MS = 60_000;
const LEASE_KILL_MS = 15 * 60_000;
const SIGKILL = 9;
const CHUNK_BYTES_MAX = 32_768;
/** An archive of differences, as docs/design/staged.md has it. */
const NOTHING_CHANGED = Buffer.from("cohort-diff 1\n\0\0");

export class SimulatedWarden {
  readonly ledger = new Ledger();
  readonly sandboxes = new Map<string, Sandbox>();
  readonly computer: Computer;
  readonly random: SeededRandom;
  /** Nobody listens. */
  down = false;
  /** Refusals that are legal at any time: creations, destructions. */
  failures = 0;
  wardenId = "";
  #connection: Connection | null = null;
  /** Of the connection before; what of it is on its way still counts until there is another one. */
  #latest: Wire | null = null;
  stalledUntilMs = 0;
  #lease: Cancel[] = [];
  #uid = 1000;
  #generation = 0;

  constructor(computer: Computer) {
    this.computer = computer;
    this.random = computer.random.fork("warden");
    this.#begin();
  }

  #begin(): void {
    this.#generation++;
    this.wardenId = `warden-${this.#generation}`;
    this.#rearmLease();
  }

  /** With all children; another one listens `ms` later. */
  die(ms: number): void {
    this.computer.trace.add("warden dies");
    for (const sandbox of this.sandboxes.values()) {
      this.sandboxes.delete(sandbox.plan.name);
      sandbox.end(SIGKILL);
    }
    this.down = true;
    this.disconnect();
    this.#latest?.replaced();
    for (const cancel of this.#lease) cancel();
    this.computer.environment.after(ms, () => {
      this.down = false;
      this.#begin();
      this.computer.trace.add("warden begins", this.wardenId);
    });
  }

  /** The connection ends, both sides live. */
  disconnect(): void {
    const connection = this.#connection;
    this.#connection = null;
    connection?.closed();
    this.#rearmLease();
  }

  /** It does nothing for so long. */
  stall(ms: number): void {
    this.stalledUntilMs = this.computer.environment.elapsedMs + ms;
  }

  /** The supervisor's process is gone, and its socket with it. */
  supervisorDied(): void {
    this.#connection?.wire.end();
    this.#connection = null;
    this.#rearmLease();
  }

  closedBy(connection: Connection): void {
    if (this.#connection !== connection) return;
    this.#connection = null;
    this.#rearmLease();
  }

  connect(events: VmEvents, life: SimulatedLife): Promise<Vm> {
    return new Promise((resolve, reject) => {
      const stalledMs = Math.max(0, this.stalledUntilMs - this.computer.environment.elapsedMs);
      life.after(stalledMs + 0.5 + this.random.next() * 2, () => {
        if (this.down) return reject(new CohortError("WARDEN_ABSENT", { on: "simulated" }));
        this.#latest?.replaced();
        this.#connection?.closed();
        const connection = new Connection(this, events, life);
        this.#connection = connection;
        this.#latest = connection.wire;
        for (const cancel of this.#lease) cancel();
        for (const sandbox of this.sandboxes.values()) sandbox.freeze(false);
        this.computer.trace.add("warden connected", this.wardenId);
        this.#resend();
        resolve(connection.vm());
      });
    });
  }

  #rearmLease(): void {
    for (const cancel of this.#lease) cancel();
    const { environment } = this.computer;
    this.#lease = [
      environment.after(LEASE_FREEZE_MS, () => {
        for (const sandbox of this.sandboxes.values()) sandbox.freeze(true);
      }),
      environment.after(LEASE_KILL_MS, () => this.#expire()),
    ];
  }

  #expire(): void {
    this.computer.trace.add("lease expires");
    for (const sandbox of this.sandboxes.values()) {
      sandbox.leaseExpired = true;
      sandbox.end(SIGKILL);
    }
  }

  alive(name: string): Sandbox {
    const sandbox = this.sandboxes.get(name);
    if (sandbox === undefined) throw new CohortError("WARDEN_REFUSED", { on: `NAME_UNKNOWN: ${name}` });
    if (sandbox.state === "dead") throw new CohortError("WARDEN_REFUSED", { on: `SANDBOX_DEAD: ${name}` });
    return sandbox;
  }

  /** `done` when it stands. */
  create(plan: SandboxPlan, done: (built: SandboxInfo | CohortError) => void): void {
    const known = this.sandboxes.get(plan.name);
    if (known === undefined && this.failures > 0) {
      this.failures--;
      return done(new CohortError("WARDEN_REFUSED", { on: "SETUP_FAILED: simulated" }));
    }
    const sandbox = known ?? new Sandbox(plan, ++this.#uid);
    const info = { name: plan.name, uid: sandbox.uid, initPid: 1, layers: [] };
    if (known !== undefined && known.state !== "building") return done(info);
    this.sandboxes.set(plan.name, sandbox);
    const dead = new CohortError("WARDEN_REFUSED", { on: `SANDBOX_DEAD: ${plan.name}` });
    sandbox.whenBuilt.push(() => done(sandbox.state === "dead" ? dead : info));
    if (known === undefined) this.computer.environment.after(1 + this.random.next() * 20, () => this.#built(sandbox));
  }

  #built(sandbox: Sandbox): void {
    if (sandbox.state !== "building") return;
    sandbox.state = "alive";
    this.setDeadline(sandbox, sandbox.plan.timeoutMs);
    for (const work of sandbox.whenBuilt.splice(0)) work();
  }

  setDeadline(sandbox: Sandbox, timeoutMs: number): void {
    sandbox.deadline();
    sandbox.deadline = () => {};
    if (timeoutMs === 0) return;
    sandbox.deadline = this.computer.environment.after(timeoutMs, () => {
      if (sandbox.state === "dead") return;
      sandbox.deadlineHit = true;
      sandbox.end(SIGKILL);
    });
  }

  exec(name: string, plan: ExecPlan, done: (refusal: CohortError | null) => void): void {
    const sandbox = this.alive(name);
    if (sandbox.state === "building") {
      sandbox.whenBuilt.push(() => {
        try {
          this.exec(name, plan, done);
        } catch (error) {
          done(error as CohortError);
        }
      });
      return;
    }
    if (sandbox.execs.has(plan.execId)) return done(null);
    if (plan.kind === "command" && plan.argv[0] === "missing")
      return done(new CohortError("EXEC_FAILED", { on: "missing: No such file or directory" }));
    this.#start(sandbox, plan);
    done(null);
  }

  #start(sandbox: Sandbox, plan: ExecPlan): void {
    const { name } = sandbox.plan;
    const { COHORT_RUN: run = "", COHORT_TASK: task = "" } = plan.env;
    const isTask = plan.kind === "command" && plan.execId === 1;
    const execution = isTask ? this.ledger.of(run, Number(task)).length + 1 : 1;
    const salt = Buffer.from(name).reduce((sum, letter) => (sum * 31 + letter) % 9973, 7);
    const steps = plan.kind === "command" ? stepsOf(plan.argv) : [];
    const exec: SimulatedExec = new SimulatedExec({ plan, steps, execution, salt }, this.computer.environment, this.random.fork(name), {
      wrote: (stream) => this.#flush(sandbox, exec, stream),
      ended: () => this.#ended(sandbox, exec),
      stdinTaken: (bytes) => this.#connection?.tell("stdin acked", (events) => events.stdinAcked(name, plan.execId, bytes)),
      wroteFile: (file, bytes) => sandbox.files.set(file, bytes),
    });
    sandbox.execs.set(plan.execId, exec);
    if (isTask) this.ledger.executions.push({ name, run, index: Number(task), exec, wardenId: this.wardenId });
    this.computer.trace.add("executed", `${name} ${plan.execId} ${plan.kind}`);
    if (plan.kind === "collect") return this.#collect(sandbox, exec);
    if (plan.kind === "diff") return this.#tellAll(sandbox, exec, NOTHING_CHANGED);
    exec.freeze(sandbox.state === "frozen");
  }

  /** First it kills every other program. */
  #collect(sandbox: Sandbox, exec: SimulatedExec): void {
    for (const other of sandbox.execs.values()) if (other !== exec) other.kill(SIGKILL);
    this.#tellAll(sandbox, exec, sandbox.archive());
  }

  #tellAll(sandbox: Sandbox, exec: SimulatedExec, bytes: Buffer): void {
    exec.out.stdout.all = bytes;
    this.#flush(sandbox, exec, "stdout");
    exec.end({ cause: "exited", code: 0, signal: 0 });
  }

  #ended(sandbox: Sandbox, exec: SimulatedExec): void {
    const { environment } = this.computer;
    const finish = (): void => {
      if (exec.exit !== null || exec.ending === null || this.sandboxes.get(sandbox.plan.name) !== sandbox) return;
      for (const stream of STREAMS) {
        if (stream === "tools" && exec.facts.plan.tools === undefined) continue;
        exec.out[stream].fin = true;
        this.#flush(sandbox, exec, stream);
      }
      exec.exit = sandbox.exitOf(exec.facts.plan.execId, exec, exec.ending);
      this.#tellExit(exec);
    };
    // Its streams are drained a moment later.
    environment.after(this.random.next() * 2, finish);
  }

  #tellExit(exec: SimulatedExec): void {
    const { exit } = exec;
    if (exit === null) return;
    exec.exitSent = true;
    this.#connection?.tell("exit", (events) => events.exit(exit));
  }

  #flush({ plan: { name } }: Sandbox, exec: SimulatedExec, stream: ExecStream): void {
    const connection = this.#connection;
    if (connection === null) return;
    const out = exec.out[stream];
    const { execId } = exec.facts.plan;
    const send = (offset: number, bytes: Buffer, fin: boolean): void => {
      const chunk = { name, execId, offset, bytes, fin };
      if (stream === "tools") connection.tell("tools", (events) => events.tools?.(chunk));
      else connection.tell("output", (events) => events.output({ ...chunk, stream }));
    };
    while (out.sent < out.all.length) {
      const bytes = out.all.subarray(out.sent, out.sent + CHUNK_BYTES_MAX);
      send(out.sent, bytes, false);
      out.sent += bytes.length;
      out.sentMost = Math.max(out.sentMost, out.sent);
    }
    if (out.fin && !out.finAcked) send(out.sent, Buffer.alloc(0), true);
  }

  ack(name: string, execId: number, stream: ExecStream, offset: number): void {
    const exec = this.sandboxes.get(name)?.execs.get(execId);
    if (exec === undefined) return;
    const out = exec.out[stream];
    if (offset > out.sentMost) this.computer.violate(`${stream} of ${name} is acknowledged to ${offset}, ${out.sentMost} were sent`);
    out.acked = Math.max(out.acked, offset);
    out.sent = Math.max(out.sent, out.acked);
    if (out.fin && out.acked === out.all.length) out.finAcked = true;
    exec.wake();
  }

  ackExit(name: string, execId: number): void {
    const sandbox = this.sandboxes.get(name);
    const exec = sandbox?.execs.get(execId);
    if (sandbox === undefined || exec === undefined) return;
    if (exec.exit === null) this.computer.violate(`an exit of ${name} is acknowledged before there is one`);
    if (execId === 1) this.#checkAcknowledged(name, exec);
    sandbox.execs.delete(execId);
  }

  /** What it wrote is let go of with its exit. */
  #checkAcknowledged(name: string, exec: SimulatedExec): void {
    for (const stream of ["stdout", "stderr"] as const) {
      const { acked, all } = exec.out[stream];
      if (acked < all.length)
        this.computer.violate(`the exit of ${name} is taken while its ${stream} is acknowledged to ${acked} of ${all.length}`);
    }
  }

  stdin(name: string, execId: number, offset: number, bytes: Uint8Array, fin: boolean): void {
    const exec = this.sandboxes.get(name)?.execs.get(execId);
    if (exec === undefined) return;
    if (offset > exec.stdin.length) return this.computer.violate(`a gap in stdin of ${name}`);
    exec.stdin = Buffer.concat([exec.stdin, bytes.subarray(exec.stdin.length - offset)]);
    exec.stdinFin ||= fin;
    exec.wake();
  }

  toolsIn(name: string, execId: number, offset: number, bytes: Uint8Array): void {
    const exec = this.sandboxes.get(name)?.execs.get(execId);
    if (exec === undefined) return;
    if (offset > exec.toolsIn.length) return this.computer.violate(`a gap in the tools channel of ${name}`);
    exec.toolsIn = Buffer.concat([exec.toolsIn, bytes.subarray(exec.toolsIn.length - offset)]);
    exec.wake();
    this.#tellToolsTaken(name, execId, exec);
    exec.wake();
  }

  #tellToolsTaken(name: string, execId: number, { toolsIn: { length } }: SimulatedExec): void {
    this.#connection?.tell("tools acked", (events) => events.toolsAcked?.(name, execId, length));
  }

  signal(name: string, execId: number, signal: number): void {
    for (const [id, exec] of this.alive(name).execs) if (execId === 0 || id === execId) exec.kill(signal);
  }

  kill(name: string): void {
    this.alive(name).end(SIGKILL);
    this.#connection?.tell("died", (events) => events.died({ name, reason: "asked", detail: "" }));
  }

  destroy(name: string, done: (refusal: CohortError | null) => void): void {
    if (this.sandboxes.has(name) && this.failures > 0) {
      this.failures--;
      return done(new CohortError("DEADLINE", { on: "simulated" }));
    }
    const sandbox = this.sandboxes.get(name);
    sandbox?.end(SIGKILL);
    this.computer.environment.after(0.5 + this.random.next() * 10, () => {
      if (sandbox !== undefined && this.sandboxes.get(name) === sandbox) {
        this.sandboxes.delete(name);
        this.ledger.destroyed++;
      }
      done(null);
    });
  }

  grant(name: string, plan: GrantPlan): GrantInfo {
    const sandbox = this.alive(name);
    const known = sandbox.grants.get(plan.grantId);
    if (sandbox.revokedBefore.has(plan.grantId) || (known !== undefined && known.end !== null))
      throw new CohortError("GRANT_ENDED", { on: `GRANT_ENDED: ${plan.grantId} in ${name}` });
    if (known !== undefined) return known.info;
    if ([...sandbox.grants.values()].some((other) => other.end === null && other.plan.target === plan.target))
      throw new CohortError("MOUNT_REFUSED", { on: `MOUNT_TARGET_INVALID: ${plan.target} is taken` });
    const expire = (): void => void this.revoke(name, plan.grantId, "expired");
    const expiry = plan.ttlMs === 0 ? (): void => {} : this.computer.environment.after(plan.ttlMs, expire);
    const info = { mountId: 100 + plan.grantId, copied: false, copyPartial: false, protectionPartial: false };
    sandbox.grants.set(plan.grantId, { plan, info, expiry, end: null });
    return info;
  }

  revoke(name: string, grantId: number, reason: GrantEnd["reason"]): RevokedGrant {
    const sandbox = this.sandboxes.get(name);
    const grant = sandbox?.grants.get(grantId);
    const nothing = { processesKilled: 0, childKilled: false };
    // One that overtakes its grant counts.
    if (grant === undefined) sandbox?.revokedBefore.add(grantId);
    if (sandbox === undefined || grant === undefined || grant.end !== null) return nothing;
    grant.expiry();
    const found = { processesKilled: this.random.below(2), childKilled: this.random.chance(0.1) };
    grant.end = { name, grantId, reason, ...found };
    this.#tellGrantEnd(grant.end);
    if (found.childKilled) sandbox.end(SIGKILL);
    return found;
  }

  #tellGrantEnd(end: GrantEnd): void {
    this.#connection?.tell("grant ended", (events) => events.grantEnded(end));
  }

  list(): readonly ListedSandbox[] {
    return [...this.sandboxes].map(([name, { uid, state, execs }]) => ({
      name,
      uid,
      state: state === "building" ? "alive" : state,
      execs: [...execs].map(([execId, { exit, out }]) => ({
        execId,
        state: exit === null ? "running" : "exited",
        stdout: { acked: out.stdout.acked, produced: out.stdout.all.length },
        stderr: { acked: out.stderr.acked, produced: out.stderr.all.length },
      })),
    }));
  }

  /** To a new connection: everything unacknowledged, from the acknowledged offset on. */
  #resend(): void {
    for (const sandbox of this.sandboxes.values()) {
      for (const [execId, exec] of sandbox.execs) {
        exec.exitSent = false;
        if (exec.facts.plan.tools !== undefined) this.#tellToolsTaken(sandbox.plan.name, execId, exec);
        for (const stream of STREAMS) {
          exec.out[stream].sent = exec.out[stream].acked;
          this.#flush(sandbox, exec, stream);
        }
      }
    }
  }

  /** Behind the answer of a list. */
  listed(): void {
    for (const { execs, grants } of this.sandboxes.values()) {
      for (const exec of execs.values()) if (exec.exit !== null && !exec.exitSent) this.#tellExit(exec);
      for (const { end } of grants.values()) if (end !== null) this.#tellGrantEnd(end);
    }
  }
}
