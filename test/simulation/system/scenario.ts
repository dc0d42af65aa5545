/** What happens in one simulation of the whole system: a function of its seed, as data. Pure. */
import { runSpecSchema, type RunSpec, type TaskInput } from "../../../machines/messages/task.ts";
import type { Death } from "../../../runtime/simulated/disk-gate.ts";
import { SeededRandom } from "../../../runtime/simulated/seeded-random.ts";

/** Directories of the person that children ask for; the last one is not there. */
export const GIVEN = ["/data/one", "/data/two", "/data/one/deep", "/data/nowhere"] as const;

export interface CancelPlan {
  readonly afterMs: number;
  readonly mode: "grace" | "kill";
}

export interface RunPlan {
  readonly key: string;
  readonly atMs: number;
  readonly spec: RunSpec;
  readonly cancels: readonly CancelPlan[];
  readonly watchers: number;
}

export type Fault =
  | { readonly type: "death"; readonly atMs: number; readonly death: Death; readonly downMs: number }
  /** At an operation of the disk: so many after the moment. */
  | {
      readonly type: "death-at";
      readonly atMs: number;
      readonly operations: number;
      readonly place: "before" | "within" | "after";
      readonly death: Death;
      readonly downMs: number;
    }
  | { readonly type: "disconnect"; readonly atMs: number }
  | { readonly type: "stall"; readonly atMs: number; readonly ms: number }
  | { readonly type: "warden-death"; readonly atMs: number; readonly downMs: number }
  | { readonly type: "warden-fails"; readonly atMs: number; readonly times: number }
  | { readonly type: "disk-full"; readonly atMs: number; readonly ms: number }
  | { readonly type: "disk-slow"; readonly atMs: number; readonly ms: number; readonly times: number }
  | { readonly type: "clock-jump"; readonly atMs: number; readonly byMs: number };

export interface Scenario {
  readonly seed: number;
  readonly chaos: boolean;
  readonly runs: readonly RunPlan[];
  readonly faults: readonly Fault[];
  /** Nothing goes wrong any more from then on. */
  readonly calmAtMs: number;
}

export function scenarioOf(seed: number): Scenario {
  const random = new SeededRandom(seed, "scenario");
  const stormMs = random.pick([300, 1500, 6000]);
  return {
    seed,
    chaos: random.chance(0.7),
    runs: Array.from({ length: random.pick([1, 1, 1, 2, 3]) }, (_, number) => runPlan(random, seed, number, stormMs)),
    faults: faults(random, stormMs).toSorted((left, right) => left.atMs - right.atMs),
    calmAtMs: stormMs,
  };
}

function runPlan(random: SeededRandom, seed: number, number: number, stormMs: number): RunPlan {
  const tasks = Array.from({ length: random.pick([1, 1, 2, 3, 5, 8]) }, (_, index) => task(random, index));
  const endless = tasks.some(({ command, timeoutMs }) => timeoutMs === undefined && command.includes("hang"));
  const cancelled = endless || random.chance(0.3);
  const cancels: CancelPlan[] = cancelled
    ? Array.from({ length: random.pick([1, 1, 2]) }, () => ({
        afterMs: random.next() * random.pick([5, 100, stormMs]),
        mode: random.pick(["grace", "kill"] as const),
      }))
    : [];
  const spec = runSpecSchema.parse({
    title: `simulated ${number}`,
    tasks,
    preAnswers: random.chance(0.2)
      ? [{ path: random.pick(GIVEN), mode: random.pick(["ro", "rw"] as const), decision: random.pick(["approve", "deny"] as const) }]
      : [],
    ...(random.chance(0.7) ? { jobs: random.between(1, 4) } : {}),
    ...(random.chance(0.1) ? { deadlineMs: random.between(50, 5000) } : {}),
    ...(random.chance(0.3) ? { halt: { when: random.pick(["soon", "now"]), failures: random.between(1, 2) } } : {}),
  });
  return { key: `key-${seed}-${number}`, atMs: random.next() * stormMs * 0.5, spec, cancels, watchers: random.pick([1, 1, 2]) };
}

function task(random: SeededRandom, index: number): TaskInput {
  const words: string[] = [];
  const steps = random.between(0, 4);
  let stdin: string | undefined;
  for (let step = 0; step < steps; step++) words.push(word(random));
  if (random.chance(0.1)) {
    words.push("cat");
    stdin = "stdin of a simulated task\n".repeat(random.between(1, 40));
  }
  if (random.chance(0.15)) words.unshift("deaf");
  if (random.chance(0.15)) words.push(`flaky:${random.between(1, 2)}`);
  words.push(...ending(random));
  return {
    title: `task ${index}`,
    command: random.chance(0.04) ? ["missing"] : ["sim", ...words],
    ...(stdin === undefined ? {} : { stdin }),
    ...(random.chance(0.4) ? { retries: random.between(1, 2) } : {}),
    ...(random.chance(0.3) ? { idempotent: true } : {}),
    ...(random.chance(0.2) ? { timeoutMs: random.between(20, 4000) } : {}),
    ...(random.chance(0.05) ? { limits: { outputBytes: random.between(1, 20_000) } } : {}),
  };
}

function word(random: SeededRandom): string {
  if (random.chance(0.12)) return `ask:${random.pick(["ro", "ro", "staged", "rw"])}:${random.pick(GIVEN)}`;
  switch (random.below(4)) {
    case 0:
      return `out:${random.pick([1, 100, 3000, 40_000, 300_000])}`;
    case 1:
      return `err:${random.pick([1, 100, 3000])}`;
    case 2:
      return `file:${random.pick(["a", "b", "c"])}=${random.pick([0, 10, 5000])}`;
    default:
      return `sleep:${random.pick([1, 20, 300, 2000])}`;
  }
}

function ending(random: SeededRandom): readonly string[] {
  if (random.chance(0.1)) return ["hang"];
  if (random.chance(0.15)) return [`exit:${random.between(1, 3)}`];
  return random.chance(0.05) ? ["signal:11"] : [];
}

function faults(random: SeededRandom, stormMs: number): readonly Fault[] {
  const found: Fault[] = [];
  const at = (): number => random.next() * stormMs;
  const some = (most: number, make: () => Fault): void => {
    for (let left = random.below(most + 1); left > 0; left--) found.push(make());
  };
  const downMs = (): number => random.pick([1, 20, 400, 3000, random.chance(0.03) ? 1_200_000 : 90_000]);
  const death = (): Death => (random.chance(0.3) ? "power" : "killed");
  some(3, () => ({ type: "death", atMs: at(), death: death(), downMs: downMs() }));
  some(3, () => ({
    type: "death-at",
    atMs: at(),
    operations: random.between(1, 12),
    place: random.pick(["before", "within", "after"] as const),
    death: death(),
    downMs: downMs(),
  }));
  some(2, () => ({ type: "disconnect", atMs: at() }));
  some(1, () => ({ type: "stall", atMs: at(), ms: random.pick([50, 2000, 20_000]) }));
  if (random.chance(0.3)) some(2, () => ({ type: "warden-death", atMs: at(), downMs: random.pick([1, 500, 20_000, 120_000]) }));
  if (random.chance(0.2)) found.push({ type: "warden-fails", atMs: at(), times: random.between(1, 3) });
  if (random.chance(0.3)) found.push({ type: "disk-full", atMs: at(), ms: random.pick([100, 1000, 5000, 30_000]) });
  if (random.chance(0.3)) found.push({ type: "disk-slow", atMs: at(), ms: random.pick([200, 3000]), times: random.pick([10, 200]) });
  if (random.chance(0.15)) found.push({ type: "clock-jump", atMs: at(), byMs: random.pick([-3_600_000, -500, 700, 7_200_000]) });
  return found;
}
