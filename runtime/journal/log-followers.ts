/**
 * Owns the followers of logs and the few rows that wait for each.
 * Does not own: rows (the journal has them), cursors.
 * 1. A follower gets every row after its cursor once and in order, each only after its commit.
 * 2. At most FOLLOW_BUFFER_ROWS_MAX rows wait for one; a slower one reads from the journal until it has caught up.
 */
import type { LogRow } from "../contract.ts";
import type { CohortError } from "../kernel/error.ts";
import { decodeJson } from "../kernel/json.ts";
import { FOLLOW_BUFFER_ROWS_MAX, FOLLOW_PAGE_ROWS } from "../kernel/limits.ts";
import { Queue } from "../mailbox/queue.ts";

type ReadLog = (log: string, after: number, limit: number) => Promise<readonly LogRow[]>;

class Follower {
  readonly log: string;
  #live = new Queue<{ readonly cursor: number; readonly text: string }>();
  /** Rows were committed that are not in the buffer. */
  #behind = true;
  #wake: (() => void) | null = null;
  #failure: CohortError | null = null;

  constructor(log: string) {
    this.log = log;
  }

  offer(cursor: number, text: string): void {
    if (this.#live.length >= FOLLOW_BUFFER_ROWS_MAX) {
      // The journal has these too, and reading there keeps the order.
      this.#live = new Queue();
      this.#behind = true;
    } else this.#live.push({ cursor, text });
    this.notify();
  }

  fail(error: CohortError): void {
    this.#failure = error;
    this.notify();
  }

  notify(): void {
    this.#wake?.();
    this.#wake = null;
  }

  async *rows(after: number, read: ReadLog, signal: AbortSignal): AsyncGenerator<LogRow, void, undefined> {
    let cursor = after;
    while (!signal.aborted) {
      if (this.#failure !== null) throw this.#failure;
      if (this.#behind) {
        this.#behind = false;
        cursor = yield* this.#page(cursor, read, signal);
        continue;
      }
      const row = this.#live.shift();
      if (row === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      if (row.cursor <= cursor) continue;
      if (row.cursor > cursor + 1) {
        this.#behind = true;
        continue;
      }
      cursor = row.cursor;
      yield { cursor, value: decodeJson(row.text, `${this.log} ${cursor}`) };
    }
  }

  async *#page(after: number, read: ReadLog, signal: AbortSignal): AsyncGenerator<LogRow, number, undefined> {
    const page = await read(this.log, after, FOLLOW_PAGE_ROWS);
    let cursor = after;
    for (const row of page) {
      if (signal.aborted) return cursor;
      cursor = row.cursor;
      yield row;
    }
    if (page.length === FOLLOW_PAGE_ROWS) this.#behind = true;
    return cursor;
  }
}

export class LogFollowers {
  readonly #followers = new Map<string, Set<Follower>>();
  readonly #read: ReadLog;
  #ended: CohortError | null = null;

  constructor(read: ReadLog) {
    this.#read = read;
  }

  publish(rows: readonly { readonly log: string; readonly cursor: number; readonly text: string }[]): void {
    if (this.#followers.size === 0) return;
    for (const row of rows) for (const follower of this.#followers.get(row.log) ?? []) follower.offer(row.cursor, row.text);
  }

  async *follow(log: string, after: number, signal: AbortSignal): AsyncGenerator<LogRow, void, undefined> {
    if (this.#ended !== null) throw this.#ended;
    const follower = new Follower(log);
    const same = this.#followers.get(log) ?? new Set();
    this.#followers.set(log, same.add(follower));
    const aborted = (): void => follower.notify();
    signal.addEventListener("abort", aborted);
    try {
      yield* follower.rows(after, this.#read, signal);
    } finally {
      signal.removeEventListener("abort", aborted);
      same.delete(follower);
      if (same.size === 0) this.#followers.delete(log);
    }
  }

  end(error: CohortError): void {
    this.#ended = error;
    for (const same of this.#followers.values()) for (const follower of same) follower.fail(error);
  }
}
