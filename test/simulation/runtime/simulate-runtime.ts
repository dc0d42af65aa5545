/** One simulation of the runtime alone: small machines, many deaths; from its seed to its verdict. */
import type { Runtime } from "../../../runtime/contract.ts";
import type { Death } from "../../../runtime/simulated/disk-gate.ts";
import { JournaledFiles } from "../../../runtime/journal/journaled-files.ts";
import type { Json } from "../../../runtime/kernel/actions.ts";
import { SeededRandom } from "../../../runtime/simulated/seeded-random.ts";
import type { SimulateOptions } from "../simulate.ts";
import { Computer } from "../machine/computer.ts";
import type { Verdict } from "../verdict.ts";
import { Workload, type Told } from "./workload.ts";

const END_MS_MAX = 600_000;
const STEPS_MAX = 300_000;
const ROWS_MAX = 10_000;

interface Plan {
  readonly chaos: boolean;
  readonly rounds: number;
  readonly depth: number;
  readonly width: number;
  readonly senders: number;
  readonly amounts: number;
  readonly alarms: number;
  readonly works: number;
  readonly fells: boolean;
  readonly deaths: readonly {
    readonly atMs: number;
    readonly operations: number;
    readonly place: "before" | "within" | "after";
    readonly death: Death;
  }[];
  readonly fullAtMs: number | null;
  readonly slowness: number;
}

function planOf(seed: number): Plan {
  const random = new SeededRandom(seed, "runtime scenario");
  return {
    chaos: random.chance(0.7),
    rounds: random.between(2, 30),
    depth: random.between(0, 3),
    width: random.between(1, 4),
    senders: random.between(1, 4),
    amounts: random.between(1, 12),
    alarms: random.between(0, 6),
    works: random.between(0, 8),
    fells: random.chance(0.3),
    deaths: Array.from({ length: random.below(8) }, () => ({
      atMs: random.next() * 250,
      operations: random.between(1, 10),
      place: random.pick(["before", "within", "after"] as const),
      death: random.pick(["killed", "power"] as const),
    })),
    fullAtMs: random.chance(0.2) ? random.next() * 200 : null,
    slowness: random.pick([1, 1, 5, 60]),
  };
}

/** What clients asked for, and what they were told. */
class Asked {
  readonly amounts: { readonly from: string; readonly amount: number; readonly told: Told }[] = [];
  readonly alarms: { readonly name: string; readonly set: Told; readonly hushed: Told | null }[] = [];
  readonly works: { readonly key: string; readonly told: Told }[] = [];
}

export async function simulateRuntime(seed: number, options: SimulateOptions = {}): Promise<Verdict> {
  const plan = planOf(seed);
  const computer = new Computer({ seed, chaos: plan.chaos, files: () => new JournaledFiles("/content") });
  computer.trace.print = options.print ?? null;
  try {
    computer.files.makeDirectory("/content", true);
    await live(computer, plan);
  } catch (error) {
    computer.violate(error instanceof Error ? (error.stack ?? error.message) : String(error));
  } finally {
    computer.dispose();
  }
  const { trace, violations } = computer;
  return {
    seed,
    world: "runtime",
    violations,
    hash: trace.hash,
    counts: trace.counts,
    steps: computer.environment.steps,
    last: trace.last(60),
  };
}

async function live(computer: Computer, plan: Plan): Promise<void> {
  const { environment } = computer;
  const workload = new Workload(computer);
  const asked = new Asked();
  computer.slowness = plan.slowness;
  workload.start();
  const calm = storm(computer, workload, plan);
  const bounds = { msMax: END_MS_MAX, stepsMax: STEPS_MAX };
  await environment.settle(ask(workload, plan, asked), bounds);
  await environment.advance(300);
  calm();
  await environment.advance(5000);
  const runtime = await environment.settle(workload.up(), bounds);
  const isIdle = (): boolean => {
    const { pendingEffects, pendingTimers, queuedEvents } = runtime.stats();
    return pendingEffects + pendingTimers + queuedEvents === 0;
  };
  const stopped = await environment.runUntil(isIdle, bounds);
  if (stopped !== "done") computer.violate(`it does not come to rest (${stopped}): ${JSON.stringify(runtime.stats())}`);
  await environment.advance(1000);
  await environment.settle(check(computer, workload, runtime, plan, asked), bounds);
  await environment.settle(runtime.stop(), bounds);
}

/** Answers what ends it. */
function storm(computer: Computer, workload: Workload, { deaths, fullAtMs }: Plan): () => void {
  const { environment, gate, trace } = computer;
  let isCalm = false;
  const calm = (): void => {
    isCalm = true;
    gate.planned = null;
    gate.full = false;
    computer.slowness = 1;
    trace.add("calm");
  };
  for (const { atMs, operations, place, death } of deaths) {
    environment.after(atMs, () => {
      if (gate.dead || isCalm) return;
      trace.add("fault death-at", `${operations} ${place} ${death}`);
      workload.downMs = 1 + (operations % 3) * 30;
      gate.planned = { at: gate.operations + operations, place, death };
    });
  }
  if (fullAtMs !== null) {
    environment.after(fullAtMs, () => {
      if (isCalm) return;
      gate.full = true;
      trace.add("fault disk-full");
      environment.after(4000, () => {
        gate.full = false;
      });
    });
  }
  return calm;
}

async function ask(workload: Workload, plan: Plan, asked: Asked): Promise<void> {
  const random = workload.computer.random.fork("ask");
  await workload.spawn("sink:one", { me: "one" });
  await workload.spawn("sink:trees", { me: "trees" });
  await workload.spawn("ping:left", { me: "left", partner: "ping:right", rounds: plan.rounds, begins: true });
  await workload.spawn("ping:right", { me: "right", partner: "ping:left", rounds: plan.rounds, begins: false });
  // Over when the ball was taken for certain: a second one would be a second game.
  const served = await workload.post("ping:left", { type: "ball", count: 1 });
  workload.computer.trace.add("served", served);
  await workload.spawn("tree:t", { path: "t", depth: plan.depth, width: plan.width });
  const senders = Array.from({ length: plan.senders }, (_, sender) =>
    send(workload, random.fork(`sender ${sender}`), `sender-${sender}`, plan, asked),
  );
  await Promise.all([...senders, setAlarms(workload, plan, asked), work(workload, plan, asked), fell(workload, plan)]);
}

async function send(workload: Workload, random: SeededRandom, from: string, plan: Plan, asked: Asked): Promise<void> {
  for (let amount = 1; amount <= plan.amounts; amount++) {
    const told = await workload.post("sink:one", { type: "add", amount, from });
    asked.amounts.push({ from, amount, told });
    await workload.sleep(random.next() * 30);
  }
}

async function setAlarms(workload: Workload, plan: Plan, asked: Asked): Promise<void> {
  for (let number = 0; number < plan.alarms; number++) {
    const name = `alarm-${number}`;
    const hushes = number % 3 === 2;
    const set = await workload.post("sink:one", { type: "alarm", name, delayMs: hushes ? 60_000 : number * 70 });
    const hushed = hushes ? await workload.post("sink:one", { type: "hush", name }) : null;
    asked.alarms.push({ name, set, hushed });
  }
}

async function work(workload: Workload, plan: Plan, asked: Asked): Promise<void> {
  for (let number = 0; number < plan.works; number++) {
    const name = number % 2 === 0 ? "once" : "keyed";
    const key = `${name}-${number}`;
    asked.works.push({ key, told: await workload.post("sink:one", { type: "work", name, key }) });
  }
}

async function fell(workload: Workload, plan: Plan): Promise<void> {
  if (!plan.fells) return;
  await workload.sleep(5);
  await workload.cancel("tree:t");
}

async function check(computer: Computer, workload: Workload, runtime: Runtime, plan: Plan, asked: Asked): Promise<void> {
  const log = async (name: string): Promise<readonly Json[]> => {
    const rows = await runtime.readLog(name, 0, ROWS_MAX);
    rows.forEach(({ cursor }, at) => {
      if (cursor !== at + 1) computer.violate(`the log ${name} has row ${cursor} at place ${at + 1}`);
    });
    return rows.map(({ value }) => value);
  };
  checkBalls(computer, plan, [...(await log("balls:left")), ...(await log("balls:right"))].map(Number));
  checkAmounts(computer, asked, (await log("heard:one")) as readonly { readonly from: string; readonly amount: number }[]);
  const setLog = (await log("set:one")).map(String);
  checkAlarms(computer, asked, setLog, (await log("hushed:one")).map(String), (await log("rang:one")).map(String));
  checkWorks(computer, workload, asked, (await log("asked:one")).map(String), (await log("outcome:one")).map(String));
  const grown = (await log("grown")).map(Number);
  const whole = Array.from({ length: plan.depth + 1 }, (_, level) => plan.width ** level).reduce((sum, count) => sum + count, 0);
  if (grown.length > 1 || (!plan.fells && grown[0] !== whole)) computer.violate(`the tree of ${whole} told ${grown.join(" ")}`);
  const { database } = computer.disk;
  const living = database.prepare("SELECT ref FROM actor WHERE status = 'active' AND kind = 'tree'").all();
  if (living.length > 0) computer.violate(`${living.length} nodes of the tree live on: ${String(living[0]?.["ref"])}`);
  for (const row of database.prepare("SELECT actor, type, detail FROM event WHERE outcome = 'failed'").all())
    computer.violate(`an event failed: ${String(row["actor"])} ${String(row["type"])}: ${String(row["detail"])}`);
}

/** Each number once, from 1 on, to the end or not at all (the first one may have been lost). */
function checkBalls(computer: Computer, plan: Plan, balls: readonly number[]): void {
  const sorted = balls.toSorted((left, right) => left - right);
  const isWhole = sorted.every((count, at) => count === at + 1) && (sorted.length === 0 || sorted.length === Math.max(plan.rounds, 1));
  if (!isWhole) computer.violate(`of ${plan.rounds} balls came ${sorted.join(" ")}`);
}

function checkAmounts(computer: Computer, asked: Asked, heard: readonly { readonly from: string; readonly amount: number }[]): void {
  for (const { from, amount, told } of asked.amounts) {
    const times = heard.filter((one) => one.from === from && one.amount === amount).length;
    if (times > 1) computer.violate(`${amount} of ${from} was applied ${times} times`);
    if (told === "acked" && times === 0) computer.violate(`${amount} of ${from} was acknowledged and is lost`);
  }
  for (const from of new Set(heard.map((one) => one.from))) {
    const amounts = heard.filter((one) => one.from === from).map((one) => one.amount);
    if (amounts.some((amount, at) => at > 0 && amount < (amounts[at - 1] ?? 0))) computer.violate(`of ${from} came ${amounts.join(" ")}`);
  }
}

function checkAlarms(computer: Computer, asked: Asked, set: readonly string[], hushed: readonly string[], rang: readonly string[]): void {
  for (const { name, set: told } of asked.alarms) {
    const times = rang.filter((one) => one === name).length;
    const isSet = set.includes(name);
    if (told === "acked" && !isSet) computer.violate(`${name} was acknowledged and never set`);
    // Of one that was hushed it may ring before, not after; long ones never do.
    const expected = isSet && !hushed.includes(name) ? 1 : 0;
    if (times !== expected) computer.violate(`${name} rang ${times} times, not ${expected}`);
  }
}

function checkWorks(computer: Computer, workload: Workload, asked: Asked, planned: readonly string[], outcomes: readonly string[]): void {
  for (const { key, told } of asked.works) {
    const found = outcomes.filter((outcome) => outcome.split(" ")[0] === key);
    if (told === "acked" && !planned.includes(key)) computer.violate(`${key} was acknowledged and never planned`);
    if (found.length !== (planned.includes(key) ? 1 : 0)) computer.violate(`${key} has ${found.length} outcomes: ${found.join(", ")}`);
    const times = workload.executed.get(key) ?? 0;
    if (found[0] === key && times === 0) computer.violate(`${key} has an outcome and never ran`);
    if (times > 0 && !planned.includes(key)) computer.violate(`${key} ran and was never planned`);
    computer.trace.count(found[0]?.endsWith("unknown") === true ? "outcome unknown" : "outcome known");
  }
}
