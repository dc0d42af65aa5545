/** What a bench answers, for this and all later ones: figures that can be recomputed from the raw samples beside them. */

export interface Goal {
  readonly name: string;
  readonly unit: string;
  /** What the value is compared with. */
  readonly goal: string;
  readonly value: number;
  readonly ok: boolean;
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  readonly distribution: string;
  readonly atMs: number;
  /** One minute's load average before the bench began. */
  readonly loadBefore: number;
}

export interface Peer {
  readonly name: string;
  readonly version: string;
  /** How it was started, or why it was not. */
  readonly how: string;
}

export interface BenchResult {
  readonly name: string;
  readonly figures: Readonly<Record<string, number>>;
  /** Raw, in the order in which they were taken; the unit is in the name. */
  readonly samples: Readonly<Record<string, readonly number[]>>;
  readonly goals: readonly Goal[];
  readonly peers: readonly Peer[];
  readonly machine: Machine;
  readonly notMeasured: readonly string[];
}

export type Measurement = Omit<BenchResult, "name" | "machine">;

export function atMost(name: string, unit: string, limit: number, value: number): Goal {
  return { name, unit, goal: `<= ${limit}`, value, ok: value <= limit };
}

export function atLeast(name: string, unit: string, limit: number, value: number): Goal {
  return { name, unit, goal: `>= ${limit}`, value, ok: value >= limit };
}

/** Nearest rank: a value that was measured, never one between two. NaN for no samples. */
export function percentile(samples: readonly number[], percent: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}

export function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
