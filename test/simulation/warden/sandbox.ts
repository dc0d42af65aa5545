/**
 * Owns one simulated sandbox: its programs, its grants, its deadline, what its child left in ~/out.
 * Does not own: the connection, other sandboxes.
 */
import type { Cancel } from "../../../runtime/kernel/environment.ts";
import type { ExecExit, ExecStream, GrantEnd, GrantInfo, GrantPlan, SandboxPlan } from "../../../vm/backend.ts";
import type { Ending, SimulatedExec } from "./exec.ts";

export interface SimulatedGrant {
  readonly plan: GrantPlan;
  readonly info: GrantInfo;
  expiry: Cancel;
  end: GrantEnd | null;
}

export class Sandbox {
  readonly plan: SandboxPlan;
  readonly uid: number;
  readonly execs = new Map<number, SimulatedExec>();
  readonly grants = new Map<number, SimulatedGrant>();
  /** Ids of grants that had not come when they were revoked. */
  readonly revokedBefore = new Set<number>();
  /** In ~/out. */
  readonly files = new Map<string, Buffer>();
  state: "building" | "alive" | "frozen" | "dead" = "building";
  /** Asked for while it was being built. */
  readonly whenBuilt: (() => void)[] = [];
  deadline: Cancel = () => {};
  deadlineHit = false;
  leaseExpired = false;

  constructor(plan: SandboxPlan, uid: number) {
    this.plan = plan;
    this.uid = uid;
  }

  freeze(frozen: boolean): void {
    if (this.state !== "alive" && this.state !== "frozen") return;
    this.state = frozen ? "frozen" : "alive";
    for (const exec of this.execs.values()) exec.freeze(frozen);
  }

  /** Every program ends with it. */
  end(signal: number): void {
    if (this.state === "dead") return;
    this.state = "dead";
    this.deadline();
    // Who asked for it hears that there is none.
    for (const work of this.whenBuilt.splice(0)) work();
    for (const grant of this.grants.values()) grant.expiry();
    const cause = this.deadlineHit || this.leaseExpired ? "signaled" : "sandbox-died";
    for (const exec of this.execs.values()) exec.end({ cause, code: 0, signal: cause === "signaled" ? signal : 0 });
  }

  exitOf(execId: number, exec: SimulatedExec, ending: Ending): ExecExit {
    return {
      ...ending,
      name: this.plan.name,
      execId,
      oomKilled: false,
      pidsLimitHit: false,
      deadlineHit: this.deadlineHit,
      leaseExpired: this.leaseExpired,
      outIsEmpty: this.files.size === 0,
      full: [],
      wallUs: 1000,
      userUs: 300,
      systemUs: 200,
      maxRssKib: 1024,
      stdoutBytes: exec.out.stdout.all.length,
      stderrBytes: exec.out.stderr.all.length,
      detail: "",
    };
  }

  /** As docs/design/wire.md has it: what `collect` writes. */
  archive(): Buffer {
    const records: Buffer[] = [];
    for (const [name, bytes] of this.files) {
      const head = Buffer.alloc(3);
      head.writeUInt8(1, 0);
      head.writeUInt16BE(name.length, 1);
      const facts = Buffer.alloc(12);
      facts.writeUInt32BE(0o644, 0);
      facts.writeBigUInt64BE(BigInt(bytes.length), 4);
      records.push(head, Buffer.from(name), facts, bytes);
    }
    return Buffer.concat([...records, Buffer.from([0])]);
  }
}

export const STREAMS: readonly ExecStream[] = ["stdout", "stderr", "tools"];
