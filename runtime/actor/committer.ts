/**
 * Owns the open batch, the one commit in flight, and the sequence of numbers.
 * Does not own: what is in a batch, when a turn ends.
 * 1. At most one commit is in flight; what is computed meanwhile is the next batch (group commit).
 * 2. Commits reach the journal in the order they were computed, so that a batch may build on one that is not yet durable.
 * 3. Nothing is told to anyone (answers, effects, log rows) before its own batch is durable.
 * 4. What nobody waits for is committed with the next batch that somebody waits for, or after LAZY_COMMIT_MS. In a crowd commits begin
 *    COMMIT_SPACING_MS apart, so that they carry more; alone nobody is made to wait.
 * 5. A full disk is waited for, with the batch in hand; any other failure is final, and everything open rejects.
 * 6. While the disk is full, a batch with control operations in it (and what was computed before it) may use the journal's reserve; whether there is
 *    space again, an ordinary batch has to find out.
 */
import { CohortError, isCohortError } from "../kernel/error.ts";
import type { Cancel, Environment } from "../kernel/environment.ts";
import { COMMIT_SPACING_MS, JOURNAL_FULL_WAIT_MS_MAX, JOURNAL_RETRY_MS, LAZY_COMMIT_MS, SPACED_EVENTS_MAX } from "../kernel/limits.ts";
import type { BatchRows, CommitAnswer } from "../journal/batch-rows.ts";
import type { Journal } from "../journal/journal-port.ts";
import { Batch, type LoggedRow } from "./batch.ts";

export interface CommitterEvents {
  /** A long delivery is half done: its batch must not be written yet. */
  held(): boolean;
  /** Many actors live: others will join a commit that waits a little. */
  crowded(): boolean;
  /** The journal refused a key that was used before: effects of these ids must not run. Called before the batch's callbacks. */
  duplicates(ids: readonly number[]): void;
  logged(rows: readonly LoggedRow[]): void;
  /** A commit returned: there is room for work again. */
  resumed(): void;
  full(): void;
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
  /** Ends the wait for space early. */
  #press: (() => void) | null = null;
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
    if (this.#inFlight !== null || this.#failure !== null || this.#batch.empty || this.#events.held()) return;
    const waitMs = this.#waitMs();
    if (waitMs <= 0) return this.#send();
    const dueAtMs = this.#environment.monotonicMs() + waitMs;
    if (this.#timer !== null && this.#dueAtMs <= dueAtMs) return;
    this.#timer?.();
    this.#dueAtMs = dueAtMs;
    this.#timer = this.#environment.after(waitMs, () => {
      this.#timer = null;
      if (this.#inFlight === null && this.#failure === null && !this.#batch.empty && !this.#events.held()) this.#send();
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
      this.fail(isCohortError(error) ? error : new CohortError("INTERNAL", { on: "a snapshot cannot be written", cause: error }));
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
      this.fail(isCohortError(error) ? error : new CohortError("INTERNAL", { on: "after a commit", cause: error }));
    }
  }

  async #write(rows: BatchRows): Promise<CommitAnswer> {
    const startMs = this.#environment.monotonicMs();
    for (;;) {
      const lane = this.#full && this.#hasControl ? "control" : "ordinary";
      try {
        const answer = await this.#journal.commit(rows, lane);
        if (lane === "ordinary") this.#full = false;
        return answer;
      } catch (error) {
        const mayGoOn = lane === "ordinary" && this.#hasControl;
        if (!isCohortError(error, "JOURNAL_FULL") || (this.#stopping && !mayGoOn)) throw error;
        const isNews = !this.#full;
        this.#full = true;
        if (this.#environment.monotonicMs() - startMs >= JOURNAL_FULL_WAIT_MS_MAX) this.#giveUpWaiters(error);
        if (isNews) this.#events.full();
        if (!mayGoOn) await this.#room();
      }
    }
  }

  /** Somebody wants to cancel, revoke or delete: what stands before it goes with it. */
  get #hasControl(): boolean {
    return this.#batch.control || this.#flying?.control === true;
  }

  async #room(): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = this.#environment.after(JOURNAL_RETRY_MS, resolve);
      this.#press = () => {
        cancel();
        resolve();
      };
    });
    this.#press = null;
  }

  /** A control operation was computed while the disk is full. */
  press(): void {
    if (this.#batch.control) this.#press?.();
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
    // On a full disk there is always a batch in hand, empty perhaps: its commit says that there is space again.
    if (this.#full && this.#failure === null && !this.#events.held()) this.#send();
    else this.flush();
    this.#events.resumed();
  }

  /** Final: everything open rejects. */
  fail(error: CohortError): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#flying?.rejectWaiters(error);
    this.#batch.rejectWaiters(error);
    this.#events.failed(error);
  }

  /** Writes what was computed; a full disk is not waited for any more. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#press?.();
    while (this.#failure === null && (this.#inFlight !== null || !this.#batch.empty)) {
      this.flush();
      if (this.#inFlight !== null) await this.#inFlight;
    }
  }
}
