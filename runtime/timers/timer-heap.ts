/**
 * Owns the one heap of armed timers and the one wait for its top.
 * Does not own: the durable rows, whether a timer is still wanted (a stopped one is marked and dropped when it comes up).
 * 1. A timer fires at its time or later, never earlier, by the clock that was given.
 * 2. Timers of one time fire in the order they were armed.
 */
import type { ActorRef } from "../kernel/actions.ts";
import type { Cancel, Environment } from "../kernel/environment.ts";
import { TIMER_SLEEP_MS_MAX } from "../kernel/limits.ts";

export interface Timer {
  readonly owner: ActorRef;
  readonly name: string;
  readonly atMs: number;
  readonly order: number;
  /** False once it was stopped, moved, or applied. */
  live: boolean;
}

function before(left: Timer, right: Timer): boolean {
  return left.atMs < right.atMs || (left.atMs === right.atMs && left.order < right.order);
}

export class TimerHeap {
  readonly #heap: Timer[] = [];
  readonly #environment: Environment;
  readonly #fire: (timer: Timer) => void;
  #order = 0;
  #live = 0;
  #sleep: Cancel | null = null;
  #wakeAtMs = Infinity;

  constructor(environment: Environment, fire: (timer: Timer) => void) {
    this.#environment = environment;
    this.#fire = fire;
  }

  get live(): number {
    return this.#live;
  }

  arm(owner: ActorRef, name: string, atMs: number): Timer {
    const timer: Timer = { owner, name, atMs, order: this.#order++, live: true };
    this.#live++;
    this.#push(timer);
    if (atMs < this.#wakeAtMs) this.#schedule();
    return timer;
  }

  disarm(timer: Timer): void {
    if (!timer.live) return;
    timer.live = false;
    this.#live--;
    // Far more dead than alive: sweep, so that timers that are moved often do not pile up.
    if (this.#heap.length > 1024 && this.#heap.length > this.#live * 4) this.#sweep();
  }

  stop(): void {
    this.#sleep?.();
    this.#sleep = null;
    this.#heap.length = 0;
  }

  #sweep(): void {
    const alive = this.#heap.filter((timer) => timer.live).toSorted((left, right) => (before(left, right) ? -1 : 1));
    this.#heap.splice(0, this.#heap.length, ...alive);
  }

  #schedule(): void {
    this.#sleep?.();
    this.#sleep = null;
    this.#wakeAtMs = Infinity;
    const top = this.#heap[0];
    if (top === undefined) return;
    this.#wakeAtMs = top.atMs;
    const delayMs = Math.min(Math.max(Math.ceil(top.atMs - this.#environment.now()), 0), TIMER_SLEEP_MS_MAX);
    this.#sleep = this.#environment.after(delayMs, () => this.#wake());
  }

  #wake(): void {
    const nowMs = this.#environment.now();
    for (let top = this.#heap[0]; top !== undefined && (top.atMs <= nowMs || !top.live); top = this.#heap[0]) {
      this.#pop();
      if (top.live) this.#fire(top);
    }
    this.#schedule();
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = heap[parentAt];
      if (parent === undefined || !before(timer, parent)) break;
      heap[at] = parent;
      at = parentAt;
    }
    heap[at] = timer;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const leftAt = at * 2 + 1;
      const left = heap[leftAt];
      if (left === undefined) break;
      const right = heap[leftAt + 1];
      const [child, childAt] = right !== undefined && before(right, left) ? [right, leftAt + 1] : [left, leftAt];
      if (!before(child, last)) break;
      heap[at] = child;
      at = childAt;
    }
    heap[at] = last;
  }
}
