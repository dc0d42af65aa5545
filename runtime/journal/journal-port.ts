/** What the host needs of a journal: durable commits in order, and reads that see each commit asked for before them. */
import type { Json } from "../kernel/actions.ts";
import type { BatchRows, CommitAnswer, LoadedState, OutboxRow } from "./batch-rows.ts";
import type { Upkeep, UpkeepName } from "./upkeep.ts";
import type { CommitLane } from "./tail.ts";
import type { HistoryCursor, HistoryPage } from "../kernel/history.ts";

export interface Journal {
  load(): Promise<LoadedState>;
  /**
   * Resolves when the batch survives power loss. Rejects with JOURNAL_FULL, having changed nothing: it may be asked again; any other error is final.
   * The control lane may use the tail's reserve where the disk is full.
   */
  commit(batch: BatchRows, lane?: CommitLane): Promise<CommitAnswer>;
  /** Ordinary messages for a receiver behind the id `after`, in order. */
  pull(receiver: string, after: number, limit: number): Promise<readonly OutboxRow[]>;
  get(collection: string, key: string): Promise<Json>;
  /** Rows behind the key `after`, in key order. */
  list(collection: string, after: string, limit: number): Promise<{ readonly key: string; readonly value: Json }[]>;
  /** Rows behind the cursor `after`, in order. */
  readLog(log: string, after: number, limit: number): Promise<{ readonly cursor: number; readonly value: Json }[]>;
  /** A page of what is known of the actors of a scope, by name of the actor and then in order; `after` is the `next` of the page before. */
  history(scope: string, after: HistoryCursor | null, limit: number): Promise<HistoryPage>;
  /** A slice of what keeps the journal in order, and what a person asks of it. */
  upkeep<N extends UpkeepName>(name: N, ask: Upkeep[N]["ask"]): Promise<Upkeep[N]["answer"]>;
  /** Idempotent. */
  close(): Promise<void>;
}
