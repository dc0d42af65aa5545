/** One scenario without other faults, with a death before, within and after each operation of its disk: as many simulations. */
import type { Death } from "../../runtime/simulated/disk-gate.ts";
import { scenarioOf, type Fault, type Scenario } from "./system/scenario.ts";
import { simulateSystem } from "./system/simulate-system.ts";
import type { Verdict } from "./verdict.ts";

const PLACES = ["before", "within", "after"] as const;
const DEATHS: readonly Death[] = ["killed", "power"];
const DOWN_MS = 50;
const TASKS_MAX = 2;
/** A death later than this comes to a system that is at rest. */
const CALM_MS = 20_000;

/** The first run of the seed, with few tasks. */
function shortScenario(seed: number): Scenario {
  const scenario = scenarioOf(seed);
  const runs = scenario.runs.slice(0, 1).map((run) => ({ ...run, spec: { ...run.spec, tasks: run.spec.tasks.slice(0, TASKS_MAX) } }));
  return { ...scenario, runs, calmAtMs: CALM_MS };
}

export async function simulateEachDeath(seed: number): Promise<Verdict> {
  const scenario = shortScenario(seed);
  const quiet = await simulateSystem(seed, { scenario: { ...scenario, faults: [] } });
  const operations = quiet.counts["disk"] ?? 0;
  const counts: Record<string, number> = {};
  const violations = [...quiet.violations];
  let last = quiet.last;
  let steps = quiet.steps;
  let hash = quiet.hash;
  for (let operation = 1; operation <= operations && violations.length === 0; operation++) {
    for (const place of PLACES) {
      for (const death of DEATHS) {
        const fault: Fault = { type: "death-at", atMs: 0, operations: operation, place, death, downMs: DOWN_MS };
        const verdict = await simulateSystem(seed, { scenario: { ...scenario, faults: [fault] } });
        for (const [name, count] of Object.entries(verdict.counts)) counts[name] = (counts[name] ?? 0) + count;
        violations.push(...verdict.violations.map((violation) => `${death} ${place} operation ${operation}: ${violation}`));
        if (verdict.violations.length > 0) ({ last } = verdict);
        steps += verdict.steps;
        hash = verdict.hash;
      }
    }
  }
  return {
    seed,
    world: "system",
    violations,
    hash,
    counts: { ...counts, "deaths one by one": operations * PLACES.length * DEATHS.length },
    steps,
    last,
  };
}
