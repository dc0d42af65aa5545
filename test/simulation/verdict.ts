/** What is to be simulated, and what a simulation found: as they travel between processes. */

export interface Batch {
  /** Seeds from, from + step, … */
  readonly from: number;
  readonly count: number;
  readonly step: number;
  /** Each a second time, to see that it repeats. */
  readonly twice: boolean;
  /** In place of the faults of a seed, a death at each operation of the disk. */
  readonly exhaustive: boolean;
  /** The whole trace. */
  readonly print: boolean;
}

export interface Verdict {
  readonly seed: number;
  readonly world: "system" | "runtime";
  /** What is never to happen, and did. */
  readonly violations: readonly string[];
  /** Of everything that happened: two runs of one seed have the same. */
  readonly hash: string;
  readonly counts: Readonly<Record<string, number>>;
  readonly steps: number;
  /** The last lines of the trace. */
  readonly last: readonly string[];
}
