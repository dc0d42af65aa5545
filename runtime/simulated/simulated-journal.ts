/**
 * Owns the one store of a life and the requests that wait for it: what the journal's thread is in reality, in simulated time.
 * Does not own: the disk (it outlives this), when it dies.
 * 1. Requests are answered in the order they were made, each after the time that the disk takes.
 * 2. A commit is answered once it is durable, and applied after the answer.
 * 3. After its death nothing is answered, for ever.
 */
import { serialize } from "node:v8";
import type { BatchRows, CommitAnswer, LoadedState, OutboxRow } from "../journal/batch-rows.ts";
import { journalError } from "../journal/database.ts";
import type { Journal } from "../journal/journal-port.ts";
import { JournalStore } from "../journal/store.ts";
import type { Upkeep, UpkeepName } from "../journal/upkeep.ts";
import type { CommitLane } from "../journal/tail.ts";
import type { Json } from "../kernel/actions.ts";
import type { Cancel, Environment } from "../kernel/environment.ts";
import { CohortError } from "../kernel/error.ts";
import type { HistoryCursor, HistoryPage } from "../kernel/history.ts";
import { decodeJson } from "../kernel/json.ts";
import { CHECKPOINT_IDLE_MS } from "../kernel/limits.ts";
import { Queue } from "../mailbox/queue.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";

const CHANCE_DRAWS = 3;

interface Request {
  readonly isCommit: boolean;
  act(): unknown;
  resolve(value: unknown): void;
  reject(error: CohortError): void;
}

export interface SimulatedJournalOptions {
  readonly disk: SimulatedDisk;
  /** The life of the runtime that uses it. */
  readonly environment: Environment;
  /** How long a commit takes on this disk, and how long a read. Default 1 ms and 0.1 ms. */
  readonly commitMs?: () => number;
  readonly readMs?: () => number;
}

export class SimulatedJournal implements Journal {
  readonly #disk: SimulatedDisk;
  readonly #environment: Environment;
  readonly #commitMs: () => number;
  readonly #readMs: () => number;
  readonly #store: JournalStore;
  readonly #waiting = new Queue<Request>();
  #isServing = false;
  #quiet: Cancel | null = null;
  #closed = false;

  /** Throws what openStore throws, or SimulatedDeath when the process dies at it. */
  constructor({ disk, environment, commitMs = () => 1, readMs = () => 0.1 }: SimulatedJournalOptions) {
    this.#disk = disk;
    this.#environment = environment;
    this.#commitMs = commitMs;
    this.#readMs = readMs;
    this.#store = new JournalStore(disk.parts(() => environment.monotonicMs()));
  }

  load(): Promise<LoadedState> {
    return this.#ask(() => this.#store.load());
  }

  commit(batch: BatchRows, lane: CommitLane = "ordinary"): Promise<CommitAnswer> {
    // The store draws none of its own.
    const chance = Array.from({ length: CHANCE_DRAWS }, () => this.#environment.random().toString(36)).join("");
    const bytes = serialize({ ...batch, chance } satisfies BatchRows);
    return this.#ask(() => this.#store.commit(bytes, lane), true);
  }

  pull(receiver: string, after: number, limit: number): Promise<readonly OutboxRow[]> {
    return this.#ask(() => this.#store.pull(receiver, after, limit));
  }

  async get(collection: string, key: string): Promise<Json> {
    const text = await this.#ask(() => this.#store.get(collection, key));
    return text === null ? null : decodeJson(text, `${collection} ${key}`);
  }

  async list(collection: string, after: string, limit: number): Promise<{ readonly key: string; readonly value: Json }[]> {
    const rows = await this.#ask(() => this.#store.list(collection, after, limit) as { key: string; value: string }[]);
    return rows.map((row) => ({ key: row.key, value: decodeJson(row.value, `${collection} ${row.key}`) }));
  }

  async readLog(log: string, after: number, limit: number): Promise<{ readonly cursor: number; readonly value: Json }[]> {
    const rows = await this.#ask(() => this.#store.readLog(log, after, limit) as { cursor: number; value: string }[]);
    return rows.map((row) => ({ cursor: row.cursor, value: decodeJson(row.value, `${log} ${row.cursor}`) }));
  }

  history(scope: string, after: HistoryCursor | null, limit: number): Promise<HistoryPage> {
    return this.#ask(() => this.#store.history(scope, after, limit));
  }

  upkeep<N extends UpkeepName>(name: N, ask: Upkeep[N]["ask"]): Promise<Upkeep[N]["answer"]> {
    return this.#ask(() => this.#store.upkeep(name, ask));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    await this.#ask(() => {
      this.#quiet?.();
      this.#store.close();
      this.#closed = true;
    });
  }

  #ask<T>(act: () => T, isCommit = false): Promise<T> {
    if (this.#closed) return Promise.reject(new CohortError("INTERNAL", { on: "the journal is closed" }));
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ isCommit, act, resolve, reject });
      this.#serve();
    });
  }

  #serve(): void {
    if (this.#isServing) return;
    const request = this.#waiting.shift();
    if (request === undefined) return;
    this.#isServing = true;
    this.#environment.after(request.isCommit ? this.#commitMs() : this.#readMs(), () => this.#answer(request));
  }

  #answer(request: Request): void {
    try {
      const value = request.act();
      if (this.#disk.gate.dead) return;
      request.resolve(value);
    } catch (error) {
      // The store may have given the death another name; the gate knows.
      if (this.#disk.gate.dead) return;
      request.reject(journalError(error));
    }
    // As in the thread: the answer is on its way, the tables follow.
    this.#environment.defer(() => {
      if (request.isCommit) this.#applied();
      if (this.#disk.gate.dead) return;
      this.#isServing = false;
      this.#serve();
    });
  }

  #applied(): void {
    if (this.#closed || this.#disk.gate.dead) return;
    this.#store.apply();
    this.#restIn(CHECKPOINT_IDLE_MS);
  }

  #restIn(ms: number): void {
    this.#quiet?.();
    this.#quiet = this.#environment.after(ms, () => {
      if (this.#closed || this.#disk.gate.dead) return;
      const againMs = this.#store.rest();
      if (againMs !== null) this.#restIn(againMs);
    });
  }
}
