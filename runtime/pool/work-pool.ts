/**
 * Owns the threads that do heavy work beside the event loop: each task is a function of one worker file, by its name.
 * Does not own what the functions do; they get and give what can be cloned.
 *
 * 1. No task waits or runs longer than its deadline; its thread is ended with it.
 * 2. Threads exist while there is work, and a little longer.
 */
import { availableParallelism } from "node:os";
import type { Piscina } from "piscina";
import { CohortError } from "../kernel/error.ts";

const THREADS_MAX = 4;
/** A person who looks at a diff may ask for the next one soon. */
const IDLE_MS = 10_000;
/** More waiting tasks than this are a mistake of the caller. */
const QUEUE_MAX = 256;

export class WorkPool {
  readonly #file: URL;
  /** Loaded with the first task: a daemon that never has one is smaller and starts faster. */
  #pool: Promise<Piscina> | null = null;

  /** `file`: a module whose exported functions are the tasks. */
  constructor(file: URL) {
    this.#file = file;
  }

  /** Rejects with what the function threw (an error loses its class and code between threads), DEADLINE, CANCELLED, or MAILBOX_FULL. */
  async run<T>(name: string, task: unknown, deadlineMs: number, signal?: AbortSignal): Promise<T> {
    this.#pool ??= this.#open();
    const pool = await this.#pool;
    if (pool.queueSize >= QUEUE_MAX) throw new CohortError("MAILBOX_FULL", { on: `${QUEUE_MAX} tasks wait for a thread` });
    const late = AbortSignal.timeout(deadlineMs);
    try {
      return (await pool.run(task, { name, signal: signal === undefined ? late : AbortSignal.any([late, signal]) })) as T;
    } catch (cause) {
      if (late.aborted) throw new CohortError("DEADLINE", { on: name, cause });
      if (signal?.aborted === true) throw new CohortError("CANCELLED", { on: name, cause });
      throw cause;
    }
  }

  async close(): Promise<void> {
    const pool = this.#pool;
    this.#pool = null;
    if (pool !== null) await (await pool).destroy();
  }

  async #open(): Promise<Piscina> {
    const { Piscina: Pool } = await import("piscina");
    const threads = Math.min(THREADS_MAX, availableParallelism());
    return new Pool({
      filename: this.#file.href,
      minThreads: 0,
      maxThreads: threads,
      idleTimeout: IDLE_MS,
      maxQueue: QUEUE_MAX,
      execArgv: [],
    });
  }
}
