/**
 * Structured concurrency over runs, as programs write it: whatever was started in a scope ends with it (scope-life.ts).
 *
 * Owns the place of each member in the program, from which the keys of their runs are made. The runs themselves live in cohortd, so a client that
 * is killed leaves them running: see `key` and `timeoutMs`.
 */
import { availableParallelism } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { CohortError } from "../runtime/kernel/error.ts";
import type { TaskResult } from "../machines/messages/result.ts";
import { retryDelayMs, retrySettings, type RetryOptions } from "./scope-retry.ts";
import { FanOut, type Outcome } from "./scope-map.ts";
import { ScopeLife } from "./scope-life.ts";
import { placeKey, runTask, type RunStarter, type ScopedTask } from "./scope-task.ts";

/** What a scope can run: a confined task, or a function in a nested scope. */
export type Work<T> = ScopedTask<T> | ((scope: Scope) => Promise<T>);

type ReaderOf<W> = "read" extends keyof W ? NonNullable<W["read" & keyof W]> : never;
type ValueOf<W> = W extends (scope: Scope) => Promise<infer T>
  ? T
  : [ReaderOf<W>] extends [never]
    ? TaskResult
    : ReaderOf<W> extends (result: TaskResult) => infer T
      ? Awaited<T>
      : never;
type Values<W extends readonly unknown[]> = { -readonly [K in keyof W]: ValueOf<W[K]> };

/** Where a member stands in the program, for keys. Named: by its caller, so the name alone says which task it is. */
interface Place {
  readonly path: string | null;
  readonly isNamed: boolean;
}

export interface ScopeOptions {
  /** Named in errors. Default "scope". */
  readonly title?: string;
  /** Abort cancels everything in the scope, which rejects with CANCELLED. */
  readonly signal?: AbortSignal;
  /** Wall time; then the scope rejects with DEADLINE. Default: that of the scope around it, or none. */
  readonly timeoutMs?: number;
  /**
   * Names the scope for ever, at most 100 characters. Each task in it is a run with a key made of this, its place in the program and what it is, so that the
   * same program started again after a crash takes up what runs and what ended, failures too, and starts each task once.
   */
  readonly key?: string;
}

export interface WorkOptions {
  /** Names this work within its scope's key, in place of its place in the program; in a scope without a key, for ever. */
  readonly key?: string;
}

const KEY_CHARS_MAX = 100;
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

interface ScopeParts {
  readonly cohort: RunStarter;
  /** Of its members' places; null: without a key. */
  readonly path: string | null;
  readonly life: ScopeLife;
}

/** For class Cohort: `cohort.scope`. */
export async function openScope<T>(cohort: RunStarter, body: (scope: Scope) => Promise<T>, options: ScopeOptions): Promise<T> {
  const { key = null, title = "scope", signal = null, timeoutMs = Infinity } = options;
  if (key !== null && (key === "" || key.length > KEY_CHARS_MAX))
    throw new CohortError("REQUEST_INVALID", { on: `key: of 1 to ${KEY_CHARS_MAX} characters` });
  const life = new ScopeLife({ parent: null, title, signal, timeoutMs: checkedTimeout(timeoutMs) });
  const scope = new Scope({ cohort, path: key, life });
  return life.perform(() => body(scope));
}

export class Scope {
  readonly #parts: ScopeParts;
  readonly #life: ScopeLife;
  #places = 0;

  /** Use `cohort.scope`, or a function as work. */
  constructor(parts: ScopeParts) {
    this.#parts = parts;
    this.#life = parts.life;
  }

  /** Aborts when the scope is cancelled. Give it to whatever else the body waits for: the scope waits for its body, too. */
  get signal(): AbortSignal {
    return this.#life.signal;
  }

  /** Until the scope's deadline, in ms; Infinity without one. */
  get leftMs(): number {
    return this.#life.leftMs;
  }

  /**
   * Starts a task, or a function in a nested scope, and resolves with its value. Rejects with TASK_FAILED (class TaskFailed, with the result), CANCELLED,
   * DEADLINE, SCOPE_ENDED, SCOPE_UNPROVEN, or what `cohort.run` rejects with, each naming the task. Whatever its end, nothing of it runs any more.
   */
  run<T = TaskResult>(work: Work<T>, options: WorkOptions = {}): Promise<T> {
    return this.#member((place) => this.#perform(work, place), this.#place(options.key));
  }

  /** All values, in order. The first failure cancels the others, and is thrown when they have ended. */
  all<W extends readonly Work<unknown>[] | []>(works: W): Promise<Values<W>> {
    return this.run(async (scope) => (await Promise.all(works.map((work) => scope.run(work)))) as Values<W>);
  }

  /** The first success; the others are cancelled and waited for. Rejects with NONE_SUCCEEDED, whose cause is an AggregateError. */
  any<T = TaskResult>(works: readonly Work<T>[]): Promise<T> {
    return this.run(async (scope) => {
      try {
        return await Promise.any(works.map((work) => scope.run(work)));
      } catch (cause) {
        if (!(cause instanceof AggregateError)) throw cause;
        scope.signal.throwIfAborted();
        const reasons = cause.errors.map((error: unknown) => messageOf(error));
        throw new CohortError("NONE_SUCCEEDED", { on: reasons.length === 0 ? "there was nothing to run" : reasons.join("; "), cause });
      } finally {
        scope.#life.cancelMembers("another one was first");
      }
    });
  }

  /** Whatever ends first, success or failure; the others are cancelled and waited for. */
  race<T = TaskResult>(works: readonly Work<T>[]): Promise<T> {
    return this.run(async (scope) => {
      if (works.length === 0) throw new CohortError("REQUEST_INVALID", { on: "race: there is nothing to run" });
      try {
        return await Promise.race(works.map((work) => scope.run(work)));
      } finally {
        scope.#life.cancelMembers("another one was first");
      }
    });
  }

  /** Work that may take so long, in ms; then it is cancelled, and when it has ended DEADLINE is thrown. */
  timeout<T = TaskResult>(timeoutMs: number, work: Work<T>, options: WorkOptions = {}): Promise<T> {
    return this.#member(async (place) => this.#alone(work, place, checkedTimeout(timeoutMs)), this.#place(options.key));
  }

  /**
   * Tries until it succeeds; each attempt has ended before the next begins. Not repeated: what may have run although it is not `idempotent` (status
   * unknown or lost), what was cancelled, and what `when` refuses. Throws the last failure. In a scope with a key (or with a `key` here) each attempt has a key
   * of its own, so that a program that is started again goes on at the attempt that it was at.
   */
  retry<T = TaskResult>(work: Work<T>, options: RetryOptions = {}): Promise<T> {
    const isIdempotent = typeof work !== "function" && work.idempotent === true;
    const attempts = async ({ path, isNamed }: Place): Promise<T> => {
      const settings = retrySettings(options);
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await this.#alone(work, { path: path === null ? null : `${path}/attempt-${attempt}`, isNamed }, Infinity);
        } catch (error) {
          const delayMs = this.#life.stopSignal.aborted ? null : retryDelayMs(settings, error, attempt, isIdempotent);
          if (delayMs === null) throw error;
          await sleepUnlessAborted(delayMs, this.#life.stopSignal);
        }
      }
    };
    return this.#member(attempts, this.#place(options.key));
  }

  /**
   * Runs the work of each item, at most `limit` at a time (default: twice the processors), and yields outcomes in order of completion. A failure is an outcome:
   * throw it to cancel the rest. What is not read yet counts as running, so a slow reader is not run away from. Leaving the loop cancels what still
   * runs, and waits for it. `items` are read as they are needed.
   */
  async *map<I, T = TaskResult>(
    items: Iterable<I> | AsyncIterable<I>,
    work: (item: I, index: number) => Work<T>,
    options: { readonly limit?: number; readonly key?: string } = {},
  ): AsyncGenerator<Outcome<I, T>, void> {
    const { limit = availableParallelism() * 2, key } = options;
    if (!Number.isSafeInteger(limit) || limit < 1) throw new CohortError("REQUEST_INVALID", { on: `map: limit ${limit}` });
    this.#life.check();
    const { path } = this.#place(key);
    const scope = this.#open(path, this.#life.title, Infinity);
    const left = Promise.withResolvers<void>();
    const leave = (): void => {
      scope.#life.cancelMembers("its loop was left");
      left.resolve();
    };
    const whole = scope.#life.perform(() => left.promise);
    this.#life.hold(whole);
    const unloop = this.#life.loop(leave);
    try {
      const start = (item: I, index: number): Promise<T> =>
        scope.#member((place) => scope.#perform(work(item, index), place), {
          path: path === null ? null : `${path}/${index}`,
          isNamed: false,
        });
      for await (const outcome of new FanOut(items, limit, start, scope.#life.stopSignal).outcomes()) yield outcome;
    } finally {
      leave();
      unloop();
      await whole;
    }
  }

  #place(key: string | undefined): Place {
    this.#places += 1;
    const { path } = this.#parts;
    const own = key ?? (path === null ? null : `${this.#places}`);
    return { path: path === null ? own : `${path}/${own}`, isNamed: key !== undefined };
  }

  #body<T>(body: (scope: Scope) => Promise<T>): Promise<T> {
    return this.#life.perform(() => body(this));
  }

  #member<T>(start: (place: Place) => Promise<T>, place: Place): Promise<T> {
    return this.#life.member(() => start(place));
  }

  #open(path: string | null, title: string, timeoutMs: number): Scope {
    const life = new ScopeLife({ parent: this.#life, title, signal: null, timeoutMs });
    return new Scope({ cohort: this.#parts.cohort, path, life });
  }

  /** In a nested scope of its own, at the same place. */
  #alone<T>(work: Work<T>, place: Place, timeoutMs: number): Promise<T> {
    const title = typeof work === "function" ? this.#life.title : `"${work.title}"`;
    return this.#open(place.path, title, timeoutMs).#body((scope) => scope.#member(() => scope.#perform(work, place), place));
  }

  #perform<T>(work: Work<T>, { path, isNamed }: Place): Promise<T> {
    if (typeof work === "function") return this.#open(path, this.#life.title, Infinity).#body(work);
    const key = path === null || isNamed ? path : placeKey(path, work);
    return runTask(this.#parts.cohort, work, { key, leftMs: this.leftMs, signal: this.#life.stopSignal });
  }
}

function checkedTimeout(timeoutMs: number): number {
  if (timeoutMs === Infinity || (timeoutMs > 0 && timeoutMs <= TIMEOUT_MS_MAX)) return timeoutMs;
  throw new CohortError("REQUEST_INVALID", { on: `timeout of ${timeoutMs} ms, of 1 to ${TIMEOUT_MS_MAX}` });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function sleepUnlessAborted(delayMs: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(delayMs, undefined, { signal });
  } catch {
    signal.throwIfAborted(); // The scope's reason says more than that a timer was aborted.
  }
}
