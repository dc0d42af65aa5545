/** What a simulation found. */
export interface Verdict {
  readonly seed: number;
  /** What is never to happen, and did. */
  readonly violations: readonly string[];
  /** Of everything that happened: two runs of one seed have the same. */
  readonly hash: string;
  readonly counts: Readonly<Record<string, number>>;
  readonly steps: number;
  /** The last lines of the trace. */
  readonly last: readonly string[];
}
