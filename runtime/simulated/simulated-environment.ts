/**
 * Owns simulated time: both clocks, the seeded chance, everything that was deferred or is to happen later.
 * Does not own: what is done, disks, the lives that use it (each is an Environment that can be ended).
 * 1. Nothing happens but in a step; between two steps every microtask has run. So one seed and the same calls give the same steps.
 * 2. What was deferred runs in the order it was deferred. Timers fire at their time or later; of the same time, in the order they were armed.
 * 3. In chaos all that the real environment may do is done: timers come late, turns and timers mix, reading a clock takes time, the wall clock runs
 *    fast or slow. Never more than that.
 * 4. After the end of a life nothing that it asked for is called, and what it asks for later is not kept.
 */
import { setImmediate } from "node:timers";
import type { Cancel, Environment } from "../kernel/environment.ts";
import { Queue } from "../mailbox/queue.ts";
import { EventQueue, type QueuedWork } from "./event-queue.ts";
import { SeededRandom } from "./seeded-random.ts";

export interface SimulatedEnvironmentOptions {
  /** Default 1. */
  readonly seed?: number;
  /** Where the wall clock begins. Default 2026-01-01 UTC. */
  readonly startMs?: number;
  readonly chaos?: boolean;
}

export interface RunBounds {
  /** Default a million. */
  readonly stepsMax?: number;
  /** Of simulated time. Default an hour. */
  readonly msMax?: number;
}

/** idle: nothing is left to happen. */
export type Stopped = "done" | "idle" | "steps" | "time";

/** What one runtime sees of a simulated environment, until it dies. */
export interface SimulatedLife extends Environment {
  readonly ended: boolean;
  /** Idempotent. */
  end(): void;
}

/** In chaos: a turn or a timer now and then takes longer than the loop allows itself. */
const LATE_MS_MAX = 40;
const SLOW_READ_MS = 6;
const DRIFT_MAX = 0.001;

/** Runs every microtask, and those that they ask for. */
function microtasks(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export class SimulatedEnvironment implements Environment {
  readonly seed: number;
  readonly #random: SeededRandom;
  readonly #chance: SeededRandom;
  readonly #chaos: boolean;
  readonly #drift: number;
  readonly #deferred = new Queue<() => void>();
  readonly #later = new EventQueue();
  #order = 0;
  #monotonicMs = 0;
  #wallMs: number;
  #steps = 0;

  constructor({ seed = 1, startMs = Date.UTC(2026, 0, 1), chaos = false }: SimulatedEnvironmentOptions = {}) {
    this.seed = seed;
    this.#random = new SeededRandom(seed, "environment");
    this.#chance = new SeededRandom(seed, "chaos");
    this.#chaos = chaos;
    this.#wallMs = startMs;
    this.#drift = chaos ? 1 + (this.#chance.next() * 2 - 1) * DRIFT_MAX : 1;
  }

  /** Done so far. */
  get steps(): number {
    return this.#steps;
  }

  /** Simulated time since the beginning, which reading does not pass. */
  get elapsedMs(): number {
    return this.#monotonicMs;
  }

  now(): number {
    this.#take();
    return Math.floor(this.#wallMs);
  }

  monotonicMs(): number {
    this.#take();
    return this.#monotonicMs;
  }

  random(): number {
    return this.#random.next();
  }

  defer(work: () => void): void {
    this.#deferred.push(work);
  }

  after(delayMs: number, work: () => void): Cancel {
    const late = this.#chaos && this.#chance.chance(0.25) ? this.#chance.next() * LATE_MS_MAX : 0;
    const item: QueuedWork = { dueMs: this.#monotonicMs + Math.max(delayMs, 0) + late, order: this.#order++, work };
    this.#later.push(item);
    return () => {
      item.work = null;
    };
  }

  /** The wall clock is set, forward or back; the monotonic one does not notice. */
  jumpWallClock(byMs: number): void {
    this.#wallMs += byMs;
  }

  /** For one runtime (or one process) that may be dropped without a goodbye. */
  live(): SimulatedLife {
    let ended = false;
    const guard = (work: () => void) => (): void => {
      if (!ended) work();
    };
    return {
      get ended() {
        return ended;
      },
      end: () => {
        ended = true;
      },
      now: () => this.now(),
      monotonicMs: () => this.monotonicMs(),
      random: () => this.random(),
      defer: (work) => {
        if (!ended) this.defer(guard(work));
      },
      after: (delayMs, work) => (ended ? () => {} : this.after(delayMs, guard(work))),
    };
  }

  /** Everything that is due within `ms` of simulated time; the clocks stand `ms` later afterwards. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#monotonicMs + ms;
    await microtasks();
    while (this.#step(untilMs)) await microtasks();
    this.#pass(untilMs);
  }

  runUntilIdle(bounds: RunBounds = {}): Promise<Stopped> {
    return this.runUntil(() => false, bounds);
  }

  /** Looks after each step, and before the first. */
  async runUntil(done: () => boolean, { stepsMax = 1_000_000, msMax = 3_600_000 }: RunBounds = {}): Promise<Stopped> {
    const untilMs = this.#monotonicMs + msMax;
    const lastStep = this.#steps + stepsMax;
    await microtasks();
    while (!done()) {
      if (this.#steps >= lastStep) return "steps";
      if (!this.#step(untilMs)) return this.#later.peek() === undefined ? "idle" : "time";
      await microtasks();
    }
    return "done";
  }

  /** Runs the world until this promise settles. Rejects with what it rejects with, or when nothing is left that could settle it. */
  async settle<T>(promise: Promise<T>, bounds: RunBounds = {}): Promise<T> {
    let settled = false;
    const mark = (): void => {
      settled = true;
    };
    promise.then(mark, mark);
    const stopped = await this.runUntil(() => settled, bounds);
    if (stopped !== "done") throw new Error(`nothing settled the promise: the simulation stopped for ${stopped}`);
    return promise;
  }

  /** False when nothing is due until then. */
  #step(untilMs: number): boolean {
    const item = this.#later.peek();
    const isDue = item !== undefined && item.dueMs <= this.#monotonicMs;
    if (this.#deferred.length > 0 && !(isDue && this.#timerFirst())) {
      this.#steps++;
      this.#deferred.shift()?.();
      return true;
    }
    if (item === undefined || item.dueMs > untilMs) return false;
    this.#later.shift();
    this.#pass(item.dueMs);
    this.#steps++;
    item.work?.();
    return true;
  }

  #timerFirst(): boolean {
    return this.#chaos && this.#chance.chance(0.5);
  }

  #pass(untilMs: number): void {
    const passedMs = untilMs - this.#monotonicMs;
    if (passedMs <= 0) return;
    this.#monotonicMs = untilMs;
    this.#wallMs += passedMs * this.#drift;
  }

  /** Whoever reads a clock did something before. */
  #take(): void {
    if (!this.#chaos) return;
    this.#pass(this.#monotonicMs + (this.#chance.chance(0.01) ? SLOW_READ_MS : this.#chance.next() * 0.1));
  }
}
