/**
 * Owns the worker thread of the journal and the answers it still owes.
 * Does not own: what is written, retries, the order of batches (the host sends one at a time).
 * 1. Requests are answered in the order they were made; a read sees every commit that was asked before it.
 * 2. When the worker ends, every open request rejects; none waits for ever.
 */
import { randomBytes } from "node:crypto";
import { serialize } from "node:v8";
import { Worker } from "node:worker_threads";
import type { Json } from "../kernel/actions.ts";
import { errorTable, type ErrorCode } from "../kernel/error-table.ts";
import { CohortError } from "../kernel/error.ts";
import { decodeJson } from "../kernel/json.ts";
import { JOURNAL_CLOSE_MS_MAX } from "../kernel/limits.ts";
import type { BatchRows, CommitAnswer, LoadedState, OutboxRow } from "./batch-rows.ts";
import type { HistoryCursor, HistoryPage } from "../kernel/history.ts";
import type { Journal } from "./journal-port.ts";
import type { Upkeep, UpkeepName } from "./upkeep.ts";
import type { CommitLane } from "./tail.ts";
import type { WorkerAnswer, WorkerRequest } from "./journal-worker.ts";

/** Unguessable, for the salts of its events. */
const CHANCE_BYTES = 16;

type WithoutId<T> = T extends unknown ? Omit<T, "id"> : never;

interface Waiting {
  resolve(value: unknown): void;
  reject(error: CohortError): void;
}

/** From sources the worker is the .ts beside this file; in a bundle it is journal-worker.js beside the bundle. */
function workerUrl(): URL {
  return new URL(import.meta.url.endsWith(".ts") ? "./journal-worker.ts" : "./journal-worker.js", import.meta.url);
}

function errorCode(text: string): ErrorCode {
  return text in errorTable ? (text as ErrorCode) : "INTERNAL";
}

export class WorkerJournal implements Journal {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #ended: CohortError | null = null;
  readonly #exited: Promise<void>;

  private constructor(directory: string, filesDirectory: string) {
    // Flags of this process (an --eval, say) are not for the worker.
    this.#worker = new Worker(workerUrl(), { workerData: { directory, filesDirectory }, name: "journal", execArgv: [] });
    this.#worker.on("message", (answer: WorkerAnswer) => this.#settle(answer));
    this.#worker.on("error", (error) => this.#fail(new CohortError("INTERNAL", { on: "the journal's thread", cause: error })));
    this.#exited = new Promise((resolve) => {
      this.#worker.on("exit", () => {
        this.#fail(new CohortError("INTERNAL", { on: "the journal is closed" }));
        resolve();
      });
    });
  }

  static async open(directory: string, filesDirectory: string): Promise<WorkerJournal> {
    const journal = new WorkerJournal(directory, filesDirectory);
    try {
      await new Promise((resolve, reject) => journal.#waiting.set(0, { resolve, reject }));
    } catch (error) {
      await journal.#worker.terminate();
      throw error;
    }
    return journal;
  }

  #settle(answer: WorkerAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    if (waiting === undefined) return;
    this.#waiting.delete(answer.id);
    if (answer.ok) {
      waiting.resolve(answer.value);
      return;
    }
    const code = errorCode(answer.code);
    // The worker's message repeats the table's: keep only what it adds.
    const on = answer.on.replace(`${errorTable[code].message}: `, "");
    waiting.reject(new CohortError(code, { on }));
  }

  #fail(error: CohortError): void {
    this.#ended ??= error;
    for (const waiting of this.#waiting.values()) waiting.reject(this.#ended);
    this.#waiting.clear();
  }

  #request(request: WithoutId<WorkerRequest>, transfer: readonly ArrayBuffer[] = []): Promise<unknown> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ ...request, id }, transfer);
    });
  }

  async load(): Promise<LoadedState> {
    return (await this.#request({ type: "load" })) as LoadedState;
  }

  async commit(batch: BatchRows, lane: CommitLane = "ordinary"): Promise<CommitAnswer> {
    // Once for both: these bytes are what the journal keeps, and what the worker reads the batch from.
    const bytes = serialize({ ...batch, chance: randomBytes(CHANCE_BYTES).toString("base64") } satisfies BatchRows);
    const { buffer } = bytes;
    return (await this.#request({ type: "commit", bytes, lane }, buffer instanceof ArrayBuffer ? [buffer] : [])) as CommitAnswer;
  }

  async pull(receiver: string, after: number, limit: number): Promise<readonly OutboxRow[]> {
    return (await this.#request({ type: "pull", receiver, after, limit })) as readonly OutboxRow[];
  }

  async get(collection: string, key: string): Promise<Json> {
    const text = (await this.#request({ type: "get", collection, key })) as string | null;
    return text === null ? null : decodeJson(text, `${collection} ${key}`);
  }

  async list(collection: string, after: string, limit: number): Promise<{ readonly key: string; readonly value: Json }[]> {
    const rows = (await this.#request({ type: "list", collection, after, limit })) as { key: string; value: string }[];
    return rows.map((row) => ({ key: row.key, value: decodeJson(row.value, `${collection} ${row.key}`) }));
  }

  async readLog(log: string, after: number, limit: number): Promise<{ readonly cursor: number; readonly value: Json }[]> {
    const rows = (await this.#request({ type: "readLog", log, after, limit })) as { cursor: number; value: string }[];
    return rows.map((row) => ({ cursor: row.cursor, value: decodeJson(row.value, `${log} ${row.cursor}`) }));
  }

  async history(scope: string, after: HistoryCursor | null, limit: number): Promise<HistoryPage> {
    return (await this.#request({ type: "history", scope, after, limit })) as HistoryPage;
  }

  async upkeep<N extends UpkeepName>(name: N, ask: Upkeep[N]["ask"]): Promise<Upkeep[N]["answer"]> {
    return (await this.#request({ type: "upkeep", name, ask })) as Upkeep[N]["answer"];
  }

  async close(): Promise<void> {
    if (this.#ended === null) await this.#request({ type: "close" });
    const timer = setTimeout(() => void this.#worker.terminate(), JOURNAL_CLOSE_MS_MAX);
    await this.#exited;
    clearTimeout(timer);
  }
}
