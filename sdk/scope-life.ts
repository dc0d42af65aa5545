/**
 * The life of a scope: what belongs to it, what cancels it, and when it has ended.
 *
 * Owns the members, two signals, one deadline, and the tie to the scope around it.
 *
 * C1 a scope settles after each of its members has: of what it started nothing runs any more, or it rejects with SCOPE_UNPROVEN.
 * C2 a throw, the signal and the deadline cancel every member, also those that are just being started; an aborted scope always rejects.
 * C3 a failure that nobody looked at comes out of the scope.
 * C4 a nested scope is cancelled with the one around it, and its deadline is never later.
 */
import { setMaxListeners } from "node:events";
import { CohortError, isCohortError } from "../runtime/kernel/error.ts";
import { WatchedPromise } from "./watched-promise.ts";

export interface LifeParts {
  readonly parent: ScopeLife | null;
  readonly title: string;
  /** From outside. */
  readonly signal: AbortSignal | null;
  readonly timeoutMs: number;
}

export class ScopeLife {
  readonly title: string;
  readonly #parts: LifeParts;
  readonly #abort = new AbortController();
  readonly #stop = new AbortController();
  readonly #deadlineAtMs: number;
  readonly #members = new Set<Promise<unknown>>();
  readonly #nested = new Set<ScopeLife>();
  readonly #loops = new Set<() => void>();
  readonly #failed: { readonly promise: WatchedPromise<unknown>; readonly error: unknown }[] = [];
  #unproven: CohortError | null = null;
  #isEnded = false;

  constructor(parts: LifeParts) {
    this.title = parts.title;
    this.#parts = parts;
    for (const { signal } of [this.#abort, this.#stop]) setMaxListeners(0, signal);
    this.#deadlineAtMs = Math.min(parts.parent === null ? Infinity : parts.parent.#deadlineAtMs, performance.now() + parts.timeoutMs);
  }

  /** Of the body: aborts when the scope is cancelled. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Of the members: aborts then, too, and alone when only they are to end. */
  get stopSignal(): AbortSignal {
    return this.#stop.signal;
  }

  get leftMs(): number {
    return Math.max(0, this.#deadlineAtMs - performance.now());
  }

  /** Runs the body, and settles when it and every member have. */
  async perform<T>(body: () => Promise<T>): Promise<T> {
    const { parent, signal, title, timeoutMs } = this.#parts;
    const aborted = (): void => this.#cancel(new CohortError("CANCELLED", { on: `${title}: the signal aborted`, cause: signal?.reason }));
    const late = (): void => this.#cancel(new CohortError("DEADLINE", { on: `${title}, after ${timeoutMs} ms` }));
    const isOwnDeadline = timeoutMs !== Infinity && (parent === null || this.#deadlineAtMs < parent.#deadlineAtMs);
    const timer = isOwnDeadline ? setTimeout(late, this.leftMs) : undefined;
    if (parent !== null) {
      if (parent.#stop.signal.aborted) this.#cancel(parent.#stop.signal.reason);
      parent.#nested.add(this);
    }
    if (signal?.aborted === true) aborted();
    signal?.addEventListener("abort", aborted, { once: true });
    try {
      return await this.#settled(body);
    } finally {
      this.#isEnded = true;
      if (parent !== null) parent.#nested.delete(this);
      signal?.removeEventListener("abort", aborted);
      clearTimeout(timer);
    }
  }

  async #settled<T>(body: () => Promise<T>): Promise<T> {
    let value: T;
    try {
      this.signal.throwIfAborted();
      value = await body();
    } catch (error) {
      this.#cancel(new CohortError("CANCELLED", { on: `${this.title}: ${messageOf(error)}`, cause: error }));
      await this.#join();
      throw this.#unproven ?? error;
    }
    await this.#join();
    if (this.#unproven !== null) throw this.#unproven;
    this.signal.throwIfAborted();
    const unseen = this.#failed.find(({ promise }) => !promise.seen);
    if (unseen !== undefined) throw unseen.error;
    return value;
  }

  /** `leave` is called when the body ends, unless what this answers was called before. */
  loop(leave: () => void): () => void {
    this.#loops.add(leave);
    return () => void this.#loops.delete(leave);
  }

  /** A loop that the body did not finish has nobody to read it. */
  async #join(): Promise<void> {
    for (const leave of this.#loops) leave();
    while (this.#members.size > 0) await Promise.allSettled(this.#members);
  }

  #cancel(reason: unknown): void {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort(reason);
    this.#stopMembers(reason);
  }

  /** They end with CANCELLED; the body goes on, and can start nothing more. */
  cancelMembers(why: string): void {
    this.#stopMembers(new CohortError("CANCELLED", { on: why }));
  }

  #stopMembers(reason: unknown): void {
    this.#stop.abort(reason);
    for (const nested of this.#nested) nested.#cancel(reason);
  }

  /** Throws when nothing may be started any more. */
  check(): void {
    if (this.#isEnded) throw new CohortError("SCOPE_ENDED", { on: this.title });
    this.#stop.signal.throwIfAborted();
  }

  /** Starts what belongs to the scope. */
  member<T>(start: () => Promise<T>): Promise<T> {
    const begin = async (): Promise<T> => {
      this.check();
      return start();
    };
    const promise = WatchedPromise.from(begin());
    this.hold(
      promise.settled((error) => {
        if (!promise.seen) this.#failed.push({ promise, error });
      }),
    );
    return promise;
  }

  /** Waits for what settles by itself; its failure is told elsewhere. */
  hold(member: Promise<unknown>): void {
    const held: Promise<void> = member.then(
      () => void this.#members.delete(held),
      (error: unknown) => {
        if (isCohortError(error, "SCOPE_UNPROVEN")) this.#unproven ??= error;
        this.#members.delete(held);
      },
    );
    this.#members.add(held);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
