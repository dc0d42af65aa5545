/**
 * A workflow that survives its own process: first in simulated time, where three days and hundreds of crashes pass in a moment, then for real, killed with -9 in the
 * middle of its steps. Each step is a confined task, and runs once.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "../../sdk/index.ts";
import { killEverywhere, simulatedTasks, testActors } from "../../sdk/testing.ts";
import { EXPIRY_MS, order } from "./order.ts";

const STEP_TIMEOUT_MS = 30_000;
const input = { order: "o1", items: ["green tea"] };
/** Another one each time: cohortd remembers what it ran. */
const id = `o${Date.now()}`;

async function inSimulatedTime(): Promise<number> {
  await using actors = await testActors({ actors: [order], effects: simulatedTasks(() => ({})) });
  const forgotten = await actors.start(order, "o1", input);
  await actors.clock.advance(EXPIRY_MS - 60_000);
  assert.equal((await forgotten.ask({ type: "look" })).state, "waiting", "until three days have passed it waits");
  await actors.clock.advance(60_000);
  assert.equal((await forgotten.query())?.value, "released", "then what was reserved is given back");
  return await killEverywhere(
    () => {
      const started: string[] = [];
      return { started, actors: [order], effects: simulatedTasks((_, key) => (started.push(key), {})) };
    },
    async (killed, { started }) => {
      const one = await killed.start(order, "o1", input);
      const { value } = await one.until((state) => state.value !== "reserving");
      if (value === "waiting") await one.send({ type: "confirm", by: "somebody" });
      assert.equal((await one.ended()).value, "shipped");
      assert.deepEqual(started, ["o1/reserve", "o1/charge", "o1/ship"], "each step was started once");
    },
  );
}

/** Starts the program, and kills it when that step runs; null: lets it come to its end. Answers what it said. */
async function runUntil(step: string | null, directory: string): Promise<string> {
  const program = spawn(process.execPath, [join(import.meta.dirname, "program.ts"), directory, id], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  program.stdout.on("data", (bytes: Buffer) => (said += bytes.toString()));
  const ended = once(program, "close", { signal: AbortSignal.timeout(STEP_TIMEOUT_MS) });
  if (step !== null) {
    while (program.exitCode === null && !(await cohort.children()).some(({ title }) => title === `${step} ${id}`)) await sleep(10);
    program.kill("SIGKILL");
  }
  await ended;
  return said;
}

async function forReal(): Promise<void> {
  const place = mkdtempSync(join(tmpdir(), "durable-workflow-"));
  const steps = ["reserve", "charge", "ship"];
  try {
    for (const step of steps) assert.equal(await runUntil(step, join(place, "journal")), "", `it was killed while ${step} ran`);
    const end: unknown = JSON.parse(await runUntil(null, join(place, "journal")));
    assert.deepEqual(end, { created: false, value: "shipped", steps: steps.map((step) => `${id}/${step} succeeded`) });
    const ran = (await cohort.runs()).filter(({ title }) => title.endsWith(` ${id}`)).map(({ title }) => title);
    assert.deepEqual(new Set(ran), new Set(steps.map((step) => `${step} ${id}`)));
    assert.equal(ran.length, steps.length, "each step ran once");
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

await using cohort = await connect();
const kills = await inSimulatedTime();
await forReal();
console.log(`an order: killed ${kills} times in simulated time and 3 times for real, each step ran once`);
