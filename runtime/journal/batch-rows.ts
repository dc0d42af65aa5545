/** A batch as it travels to the journal's worker: one flat array of cells per table, which is the cheapest to clone. */

import type { FileWrite } from "../contract.ts";

export type Cell = string | number | null;

/** Cells per row of each table, in the order of the statements in store.ts. */
export const ROW_WIDTHS = {
  events: 10,
  actors: 16,
  actorStates: 6,
  outbox: 4,
  outboxGone: 1,
  timers: 3,
  timersGone: 2,
  effects: 7,
  effectStates: 2,
  projections: 3,
  projectionsGone: 2,
  logs: 3,
  logHeads: 2,
  counters: 2,
  scopes: 5,
  scopesGone: 1,
  erasures: 3,
  erasuresGone: 1,
} as const;

export type BatchTable = keyof typeof ROW_WIDTHS;

export interface BatchRows {
  /** Of the journal when it was written; absent in format 2 and before, whose rows were shorter (see old-batch.ts). */
  readonly format?: number;
  /** By chance, from whoever hands the batch to the store: the salts of its events follow from it. */
  readonly chance?: string;
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

/**
 * restarting: waits for its next incarnation. stopped: its supervisor is to be restarted, and may spawn it again.
 * The others have ended: done by a final state, cancelled by one in a cancelled scope or because it was stopped, escalated as a supervisor that gave up.
 */
export type ActorStatus = "active" | "restarting" | "stopped" | "done" | "failed" | "cancelled" | "escalated";

export interface ActorRow {
  readonly ref: string;
  readonly kind: string;
  readonly version: number;
  readonly hash: string;
  readonly scope: string;
  readonly parent: string | null;
  readonly restart: "permanent" | "transient" | "temporary";
  readonly spawn_seq: number;
  readonly incarnation: number;
  readonly started_seq: number;
  readonly status: ActorStatus;
  readonly inbox_high: number;
  readonly control_high: number;
  readonly restarts: string | null;
  readonly input: string | null;
  readonly snapshot: string;
}

/** A message that was sent and is not consumed. */
export interface OutboxRow {
  readonly id: number;
  readonly sender: string;
  readonly receiver: string;
  readonly event: string;
}

/** All that recovery needs, read once at the opening. */
export interface LoadedState {
  readonly sequence: number;
  readonly actors: readonly ActorRow[];
  /** 128 bits for each ref that was used up (see ended-refs.ts). */
  readonly ended: Uint32Array;
  /** Of each receiver as many as its mailbox holds, and all that come from scopes. */
  readonly outbox: readonly OutboxRow[];
  /** How many more there are of a receiver. */
  readonly outboxBeyond: readonly { readonly receiver: string; readonly count: number }[];
  readonly timers: readonly { readonly owner: string; readonly name: string; readonly at_ms: number }[];
  readonly effects: readonly {
    readonly id: number;
    readonly owner: string;
    readonly name: string;
    /** Null where it was used before. */
    readonly key: string | null;
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
    readonly deadline_ms: number | null;
  }[];
  readonly counters: readonly { readonly name: string; readonly value: number }[];
  readonly logHeads: readonly { readonly log: string; readonly cursor: number }[];
}
