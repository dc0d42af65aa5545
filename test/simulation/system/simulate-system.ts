/** One simulation of the whole system, from its seed to its verdict. */
import { JournaledFiles } from "../../../runtime/journal/journaled-files.ts";
import { Computer } from "../machine/computer.ts";
import type { Verdict } from "../verdict.ts";
import { SimulatedWarden } from "../warden/simulated-warden.ts";
import { checkAll } from "./checks.ts";
import { Client } from "./client.ts";
import { Daemon, STATE } from "./daemon.ts";
import { Person } from "./person.ts";
import { scenarioOf, type Scenario } from "./scenario.ts";
import { storm } from "./storm.ts";

/** After the last fault. Longer than any deadline, lease or retry of the product. */
const END_MS_MAX = 3 * 3_600_000;
const STEPS_MAX = 400_000;
/** For what follows the last result: acknowledgements, farewells, the idle checkpoint. */
const QUIET_MS = 120_000;

export interface SimulateOptions {
  readonly print?: (line: string) => void;
  readonly scenario?: Scenario;
}

export async function simulateSystem(seed: number, options: SimulateOptions = {}): Promise<Verdict> {
  const scenario = options.scenario ?? scenarioOf(seed);
  const computer = new Computer({ seed, chaos: scenario.chaos, files: () => new JournaledFiles(`${STATE}/content`) });
  computer.trace.print = options.print ?? null;
  try {
    await live(computer, scenario);
  } catch (error) {
    computer.violate(error instanceof Error ? (error.stack ?? error.message) : String(error));
  } finally {
    computer.dispose();
  }
  const { trace, violations } = computer;
  return {
    seed,
    world: "system",
    violations,
    hash: trace.hash,
    counts: trace.counts,
    steps: computer.environment.steps,
    last: trace.last(60),
  };
}

async function live(computer: Computer, scenario: Scenario): Promise<void> {
  const { environment } = computer;
  const warden = new SimulatedWarden(computer);
  computer.files.makeDirectory(STATE, true);
  computer.files.makeDirectory("/data/one/deep", true);
  computer.files.makeDirectory("/data/two", true);
  for (const path of ["/data", "/data/one"]) computer.files.sync(computer.files.get(path), path);
  computer.files.sync(computer.files.get("/"), "/");
  const daemon = new Daemon(computer, warden);
  const clients = scenario.runs.map((plan) => new Client(plan, computer, daemon));
  daemon.start();
  storm(scenario, computer, warden, daemon);
  const person = new Person(computer, daemon, warden);
  const work = Promise.all([...clients.map((client) => client.carryOut()), person.answer(() => clients.every(({ done }) => done))]);
  work.catch((error: unknown) => computer.violate(String(error)));
  const bounds = { msMax: scenario.calmAtMs + END_MS_MAX, stepsMax: STEPS_MAX };
  const stopped = await environment.runUntil(() => computer.violations.length > 0 || clients.every(({ done }) => done), bounds);
  if (computer.violations.length > 0) return;
  if (stopped !== "done") {
    const waiting = clients
      .filter(({ done }) => !done)
      .map(({ run, plan, watchersDone }) => `${run ?? plan.key} (${watchersDone} of ${plan.watchers})`);
    return computer.violate(`it does not end (${stopped}): ${waiting.join(", ")}`);
  }
  await environment.advance(QUIET_MS);
  const system = await environment.settle(daemon.up(), bounds);
  await environment.settle(checkAll({ computer, warden, system, clients }), bounds);
  await environment.settle(system.stop(), bounds);
}
