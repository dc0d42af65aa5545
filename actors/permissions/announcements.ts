/**
 * Owns whoever waits for a grant or an approval to reach a state, and whoever watches all approvals.
 * Does not own states: what is told here is committed, and a row of the journal says the same.
 */
import { CohortError } from "../../runtime/kernel/error.ts";
import type { ApprovalRow } from "../../machines/messages/approval-events.ts";
import type { GrantRow } from "../../machines/messages/grant-events.ts";

export type ToldRow = ApprovalRow | GrantRow;
type Listener = (row: ToldRow) => void;

/** Rows that wait for one watcher; each is small, and one that does not read is told to begin anew. */
const WAITING_MAX = 10_000;

export class Announcements {
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #watchers = new Set<(row: ApprovalRow) => void>();

  tellGrant(row: GrantRow): void {
    this.#tell(row.grant, row);
  }

  tellApproval(row: ApprovalRow): void {
    this.#tell(row.approval, row);
    for (const watcher of this.#watchers) watcher(row);
  }

  #tell(id: string, row: ToldRow): void {
    for (const listener of this.#listeners.get(id) ?? []) listener(row);
  }

  /**
   * Resolves with the first row that `until` accepts: `look` is asked once, after the subscription, so that nothing is missed.
   * Rejects with CANCELLED when the signal aborts.
   */
  async wait<T extends ToldRow>(id: string, look: () => Promise<T | null>, until: (row: T) => boolean, signal: AbortSignal): Promise<T> {
    const found = Promise.withResolvers<T>();
    const listener = (row: ToldRow): void => {
      if (until(row as T)) found.resolve(row as T);
    };
    const abort = (): void => found.reject(new CohortError("CANCELLED", { on: `waiting for ${id}`, cause: signal.reason }));
    const all = this.#listeners.get(id) ?? new Set<Listener>();
    this.#listeners.set(id, all);
    all.add(listener);
    signal.addEventListener("abort", abort);
    try {
      if (signal.aborted) abort();
      look().then(
        (row) => row !== null && until(row) && found.resolve(row),
        (error: unknown) => found.reject(error),
      );
      return await found.promise;
    } finally {
      signal.removeEventListener("abort", abort);
      all.delete(listener);
      if (all.size === 0) this.#listeners.delete(id);
    }
  }

  /** Every approval that is told from now on, until the signal aborts. Throws MAILBOX_FULL when its reader is far behind. */
  watch(signal: AbortSignal): AsyncIterable<ApprovalRow> {
    const rows: ApprovalRow[] = [];
    let wake = Promise.withResolvers<void>();
    const push = (row: ApprovalRow): void => {
      rows.push(row);
      wake.resolve();
    };
    this.#watchers.add(push);
    const abort = (): void => wake.resolve();
    signal.addEventListener("abort", abort);
    const watchers = this.#watchers;
    return (async function* (): AsyncGenerator<ApprovalRow> {
      try {
        while (!signal.aborted) {
          if (rows.length > WAITING_MAX) throw new CohortError("MAILBOX_FULL", { on: "too many approvals wait for their reader" });
          const row = rows.shift();
          if (row !== undefined) {
            yield row;
            continue;
          }
          wake = Promise.withResolvers<void>();
          await wake.promise;
        }
      } finally {
        watchers.delete(push);
        signal.removeEventListener("abort", abort);
      }
    })();
  }
}
