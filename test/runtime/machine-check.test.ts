import { describe, expect, it } from "vitest";
import {
  assign,
  createMachine,
  emit,
  enqueueActions,
  fromPromise,
  log,
  raise,
  sendTo,
  setup,
  spawnChild,
  type AnyStateMachine,
} from "xstate";
import { PreparedDefinition } from "../../runtime/actor/definition.ts";
import { readOperations } from "../../runtime/actor/operations.ts";
import { runtimeActions } from "../../runtime/kernel/actions.ts";
import { open, origin, temporaryDirectory } from "./fixture/opened.ts";

function prepare(machine: AnyStateMachine): PreparedDefinition {
  return new PreparedDefinition({ kind: "probe", version: 1, machine });
}

const work = (): void => undefined;
const promised = fromPromise(() => Promise.resolve(1));

/** What a machine may not do, the words the refusal must contain, and where it stands. */
const refused: readonly (readonly [what: string, state: string, words: string, config: Parameters<typeof createMachine>[0]])[] = [
  ["an inline function in entry", "a", "a function that does work; use effect", { initial: "a", states: { a: { entry: work } } }],
  ["an inline function in exit", "a", "a function that does work", { initial: "a", states: { a: { exit: work } } }],
  [
    "an inline function on a transition",
    "a.b",
    "a function that does work",
    { initial: "a", states: { a: { initial: "b", states: { b: { on: { go: { actions: work } } } } } } },
  ],
  [
    "an inline function on an eventless transition",
    "a",
    "a function that does work",
    { initial: "a", states: { a: { always: { guard: () => false, actions: work } } } },
  ],
  [
    "an inline function on the initial transition",
    "(root)",
    "a function that does work",
    { initial: { target: "a", actions: work }, states: { a: {} } },
  ],
  ["an inline function at the root", "(root)", "a function that does work", { on: { go: { actions: work } } }],
  [
    "an inline function in a parallel region",
    "p.left",
    "a function that does work",
    { type: "parallel", states: { p: { type: "parallel", states: { left: { on: { go: { actions: work } } } } } } },
  ],
  ["invoke", "a", "invoke; use an effect", { initial: "a", states: { a: { invoke: { src: promised } } } }],
  ["after", "a", "after; use startTimer", { initial: "a", states: { a: { after: { 1000: "b" } }, b: {} } }],
  ["a delayed raise", "a", "raises with a delay", { initial: "a", states: { a: { entry: raise({ type: "go" }, { delay: 10 }) } } }],
  ["sendTo", "a", "uses sendTo; use send,", { initial: "a", states: { a: { entry: sendTo("other", { type: "go" }) } } }],
  ["spawnChild", "a", "uses spawnChild; use spawn,", { initial: "a", states: { a: { entry: spawnChild(promised) } } }],
  ["emit", "a", "uses emit; use append,", { initial: "a", states: { a: { entry: emit({ type: "go" }) } } }],
  ["log", "a", "uses log; use append,", { initial: "a", states: { a: { entry: log("hello") } } }],
  ["an action that nobody knows", "a", "action mystery is not known", { initial: "a", states: { a: { entry: "mystery" } } }],
  ["a named action without params", "a", "append without params", { initial: "a", states: { a: { entry: "append" } } }],
  ["a history state", "a.h", "history", { initial: "a", states: { a: { initial: "b", states: { b: {}, h: { type: "history" } } } } }],
];

describe("registration", () => {
  it.each(refused)("refuses %s, naming the state %s", (_, state, words, config) => {
    const machine = createMachine({ id: "probe", ...config });
    expect(() => prepare(machine)).toThrow(
      expect.objectContaining({ code: "MACHINE_REFUSED", message: expect.stringContaining(`state ${state}: `) as string }) as Error,
    );
    expect(() => prepare(machine)).toThrow(words);
  });

  it("refuses a named action that works, and one of the host's names with a body of its own", () => {
    const named = setup({ actions: { notify: work } }).createMachine({ initial: "a", states: { a: { entry: "notify" } } });
    expect(() => prepare(named)).toThrow("action notify is a function that does work");
    const own = setup({ actions: { append: work } }).createMachine({
      initial: "a",
      states: { a: { entry: { type: "append", params: {} } } },
    });
    expect(() => prepare(own)).toThrow("its meaning is the host's");
  });

  it("accepts assign, raise, enqueueActions and the host's actions, inline or named", () => {
    const house = setup({
      types: { context: {} as { n: number } },
      actions: { ...runtimeActions, count: assign({ n: 1 }), again: raise({ type: "again" }) },
    });
    const machine = house.createMachine({
      context: { n: 0 },
      entry: ["count", "again", { type: "stopTimer", params: { name: "t" } }, enqueueActions(({ enqueue }) => enqueue.assign({ n: 2 }))],
      on: { again: { actions: assign({ n: 3 }) } },
    });
    const started = prepare(machine).start(null);
    expect(started.snapshot.context).toEqual({ n: 3 });
    // The raise is listed, and xstate has applied it: the host must not do it again.
    expect(readOperations(started.actions).map((operation) => operation.type)).toEqual(["stopTimer"]);
  });

  it("refuses two definitions of one kind", async () => {
    const machine = createMachine({});
    const definition = { kind: "probe", version: 1, machine };
    await expect(open(await temporaryDirectory(), { definitions: [definition, definition] })).rejects.toMatchObject({
      code: "MACHINE_REFUSED",
    });
  });
});

describe("what only shows itself at a transition fails its event", () => {
  const house = setup({ actions: runtimeActions });
  const cases: readonly (readonly [what: string, machine: AnyStateMachine])[] = [
    ["a function through enqueueActions", house.createMachine({ entry: enqueueActions(({ enqueue }) => enqueue(work)) })],
    [
      "a function that borrows a name of the host",
      house.createMachine({ entry: enqueueActions(({ enqueue }) => enqueue(function append() {})) }),
    ],
    [
      "a delayed raise through enqueueActions",
      house.createMachine({ entry: enqueueActions(({ enqueue }) => enqueue.raise({ type: "go" }, { delay: 5 })) }),
    ],
    ["an actor spawned by assign", house.createMachine({ entry: assign(({ spawn }) => ({ child: spawn(createMachine({})) })) })],
    [
      "a message to what is no ref",
      house.createMachine({ entry: { type: "send", params: { to: "nobody" as "a:b", event: { type: "go" } } } }),
    ],
    ["a timer at no time", house.createMachine({ entry: { type: "startTimer", params: { name: "t", atMs: Number.NaN } } })],
    [
      "an effect that is not registered",
      house.createMachine({ entry: { type: "effect", params: { name: "none", key: "k", params: null } } }),
    ],
    [
      "an actor of a kind that is not registered",
      house.createMachine({ entry: { type: "spawn", params: { ref: "none:a", input: null } } }),
    ],
    ["a cycle of raised events", house.createMachine({ entry: raise({ type: "go" }), on: { go: { actions: raise({ type: "go" }) } } })],
  ];
  it.each(cases)("%s", async (_, machine) => {
    const runtime = await open(await temporaryDirectory(), { definitions: [{ kind: "probe", version: 1, machine }] });
    await expect(runtime.spawn("probe:a", null, { origin })).rejects.toMatchObject({ code: "INTERNAL" });
    expect(runtime.stats()).toMatchObject({ actors: 0, pendingEffects: 0, pendingTimers: 0 });
  });
});
