/** A batch as it travels to the journal's worker: one flat array of cells per table, which is the cheapest to clone. */

import type { FileWrite } from "../contract.ts";

export type Cell = string | number | null;

/** Cells per row of each table, in the order of the statements in store.ts. */
export const ROW_WIDTHS = {
  events: 10,
  actors: 10,
  outbox: 4,
  outboxGone: 1,
  timers: 3,
  timersGone: 2,
  effects: 6,
  effectStates: 2,
  projections: 3,
  projectionsGone: 2,
  logs: 3,
  logHeads: 2,
  counters: 2,
  scopes: 4,
  scopesGone: 1,
} as const;

export type BatchTable = keyof typeof ROW_WIDTHS;

export interface BatchRows {
  /** Highest number given out so far: events, messages and effects draw from one sequence. */
  readonly sequence: number;
  readonly tables: { readonly [T in BatchTable]?: Cell[] };
  readonly files: readonly FileWrite[];
}

export interface CommitAnswer {
  /** Ids of planned effects whose key was used before. */
  readonly duplicates: readonly number[];
}

export type EffectState = "planned" | "started" | "orphaned" | "duplicate" | "done";

export interface ActorRow {
  readonly ref: string;
  readonly kind: string;
  readonly version: number;
  readonly hash: string;
  readonly scope: string;
  readonly parent: string | null;
  readonly inbox_high: number;
  readonly input: string | null;
  readonly snapshot: string;
}

/** All that recovery needs, read once at the opening. */
export interface LoadedState {
  readonly sequence: number;
  readonly actors: readonly ActorRow[];
  readonly ended: readonly string[];
  readonly outbox: readonly { readonly id: number; readonly sender: string; readonly receiver: string; readonly event: string }[];
  readonly timers: readonly { readonly owner: string; readonly name: string; readonly at_ms: number }[];
  readonly effects: readonly {
    readonly id: number;
    readonly owner: string;
    readonly name: string;
    readonly asked_key: string;
    readonly params: string;
    readonly farewell: number;
    readonly state: EffectState;
  }[];
  readonly scopes: readonly {
    readonly name: string;
    readonly parent: string | null;
    readonly mode: "grace" | "kill" | null;
    readonly reason: string;
  }[];
  readonly counters: readonly { readonly name: string; readonly value: number }[];
  readonly logHeads: readonly { readonly log: string; readonly cursor: number }[];
}
