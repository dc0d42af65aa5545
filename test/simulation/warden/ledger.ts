/** Owns what really happened in the simulated warden, whatever anyone was told of it: the checkers compare with it. */
import type { SimulatedExec } from "./exec.ts";

export interface LedgerEntry {
  readonly name: string;
  readonly run: string;
  readonly index: number;
  readonly exec: SimulatedExec;
  readonly wardenId: string;
}

export class Ledger {
  readonly executions: LedgerEntry[] = [];
  destroyed = 0;

  of(run: string, index: number): readonly LedgerEntry[] {
    return this.executions.filter((entry) => entry.run === run && entry.index === index);
  }
}
