/**
 * Owns the queue of deliveries and the turns that work through it.
 * Does not own: what a delivery does.
 * 1. Deliveries are handled in the order they were pushed.
 * 2. A turn ends after TURN_MS_MAX, so that sockets and timers get their turn.
 * 3. While `blocked` answers true nothing is handled; `wake` looks again.
 */
import type { Environment } from "../kernel/environment.ts";
import { TURN_MS_MAX } from "../kernel/limits.ts";
import { Queue } from "../mailbox/queue.ts";

export interface LoopParts<T> {
  readonly environment: Environment;
  handle(item: T): void;
  /** After each turn, with work done. */
  turned(): void;
  blocked(): boolean;
}

export class Loop<T> {
  #queue = new Queue<T>();
  readonly #parts: LoopParts<T>;
  #scheduled = false;
  #stopped = false;

  constructor(parts: LoopParts<T>) {
    this.#parts = parts;
  }

  get length(): number {
    return this.#queue.length;
  }

  push(item: T): void {
    this.#queue.push(item);
    this.wake();
  }

  wake(): void {
    if (this.#scheduled || this.#stopped || this.#queue.length === 0) return;
    this.#scheduled = true;
    this.#parts.environment.defer(() => this.#turn());
  }

  /** Takes out what `wanted` picks; the rest stays in order. */
  remove(wanted: (item: T) => boolean): readonly T[] {
    const kept = new Queue<T>();
    const removed: T[] = [];
    for (let item = this.#queue.shift(); item !== undefined; item = this.#queue.shift()) {
      if (wanted(item)) removed.push(item);
      else kept.push(item);
    }
    this.#queue = kept;
    return removed;
  }

  stop(): void {
    this.#stopped = true;
  }

  #turn(): void {
    this.#scheduled = false;
    const { environment } = this.#parts;
    const startMs = environment.monotonicMs();
    while (!this.#stopped && !this.#parts.blocked()) {
      const item = this.#queue.shift();
      if (item === undefined) break;
      this.#parts.handle(item);
      if (environment.monotonicMs() - startMs >= TURN_MS_MAX) break;
    }
    this.#parts.turned();
    if (!this.#parts.blocked()) this.wake();
  }
}
