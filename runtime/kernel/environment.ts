/** All that the runtime has of the outside: time, chance, and turns. The real one is here; the simulator has its own. */

/** Milliseconds since the epoch. */
export type Clock = () => number;

/** Idempotent; after it, the work is not called. */
export type Cancel = () => void;

export interface Environment {
  /** The wall clock, in milliseconds since the epoch; may jump. */
  now(): number;
  /** Never goes back; only differences mean something. */
  monotonicMs(): number;
  /** 0 … 1, for jitter alone: an id must come from elsewhere. */
  random(): number;
  /** Calls `work` in a later turn of the event loop, after what was deferred before it. */
  defer(work: () => void): void;
  /** Calls `work` once, `delayMs` from now or later. */
  after(delayMs: number, work: () => void): Cancel;
}

export const systemEnvironment: Environment = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  random: () => Math.random(),
  defer: (work) => void setImmediate(work),
  after: (delayMs, work) => {
    const timer = setTimeout(work, delayMs);
    return () => clearTimeout(timer);
  },
};
