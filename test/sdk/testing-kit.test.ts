import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { assign, setup } from "xstate";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { actions, cancelTask, defineActor, defineEffect, runTask, type Heard, type TaskFinished } from "../../sdk/actors.ts";
import { killEverywhere, simulatedTasks, testActors, type SimulatedEnd, type TestActors } from "../../sdk/testing.ts";
import { EXPIRY_MS, order } from "../../examples/05-durable-workflow/order.ts";

const input = { order: "o1", items: ["tea"] };

interface Shop {
  readonly tasks: ReturnType<typeof simulatedTasks>;
  /** Every start of a task outside. */
  readonly started: string[];
}

function shop(ends: Readonly<Record<string, SimulatedEnd>> = {}, wait: (key: string) => Promise<void> = () => Promise.resolve()): Shop {
  const started: string[] = [];
  const tasks = simulatedTasks(async (_, key) => {
    started.push(key);
    await wait(key);
    return ends[key] ?? {};
  });
  return { tasks, started };
}

function open({ tasks }: Shop): Promise<TestActors> {
  return testActors({ actors: [order], effects: tasks });
}

describe("simulated time", () => {
  test("a workflow of three days is tested in a moment, and its timer fires when it is due", async () => {
    await using actors = await open(shop());
    const before = actors.clock.now();
    const one = await actors.start(order, "o1", input);
    await actors.settle();
    expect(await one.ask({ type: "look" })).toEqual({ state: "waiting", steps: ["o1/reserve succeeded"] });
    await actors.clock.advance(EXPIRY_MS - 60_000);
    expect((await one.query())?.value).toBe("waiting");
    await actors.clock.advance(60_000);
    expect(await one.ended()).toMatchObject({
      value: "released",
      status: "done",
      context: { steps: ["o1/reserve succeeded", "o1/release succeeded"] },
    });
    expect(actors.clock.now() - before).toBeGreaterThanOrEqual(EXPIRY_MS);
    expect(actors.clock.now() - before).toBeLessThan(EXPIRY_MS + 1000);
  });

  test("a wait lets time pass as far as it needs, and one that nothing could end is an error at once", async () => {
    await using actors = await open(shop());
    const one = await actors.start(order, "o1", input);
    const before = actors.clock.now();
    expect((await one.ended({ timeoutMs: EXPIRY_MS * 2 })).value).toBe("released");
    expect(actors.clock.now() - before).toBeGreaterThanOrEqual(EXPIRY_MS);
    await using stuck = await open(shop({}, () => new Promise(() => undefined)));
    const two = await stuck.start(order, "o2", { ...input, order: "o2" });
    await expect(two.until(({ value }) => value === "waiting", { timeoutMs: 5000 })).rejects.toMatchObject({ code: "DEADLINE" });
    await expect(stuck.stop()).resolves.toBe(undefined);
  });

  test("events and effects can be looked at as the journal has them", async () => {
    const outside = shop({ "o1/charge": { status: "failed" } });
    await using actors = await open(outside);
    const one = await actors.start(order, "o1", input);
    await one.until(({ value }) => value === "waiting");
    await one.send({ type: "confirm", by: "ada" });
    expect((await one.ended()).value).toBe("released");
    const events = (await actors.events(one.ref)).map(({ type, cause, outcome }) => `${cause} ${type} ${outcome}`);
    expect(events).toEqual([
      "spawn spawn applied",
      "effect taskFinished applied",
      "post confirm applied",
      "effect taskFinished applied",
      "effect taskFinished applied",
    ]);
    expect(actors.effects("cohort.task").map(({ key, state }) => `${key} ${state}`)).toEqual([
      "o1/reserve done",
      "o1/charge done",
      "o1/release done",
    ]);
    expect(outside.started).toEqual(["o1/reserve", "o1/charge", "o1/release"]);
  });

  test("a cancelled order cancels the task it is at, and gives back", async () => {
    let wake: () => void = () => undefined;
    const outside = shop({}, (key) => (key === "o1/reserve" ? new Promise((resolve) => (wake = resolve)) : Promise.resolve()));
    await using actors = await open(outside);
    const one = await actors.start(order, "o1", input);
    await actors.settle();
    await one.cancel("changed my mind");
    expect(await one.ended()).toMatchObject({ value: "released", context: { steps: ["o1/reserve cancelled", "o1/release succeeded"] } });
    wake();
  });

  test("a machine that is restarted plans its tasks anew, and knows them by the keys that it gave", async () => {
    const events = z.discriminatedUnion("type", [z.strictObject({ type: z.literal("break") }), z.strictObject({ type: z.literal("end") })]);
    const house = setup({
      types: { context: {} as { ended: string[] }, events: {} as Heard<typeof events> | TaskFinished, input: {} },
      actions,
    });
    const machine = house.createMachine({
      context: { ended: [] },
      entry: { type: "effect", params: () => runTask("work", { title: "work", command: ["true"] }) },
      on: {
        break: {
          actions: assign(() => {
            throw new Error("broken");
          }),
        },
        end: { actions: { type: "effect", params: () => cancelTask("work") } },
        taskFinished: { actions: assign({ ended: ({ context, event }) => [...context.ended, `${event.key} ${event.status}`] }) },
      },
    });
    const worker = defineActor({ kind: "worker", version: 1, machine, input: z.strictObject({}), events, restart: "transient" });
    const outside = shop({}, () => new Promise(() => undefined));
    await using actors = await testActors({ actors: [worker], effects: outside.tasks });
    const one = await actors.start(worker, "w", {});
    await expect(one.send({ type: "break" })).rejects.toThrow("broken");
    await actors.clock.advance(60_000);
    await one.send({ type: "end" });
    const { context } = await one.until((state) => state.context.ended.length > 0);
    expect(context.ended).toEqual(["work cancelled"]);
    expect(outside.started).toEqual(["work", "work#2"]);
  });

  test("one seed gives one test", async () => {
    const run = async (seed: number): Promise<unknown> => {
      await using actors = await testActors({ actors: [order], effects: shop().tasks, seed });
      const one = await actors.start(order, "o1", input);
      await one.ended({ timeoutMs: EXPIRY_MS * 2 });
      return (await actors.events(one.ref)).map(({ type, atMs }) => [type, atMs]);
    };
    expect(await run(7)).toEqual(await run(7));
  });
});

describe("crashes", () => {
  test("after a crash actors are where they were, and each task was started once", async () => {
    const outside = shop();
    await using actors = await open(outside);
    const one = await actors.start(order, "o1", input);
    await one.until(({ value }) => value === "waiting");
    const waiting = one.ended({ timeoutMs: EXPIRY_MS * 2 });
    actors.crash();
    await expect(waiting).rejects.toMatchObject({ code: "CANCELLED" });
    await expect(one.query()).rejects.toMatchObject({ code: "CANCELLED" });
    await actors.reopen();
    expect((await one.query())?.value).toBe("waiting");
    await one.send({ type: "confirm", by: "ada" });
    actors.crash("power");
    await actors.reopen();
    expect((await one.ended()).value).toBe("shipped");
    expect(outside.started).toEqual(["o1/reserve", "o1/charge", "o1/ship"]);
    expect((await actors.start(order, "o1", input)).created).toBe(false);
  });

  test("killed after each of its writes in turn, a workflow ends the same, each task started once", async () => {
    const kills = await killEverywhere(
      () => {
        const outside = shop();
        return { actors: [order], effects: outside.tasks, outside };
      },
      async (actors, { outside }) => {
        const one = await actors.start(order, "o1", input);
        const state = await one.until(({ value }) => value !== "reserving");
        if (state.value === "waiting") await one.send({ type: "confirm", by: "ada" });
        expect((await one.ended()).value).toBe("shipped");
        expect(outside.started).toEqual(["o1/reserve", "o1/charge", "o1/ship"]);
      },
    );
    expect(kills).toBeGreaterThan(40);
  });

  test("a program that does its work twice is found by it", async () => {
    const events = z.strictObject({ type: z.literal("go") });
    const inputSchema = z.strictObject({});
    const house = setup({
      types: { context: {}, events: {} as Heard<typeof events> | { readonly type: "paid"; readonly at: number }, input: {} },
      actions,
    });
    const machine = house.createMachine({
      context: {},
      initial: "paying",
      states: {
        paying: {
          entry: { type: "effect", params: { name: "pay", key: "pay-1", params: null } },
          on: { paid: "paid" },
        },
        paid: { type: "final" },
      },
    });
    const payer = defineActor({ kind: "payer", version: 1, machine, input: inputSchema, events });
    // It promises to be harmless when it is run twice, and is not.
    const pay = (paid: string[]): ReturnType<typeof defineEffect> =>
      defineEffect({
        name: "pay",
        safety: "keyed",
        params: z.null(),
        run: (_, { key }) => {
          paid.push(key);
          return Promise.resolve({ type: "paid" });
        },
      });
    const found = killEverywhere(
      () => {
        const paid: string[] = [];
        return { actors: [payer], effects: [pay(paid)], paid };
      },
      async (actors, { paid }) => {
        const one = await actors.start(payer, "p1", {});
        expect((await one.ended()).status).toBe("done");
        expect(paid).toEqual(["pay-1"]);
      },
    );
    await expect(found).rejects.toThrow(/^killed before operation \d+: /);
  });

  test("a new build takes up old actors through a migration, or refuses to", async () => {
    const events = z.strictObject({ type: z.literal("add") });
    const kind = (version: number, start: string) => {
      const house = setup({ types: { context: {} as { n: number }, events: {} as Heard<typeof events>, input: {} }, actions });
      const machine = house.createMachine({
        context: { n: 0 },
        initial: start,
        states: { [start]: { on: { add: { actions: assign({ n: ({ context }) => context.n + 1 }) } } } },
      });
      return { kind: "counter", version, machine, input: z.strictObject({}), events };
    };
    const old = defineActor(kind(1, "counting"));
    const fresh = defineActor({
      ...kind(2, "adding"),
      migrations: { 1: (snapshot) => ({ ...(snapshot as object), value: "adding" }) },
    });
    await using actors = await testActors({ actors: [old] });
    const one = await actors.start(old, "c", {});
    await one.send({ type: "add" });
    actors.crash();
    await expect(actors.reopen({ actors: [defineActor(kind(2, "adding"))] })).rejects.toMatchObject({ code: "JOURNAL_VERSION" });
    await actors.reopen({ actors: [fresh] });
    const same = actors.of(fresh, "c");
    await same.send({ type: "add" });
    expect(await same.query()).toMatchObject({ value: "adding", context: { n: 2 } });
    expect(() => actors.of(old, "c")).toThrow(expect.objectContaining({ code: "REQUEST_INVALID" }) as Error);
  });
});

test("it works in node:test, too", () => {
  const child = spawnSync(process.execPath, ["--test", "--test-reporter=tap", join(import.meta.dirname, "programs/kit-in-node-test.ts")], {
    encoding: "utf8",
    timeout: 25_000,
    env: { ...process.env, NODE_OPTIONS: "", NODE_TEST_CONTEXT: undefined },
  });
  expect(child.stdout).toContain("# pass 1");
  expect(child.status, child.stdout + child.stderr).toBe(0);
});
