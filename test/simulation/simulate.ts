/** From a seed to its verdict. */
import { simulateSystem } from "./system/simulate-system.ts";
import type { Verdict } from "./verdict.ts";

export interface SimulateOptions {
  readonly print?: (line: string) => void;
}

export function simulate(seed: number, options: SimulateOptions = {}): Promise<Verdict> {
  return simulateSystem(seed, options);
}
