import { expect, it } from "vitest";
import type { BatchRows } from "../../runtime/journal/batch-rows.ts";
import type { Environment } from "../../runtime/kernel/environment.ts";
import { openRuntimeOn } from "../../runtime/runtime.ts";
import { SimulatedDisk } from "../../runtime/simulated/simulated-disk.ts";
import { SimulatedEnvironment } from "../../runtime/simulated/simulated-environment.ts";
import { SimulatedJournal } from "../../runtime/simulated/simulated-journal.ts";
import { ORIGIN } from "./fixture/family.ts";
import { worker } from "./fixture/opened.ts";

const MEMBERS = 500;

it("a cancellation of many is told over several turns, and is one transaction all the same", async () => {
  const simulated = new SimulatedEnvironment();
  const disk = new SimulatedDisk();
  let [aheadMs, turns] = [0, 0];
  // On this machine each look at the clock takes 3 ms: a turn has room for one.
  const environment: Environment = {
    now: () => simulated.now(),
    monotonicMs: () => simulated.monotonicMs() + (aheadMs += 3),
    random: () => simulated.random(),
    defer: (work) => {
      turns++;
      simulated.defer(work);
    },
    after: (delayMs, work) => simulated.after(delayMs, work),
  };
  const journal = new SimulatedJournal({ disk, environment: simulated });
  const batches: BatchRows[] = [];
  const commit = journal.commit.bind(journal);
  journal.commit = (batch, lane) => {
    batches.push(batch);
    return commit(batch, lane);
  };
  const nowhere = (): void => undefined;
  const log = { log: { debug: nowhere, info: nowhere, warn: nowhere, error: nowhere }, close: nowhere };
  const runtime = await simulated.settle(openRuntimeOn({ journal, environment, log }, { definitions: [worker], effects: [] }));
  const spawned = Array.from({ length: MEMBERS }, (_, index) =>
    runtime.spawn(`worker:${index}`, { self: `worker:${index}` }, { origin: ORIGIN, scope: "run" }),
  );
  await simulated.settle(Promise.all(spawned));
  batches.length = 0;
  turns = 0;
  await simulated.settle(runtime.cancelScope("run", "grace", "enough", ORIGIN));
  const before = turns;
  await simulated.advance(10_000);

  expect(before).toBeGreaterThan(3);
  const first = batches.find(({ tables: { events = [] } }) => events.includes("cancelScope"))?.tables;
  // What was handled right behind it, in the same transaction, leaves no row in the outbox.
  const waits = first?.outbox?.filter((cell) => cell === "scope:run").length ?? 0;
  const heard = first?.events?.filter((cell) => cell === "cancel").length ?? 0;
  expect([waits + heard, batches.filter(({ tables }) => tables.outbox !== undefined).length]).toEqual([MEMBERS, 1]);
  for (let index = 0; index < MEMBERS; index += 100)
    expect(await simulated.settle(runtime.get("workers", `worker:${index}`))).toEqual({ count: 0, heard: ["cancel"] });
  expect(runtime.stats().queuedEvents).toBe(0);
  await simulated.settle(runtime.stop());
  disk.dispose();
});
