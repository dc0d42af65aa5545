/** From a seed to its verdict. */
import { simulateRuntime } from "./runtime/simulate-runtime.ts";
import { simulateSystem } from "./system/simulate-system.ts";
import type { Verdict } from "./verdict.ts";

/** Of so many seeds one is of the runtime alone: its simulations are short. */
const RUNTIME_EVERY = 4;

export interface SimulateOptions {
  readonly print?: (line: string) => void;
}

export function simulate(seed: number, options: SimulateOptions = {}): Promise<Verdict> {
  return seed % RUNTIME_EVERY === 0 ? simulateRuntime(seed, options) : simulateSystem(seed, options);
}
