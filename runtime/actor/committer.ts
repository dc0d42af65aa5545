/**
 * Owns the open batch, the one commit in flight, and the sequence of numbers.
 * Does not own: what is in a batch, when a turn ends.
 * 1. At most one commit is in flight; what is computed meanwhile is the next batch (group commit).
 * 2. Commits reach the journal in the order they were computed, so that a batch may build on one that is not yet durable.
 * 3. Nothing is told to anyone (answers, effects, log rows) before its own batch is durable.
 * 4. What nobody waits for is committed with the next batch that somebody waits for, or after LAZY_COMMIT_MS. In a crowd commits begin
 *    COMMIT_SPACING_MS apart, so that they carry more; alone nobody is made to wait.
 * 5. A full disk is waited for, with the batch in hand; any other failure is final, and everything open rejects.
 */
import { CohortError, isCohortError } from "../kernel/error.ts";
import type { Cancel, Environment } from "../kernel/environment.ts";
import { COMMIT_SPACING_MS, JOURNAL_FULL_WAIT_MS_MAX, JOURNAL_RETRY_MS, LAZY_COMMIT_MS, SPACED_EVENTS_MAX } from "../kernel/limits.ts";
import type { BatchRows, CommitAnswer } from "../journal/batch-rows.ts";
import type { Journal } from "../journal/journal-port.ts";
import { Batch, type LoggedRow } from "./batch.ts";

export interface CommitterEvents {
  /** Many actors live: others will join a commit that waits a little. */
  crowded(): boolean;
  /** The journal refused a key that was used before: effects of these ids must not run. Called before the batch's callbacks. */
  duplicates(ids: readonly number[]): void;
  logged(rows: readonly LoggedRow[]): void;
  /** A commit returned: there is room for work again. */
  resumed(): void;
  full(waitedMs: number): void;
  failed(error: CohortError): void;
}

export class Committer {
  readonly #journal: Journal;
  readonly #environment: Environment;
  readonly #events: CommitterEvents;
  #batch = new Batch();
  #sequence: number;
  #inFlight: Promise<void> | null = null;
  #flying: Batch | null = null;
  /** Of a batch that may wait. */
  #timer: Cancel | null = null;
  #dueAtMs = 0;
  #sentAtMs = 0;
  #stopping = false;
  #full = false;
  #failure: CohortError | null = null;
  #committed = 0;

  constructor(journal: Journal, environment: Environment, sequence: number, events: CommitterEvents) {
    this.#journal = journal;
    this.#environment = environment;
    this.#sequence = sequence;
    this.#events = events;
  }

  get batch(): Batch {
    return this.#batch;
  }

  get busy(): boolean {
    return this.#inFlight !== null;
  }

  get full(): boolean {
    return this.#full;
  }

  get failure(): CohortError | null {
    return this.#failure;
  }

  get committedEvents(): number {
    return this.#committed;
  }

  next(): number {
    return ++this.#sequence;
  }

  flush(): void {
    if (this.#inFlight !== null || this.#failure !== null || this.#batch.empty) return;
    const waitMs = this.#waitMs();
    if (waitMs <= 0) return this.#send();
    const dueAtMs = this.#environment.monotonicMs() + waitMs;
    if (this.#timer !== null && this.#dueAtMs <= dueAtMs) return;
    this.#timer?.();
    this.#dueAtMs = dueAtMs;
    this.#timer = this.#environment.after(waitMs, () => {
      this.#timer = null;
      if (this.#inFlight === null && this.#failure === null && !this.#batch.empty) this.#send();
    });
  }

  #waitMs(): number {
    if (this.#stopping || this.#batch.events >= SPACED_EVENTS_MAX) return 0;
    if (!this.#batch.urgent) return LAZY_COMMIT_MS;
    return this.#events.crowded() ? this.#sentAtMs + COMMIT_SPACING_MS - this.#environment.monotonicMs() : 0;
  }

  #send(): void {
    this.#timer?.();
    this.#timer = null;
    this.#sentAtMs = this.#environment.monotonicMs();
    const batch = this.#batch;
    let rows: BatchRows;
    try {
      rows = batch.encode(this.#sequence);
    } catch (error) {
      this.#fail(isCohortError(error) ? error : new CohortError("INTERNAL", { on: "a snapshot cannot be written", cause: error }));
      return;
    }
    this.#batch = new Batch();
    this.#flying = batch;
    this.#inFlight = this.#commit(batch, rows);
  }

  async #commit(batch: Batch, rows: BatchRows): Promise<void> {
    try {
      const answer = await this.#write(rows);
      this.#inFlight = null;
      this.#flying = null;
      this.#settle(batch, answer);
    } catch (error) {
      this.#inFlight = null;
      this.#fail(isCohortError(error) ? error : new CohortError("INTERNAL", { on: "after a commit", cause: error }));
    }
  }

  async #write(rows: BatchRows): Promise<CommitAnswer> {
    for (let waitedMs = 0; ; waitedMs += JOURNAL_RETRY_MS) {
      try {
        const answer = await this.#journal.commit(rows);
        this.#full = false;
        return answer;
      } catch (error) {
        if (!isCohortError(error, "JOURNAL_FULL") || this.#stopping) throw error;
        this.#full = true;
        if (waitedMs >= JOURNAL_FULL_WAIT_MS_MAX) this.#giveUpWaiters(error);
        this.#events.full(waitedMs);
        await new Promise<void>((resolve) => this.#environment.after(JOURNAL_RETRY_MS, resolve));
      }
    }
  }

  /** Those who wait hear the truth: not written, and perhaps still to come. */
  #giveUpWaiters(cause: CohortError): void {
    const error = new CohortError("JOURNAL_FULL", { on: "this request is not written yet; it will be once there is space", cause });
    this.#flying?.rejectWaiters(error);
    this.#batch.rejectWaiters(error);
  }

  #settle(batch: Batch, answer: CommitAnswer): void {
    this.#committed += batch.events;
    if (answer.duplicates.length > 0) this.#events.duplicates(answer.duplicates);
    batch.settle();
    if (batch.logged.length > 0) this.#events.logged(batch.logged);
    this.flush();
    this.#events.resumed();
  }

  #fail(error: CohortError): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#flying?.rejectWaiters(error);
    this.#batch.rejectWaiters(error);
    this.#events.failed(error);
  }

  /** Writes what was computed; a full disk is not waited for any more. */
  async stop(): Promise<void> {
    this.#stopping = true;
    while (this.#failure === null && (this.#inFlight !== null || !this.#batch.empty)) {
      this.flush();
      if (this.#inFlight !== null) await this.#inFlight;
    }
  }
}
