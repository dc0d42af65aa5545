import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, expectTypeOf, it, test } from "vitest";
import { assign, createMachine, fromPromise, sendTo, setup, spawnChild, type AnyStateMachine } from "xstate";
import { z } from "zod";
import {
  actions,
  answer,
  defineActor,
  defineEffect,
  openActors,
  type Actors,
  type Heard,
  type OpenActorsOptions,
} from "../../sdk/actors.ts";

const directories: string[] = [];
const opened: Actors[] = [];

afterEach(async () => {
  for (const actors of opened.splice(0)) await actors.stop();
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function place(): string {
  const directory = mkdtempSync(join(tmpdir(), "own-actors-"));
  directories.push(directory);
  return join(directory, "journal");
}

async function open(options: OpenActorsOptions): Promise<Actors> {
  const actors = await openActors(options);
  opened.push(actors);
  return actors;
}

const input = z.strictObject({ start: z.number().default(0) });
const events = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("add"), by: z.strictObject({ amounts: z.array(z.number().positive()) }) }),
  z.strictObject({ type: z.literal("total") }),
  z.strictObject({ type: z.literal("later") }),
  z.strictObject({ type: z.literal("remind"), inMs: z.number() }),
  z.strictObject({ type: z.literal("close") }),
  z.strictObject({ type: z.literal("break") }),
  z.strictObject({ type: z.literal("never") }),
]);

const house = setup({
  types: {
    context: {} as { readonly total: number; readonly asked: string },
    events: {} as Heard<typeof events>,
    input: {} as z.output<typeof input>,
  },
  actions,
});
const machine = house.createMachine({
  id: "counter",
  context: ({ input: { start } }) => ({ total: start, asked: "" }),
  initial: "open",
  states: {
    open: {
      on: {
        add: { actions: assign({ total: ({ context, event }) => event.by.amounts.reduce((sum, amount) => sum + amount, context.total) }) },
        total: { actions: { type: "effect", params: ({ context, event }) => answer(event, context.total) } },
        later: {
          actions: [
            assign({ asked: ({ event }) => event.askId }),
            { type: "startTimer", params: ({ event }) => ({ name: "later", atMs: event.at + 50 }) },
          ],
        },
        remind: { actions: { type: "startTimer", params: ({ event }) => ({ name: "close", atMs: event.at + event.inMs }) } },
        timer: [
          { guard: ({ event }) => event.name === "close", target: "closed" },
          { actions: { type: "effect", params: ({ context }) => answer({ askId: context.asked }, `${context.total}, later`) } },
        ],
        close: "closed",
        break: {
          actions: assign(() => {
            throw new Error("it cannot");
          }),
        },
        never: {},
      },
    },
    closed: { type: "final" },
  },
});
const counter = defineActor({
  kind: "counter",
  version: 1,
  machine,
  input,
  events,
  answers: { total: z.number(), later: z.string(), never: z.null() },
});

describe("the door", () => {
  it("checks events and inputs by their schemas, and names the field by its path", async () => {
    const actors = await open({ directory: place(), actors: [counter] });
    const one = await actors.start(counter, "one", {});
    await expect(one.send({ type: "add", by: { amounts: [1, -2] } })).rejects.toMatchObject({
      code: "REQUEST_INVALID",
      message: expect.stringMatching(/event\.by\.amounts\.1: /) as string,
    });
    await expect(one.send({ type: "nothing" } as never)).rejects.toMatchObject({
      message: expect.stringMatching(/event\.type: /) as string,
    });
    await expect(one.send({ type: "close", now: true } as never)).rejects.toMatchObject({
      message: expect.stringMatching(/"now"/) as string,
    });
    await expect(actors.start(counter, "two", { start: "3" } as never)).rejects.toMatchObject({
      code: "REQUEST_INVALID",
      message: expect.stringMatching(/input\.start: /) as string,
    });
    await expect(actors.start(counter, "with space", {})).rejects.toMatchObject({ code: "REQUEST_INVALID" });
    expect(await one.query()).toMatchObject({ value: "open", context: { total: 0 } });
    expect(await actors.of(counter, "two").query()).toBe(null);
  });

  it("tells apart what a state does not take, what never was, what has ended and what broke", async () => {
    const actors = await open({ directory: place(), actors: [counter] });
    const one = await actors.start(counter, "one", { start: 5 });
    await one.send({ type: "close" });
    await expect(one.send({ type: "close" })).rejects.toMatchObject({ code: "ACTOR_UNKNOWN" });
    expect(await one.query()).toMatchObject({ status: "done", value: "closed", context: { total: 5 } });
    await expect(actors.of(counter, "nobody").send({ type: "close" })).rejects.toMatchObject({ code: "ACTOR_UNKNOWN" });
    const two = await actors.start(counter, "two", {});
    await expect(two.send({ type: "break" })).rejects.toThrow("it cannot");
    expect(await two.ended()).toMatchObject({ status: "failed" });
    await expect(two.until(({ context }) => context.total < 0)).rejects.toThrow("counter:two ended as failed");
    const other = defineActor({ kind: "other", version: 1, machine, input, events });
    await expect(actors.start(other, "x", {})).rejects.toThrow("kind other is not among the actors");
  });

  it("starts an actor once, and takes it up where it was when it is opened again", async () => {
    const directory = place();
    const first = await openActors({ directory, actors: [counter] });
    const one = await first.start(counter, "one", { start: 1 });
    await one.send({ type: "add", by: { amounts: [2, 3] } });
    await first.stop();
    await expect(one.send({ type: "close" })).rejects.toMatchObject({ code: "CANCELLED" });
    const second = await open({ directory, actors: [counter] });
    const again = await second.start(counter, "one", { start: 100 });
    expect([one.created, again.created]).toEqual([true, false]);
    expect(await again.ask({ type: "total" })).toBe(6);
  });
});

describe("asking", () => {
  it("answers at once, or when the machine comes to it, typed", async () => {
    const actors = await open({ directory: place(), actors: [counter] });
    const one = await actors.start(counter, "one", { start: 2 });
    const total = await one.ask({ type: "total" });
    expectTypeOf(total).toEqualTypeOf<number>();
    const later = one.ask({ type: "later" });
    await one.send({ type: "add", by: { amounts: [5] } });
    expectTypeOf(await later).toEqualTypeOf<string>();
    expect([total, await later]).toEqual([2, "7, later"]);
    // @ts-expect-error -- No answer is declared for it.
    await expect(one.ask({ type: "add", by: { amounts: [1] } }, { timeoutMs: 50 })).rejects.toMatchObject({ code: "DEADLINE" });
  });

  it("ends with the deadline or the signal, and with what the door says", async () => {
    const actors = await open({ directory: place(), actors: [counter] });
    const one = await actors.start(counter, "one", {});
    await expect(one.ask({ type: "never" }, { timeoutMs: 30 })).rejects.toMatchObject({
      code: "DEADLINE",
      message: "the deadline passed: the answer of counter:one to never, after 30 ms",
    });
    await expect(one.ask({ type: "never" }, { signal: AbortSignal.timeout(30) })).rejects.toMatchObject({ code: "CANCELLED" });
    await expect(actors.of(counter, "nobody").ask({ type: "total" })).rejects.toMatchObject({ code: "ACTOR_UNKNOWN" });
  });
});

describe("waiting", () => {
  it("for a state, and for the end, hears of each commit", async () => {
    const actors = await open({ directory: place(), actors: [counter] });
    const one = await actors.start(counter, "one", {});
    const seven = one.until(({ context }) => context.total >= 7);
    const ended = one.ended();
    for (let n = 0; n < 7; n += 1) await one.send({ type: "add", by: { amounts: [1] } });
    expect((await seven).context.total).toBe(7);
    await one.send({ type: "remind", inMs: 30 });
    expect(await ended).toMatchObject({ status: "done", value: "closed" });
    const unborn = actors.of(counter, "unborn").until(() => true);
    await actors.start(counter, "unborn", { start: 9 });
    expect((await unborn).context.total).toBe(9);
    await expect(actors.of(counter, "nobody").ended({ timeoutMs: 30 })).rejects.toMatchObject({ code: "DEADLINE" });
  });

  it("ends when the actors are stopped", async () => {
    const actors = await open({ directory: place(), actors: [counter] });
    const one = await actors.start(counter, "one", {});
    const ended = expect(one.ended()).rejects.toMatchObject({ code: "CANCELLED" });
    await actors.stop();
    await ended;
  });
});

describe("own effects", () => {
  const params = z.strictObject({ amount: z.number() });
  const paid = z.strictObject({ type: z.literal("pay"), amount: z.unknown() });

  function payer(run: (amount: number, key: string, journal: string) => void) {
    const pay = defineEffect({
      name: "pay",
      safety: "keyed",
      params,
      run: ({ amount }, { key, journal }) => {
        run(amount, key, journal);
        return Promise.resolve({ type: "paid", amount });
      },
    });
    const house = setup({
      types: {
        context: {} as { said: string },
        events: {} as Heard<typeof paid> | { readonly type: "paid"; readonly amount: number; readonly at: number },
        input: {},
      },
      actions,
    });
    const machine = house.createMachine({
      context: { said: "" },
      on: {
        pay: {
          actions: { type: "effect", params: ({ event }) => pay.plan(`pay-${String(event.amount)}`, { amount: event.amount as number }) },
        },
        paid: { actions: assign({ said: ({ event }) => `paid ${event.amount}` }) },
        effectFailed: { actions: assign({ said: ({ event }) => `${event.code} ${event.message}` }) },
      },
    });
    return { pay, kind: defineActor({ kind: "payer", version: 1, machine, input: z.strictObject({}), events: paid }) };
  }

  it("get their parameters checked, their key, and the name of the journal, which stays", async () => {
    const told: unknown[] = [];
    const { pay, kind } = payer((...words) => told.push(words));
    const directory = place();
    const first = await openActors({ directory, actors: [kind], effects: [pay] });
    const one = await first.start(kind, "p", {});
    await one.send({ type: "pay", amount: 3 });
    await one.until(({ context }) => context.said === "paid 3");
    await one.send({ type: "pay", amount: "four" });
    const wrong = await one.until(({ context }) => context.said.startsWith("REQUEST_INVALID"));
    expect(wrong.context.said).toContain("params of pay.amount: ");
    await first.stop();
    const second = await open({ directory, actors: [kind], effects: [pay] });
    await second.of(kind, "p").send({ type: "pay", amount: 5 });
    await second.of(kind, "p").until(({ context }) => context.said === "paid 5");
    const [[, , journal]] = told as [[number, string, string]];
    expect(journal).toMatch(/^[0-9a-f-]{36}$/);
    expect(told).toEqual([
      [3, "pay-3", journal],
      [5, "pay-5", journal],
    ]);
  });

  it("are refused where two have one name, or one of ours", async () => {
    const { pay, kind } = payer(() => undefined);
    await expect(openActors({ directory: place(), actors: [kind], effects: [pay, { ...pay }] })).rejects.toMatchObject({
      code: "MACHINE_REFUSED",
    });
    expect(() => defineEffect({ ...pay, name: "cohort.task" })).toThrow(expect.objectContaining({ code: "REQUEST_INVALID" }) as Error);
  });
});

describe("what cannot be durable is refused, with what to use instead", () => {
  const work = (): void => undefined;
  const promised = fromPromise(() => Promise.resolve(1));
  const refused: readonly (readonly [string, RegExp, Parameters<typeof createMachine>[0]])[] = [
    ["invoke", /state a: invoke; use an effect/, { initial: "a", states: { a: { invoke: { src: promised } } } }],
    ["after", /state a: after; use startTimer/, { initial: "a", states: { a: { after: { 10: "a" } } } }],
    [
      "spawnChild",
      /state a: .* uses spawnChild; use spawn, which makes an actor of a registered kind/,
      { initial: "a", states: { a: { entry: spawnChild(promised) } } },
    ],
    [
      "sendTo",
      /state a: .* uses sendTo; use send, which names an actor by its ref/,
      { initial: "a", states: { a: { entry: sendTo("x", { type: "y" }) } } },
    ],
    [
      "an inline function",
      /state a: an inline action is a function that does work; use effect/,
      { initial: "a", states: { a: { entry: work } } },
    ],
    [
      "a named function",
      /state a: action tell is not known; spread the host's actions/,
      { initial: "a", states: { a: { entry: "tell" } } },
    ],
  ];

  it.each(refused)("%s", (_, words, config) => {
    const machine: AnyStateMachine = createMachine({ id: "probe", ...config });
    expect(() => defineActor({ kind: "probe", version: 1, machine, input, events })).toThrow(
      expect.objectContaining({ code: "MACHINE_REFUSED", message: expect.stringMatching(words) as string }) as Error,
    );
  });

  it("names and versions are checked too", () => {
    for (const wrong of [{ kind: "Counter" }, { kind: "" }, { version: 0 }, { version: 1.5 }])
      expect(() => defineActor({ ...counter, ...wrong })).toThrow(expect.objectContaining({ code: "REQUEST_INVALID" }) as Error);
  });

  it("a machine that could not take what its schema lets in is refused by the compiler", () => {
    const more = z.discriminatedUnion("type", [...events.options, z.strictObject({ type: z.literal("other") })]);
    // @ts-expect-error -- The machine's events have no "other".
    expect(defineActor({ kind: "counter", version: 1, machine, input, events: more }).kind).toBe("counter");
  });
});

describe("the directory", () => {
  it("is private, has one process at a time, and is never cohortd's", async () => {
    const directory = place();
    await open({ directory, actors: [counter] });
    const modes = Object.fromEntries(
      readdirSync(directory).map((name) => [name, (statSync(join(directory, name)).mode & 0o777).toString(8)]),
    );
    expect((statSync(directory).mode & 0o777).toString(8)).toBe("700");
    expect(new Set(Object.values(modes))).toEqual(new Set(["600"]));
    await expect(openActors({ directory, actors: [counter] })).rejects.toMatchObject({ code: "JOURNAL_LOCKED" });
    const state = place();
    const inner = join(state, "journal");
    await expect(openActors({ directory: inner, actors: [counter] }).then((actors) => actors.stop())).resolves.toBe(undefined);
    writeFileSync(join(state, "cohortd.log"), "");
    for (const place of [state, inner])
      await expect(openActors({ directory: place, actors: [counter] })).rejects.toThrow(`directory: ${place} is cohortd's`);
  });

  it("a kind that is missing, or that changed without a new version, refuses to open", async () => {
    const directory = place();
    const first = await openActors({ directory, actors: [counter] });
    await first.start(counter, "one", {});
    await first.stop();
    await expect(openActors({ directory, actors: [] })).rejects.toMatchObject({ code: "JOURNAL_VERSION" });
    const changed = house.createMachine({ ...machine.config, initial: "closed" } as Parameters<typeof house.createMachine>[0]);
    const other = defineActor({ kind: "counter", version: 1, machine: changed as AnyStateMachine, input, events });
    await expect(openActors({ directory, actors: [other] })).rejects.toMatchObject({ code: "JOURNAL_VERSION" });
  });
});

test("an actor that another one spawned is reached by its name", async () => {
  const child = defineActor({
    kind: "child",
    version: 1,
    machine: setup({
      types: { context: {} as { name: string }, events: {} as Heard<typeof none>, input: {} as { name: string } },
      actions,
    }).createMachine({
      context: ({ input }) => ({ name: input.name }),
      initial: "idle",
      states: { idle: { on: { cancel: "gone" } }, gone: { type: "final" } },
    }),
    input: z.strictObject({ name: z.string() }),
    events: (() => none)(),
  });
  const parent = defineActor({
    kind: "parent",
    version: 1,
    machine: setup({ types: { context: {}, events: {} as Heard<typeof none>, input: {} }, actions }).createMachine({
      context: {},
      initial: "idle",
      states: {
        idle: { entry: { type: "spawn", params: { ref: "child:c", input: { name: "c" } } }, on: { cancel: "gone" } },
        gone: { type: "final" },
      },
    }),
    input: z.strictObject({}),
    events: (() => none)(),
  });
  const actors = await open({ directory: place(), actors: [parent, child] });
  const one = await actors.start(parent, "p", {});
  expect(await actors.of(child, "c").query()).toMatchObject({ value: "idle", context: { name: "c" }, status: "active" });
  await one.cancel("enough");
  expect([(await one.ended()).value, (await actors.of(child, "c").ended()).value]).toEqual(["gone", "gone"]);
});

const none = z.strictObject({ type: z.literal("none") });
