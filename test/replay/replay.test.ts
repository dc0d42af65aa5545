/** Replay of rows: what it proves, and what it says where it can prove nothing. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { setup } from "xstate";
import { childMachine } from "../../machines/child.ts";
import { childDefinition } from "../../machines/definitions.ts";
import { PreparedDefinition } from "../../runtime/actor/definition.ts";
import type { ActorDefinition } from "../../runtime/contract.ts";
import { runtimeActions, type Json } from "../../runtime/kernel/actions.ts";
import { TOMBSTONE, type JournaledActor, type JournaledEvent } from "../../runtime/kernel/history.ts";
import { stateHash } from "../../runtime/kernel/state-hash.ts";
import { replayActor, type Divergence, type Verdict } from "../../runtime/replay/actor-replay.ts";
import { changesBetween } from "../../runtime/replay/snapshot-diff.ts";
import { replayDefinitions } from "../../sdk/replay.ts";
import { origin, SystemBench, until } from "../actors/system-bench.ts";
import { eventually, open, temporaryDirectory } from "../runtime/fixture/opened.ts";
import { pastOfRun, pastOfScope, replayAll, type Past } from "./replayed-run.ts";

function differences(past: readonly Past[]): unknown {
  return replayAll(past).filter(({ verdict }) => verdict.type !== "same");
}

function find(past: readonly Past[], start: string): Past {
  const found = past.find(({ actor }) => actor.ref.startsWith(start));
  if (found === undefined) throw new Error(`no actor ${start}`);
  return found;
}

function verdictOf({ actor, events }: Past): Verdict {
  return replayActor(actor, events, replayDefinitions([])).verdict;
}

function divergenceOf(past: Past): Omit<Divergence, "changes" | "state" | "atMs"> | Verdict {
  const verdict = verdictOf(past);
  if (verdict.type !== "departs") return verdict;
  const { what, seq, event, expected, actual, detail } = verdict.divergence;
  return { what, seq, event, expected, actual, detail };
}

describe("a run of the system", () => {
  const bench = new SystemBench();
  let past: readonly Past[] = [];
  let run = "";
  beforeAll(async () => {
    await bench.open();
    run = await bench.start([{ command: ["echo", "hello"] }, { command: ["exit", "3"], retries: 1 }, { command: ["missing"] }], {
      jobs: 2,
    });
    await bench.events(run);
    await until(() => !bench.system.busy(), "nothing is left");
    past = await pastOfRun(bench.system, run);
  });
  afterAll(() => bench.close());

  it("replays the same, every actor of it", () => {
    expect(past.map(({ actor }) => actor.ref)).toEqual([
      `child:${run}/0`,
      `child:${run}/1`,
      `child:${run}/2`,
      `relay:${run}`,
      `run:${run}`,
    ]);
    expect(differences(past)).toEqual([]);
    for (const { events, states } of replayAll(past)) expect(states).toBeGreaterThan(events / 2);
  });

  it("is told the same in pages of any size", async () => {
    for (const limit of [1, 2, 7, 1000]) expect([limit, await pastOfRun(bench.system, run, limit)]).toEqual([limit, past]);
  });

  it("is unknown to a request that names another", async () => {
    await expect(bench.system.history("nosuchrun1", null, 10)).rejects.toMatchObject({ code: "RUN_UNKNOWN" });
  });

  it("is replayed up to where it stands while it lives, and over a stop of its supervisor", async () => {
    const living = await bench.start([{ command: ["sleep", "200"] }, { command: ["hang"] }], { jobs: 2 });
    await until(async () => (await bench.system.children()).filter(({ state }) => state === "running").length === 2, "both run");
    const first = await pastOfRun(bench.system, living);
    expect(find(first, "run:").actor.status).toBe("active");
    expect(differences(first)).toEqual([]);
    await bench.stop();
    await bench.open();
    await bench.system.cancelRun(living, "kill", "", origin);
    await bench.events(living);
    const last = await pastOfRun(bench.system, living);
    expect(find(last, "run:").actor.status).toBe("cancelled");
    expect(differences(last)).toEqual([]);
  });

  it("is found out at the event whose state was changed", () => {
    const { actor, events } = find(past, `child:${run}/0`);
    const at = events.findIndex(({ type, stateHash: hash }) => type === "exited" && hash !== null);
    const [forged, event] = ["0".repeat(32), events[at]];
    if (event === undefined) throw new Error("no such event");
    const changed = events.map((one, place) => (place === at ? { ...one, stateHash: forged } : one));
    const { seq, stateHash: actual } = event;
    expect(divergenceOf({ actor, events: changed })).toEqual({
      what: "state",
      seq,
      event: "exited",
      expected: forged,
      actual,
      detail: null,
    });
  });

  it("is found out at the event whose payload was changed, with what that led to", () => {
    const { actor, events } = find(past, `child:${run}/0`);
    const changed = events.map((one) => (one.type === "exited" ? { ...one, payload: one.payload.replace('"code":0', '"code":9') } : one));
    const verdict = verdictOf({ actor, events: changed });
    const { divergence } = verdict as Extract<Verdict, { type: "departs" }>;
    expect(divergence).toMatchObject({ what: "state", event: "exited", state: { value: "collecting", context: { status: "failed" } } });
    expect(divergence.changes).toEqual([
      { path: "context.status", before: "succeeded", after: "failed" },
      { path: "context.exit.code", before: 0, after: 9 },
    ]);
  });

  it("is found out by an event that is missing, or that had another outcome", () => {
    const { actor, events } = find(past, `child:${run}/0`);
    expect(divergenceOf({ actor, events: events.filter(({ type }) => type !== "started") })).toMatchObject({
      event: "exited",
      what: "state",
    });
    const refused = events.map((one) => (one.type === "started" ? { ...one, outcome: "dead" } : one));
    expect(divergenceOf({ actor, events: refused })).toMatchObject({
      event: "started",
      what: "outcome",
      expected: "dead",
      actual: "applied",
    });
  });

  it("is found out by its last state and by its status", () => {
    const { actor, events } = find(past, "relay:");
    const last = events.at(-1)?.seq;
    const snapshot = actor.snapshot.replace('"delivered":3', '"delivered":4');
    expect(divergenceOf({ actor: { ...actor, snapshot }, events })).toMatchObject({
      what: "end",
      seq: last,
      expected: stateHash(snapshot),
    });
    expect(divergenceOf({ actor: { ...actor, status: "active" }, events })).toMatchObject({
      what: "end",
      expected: "active",
      actual: "done",
    });
  });

  it("has no verdict where nothing could be compared, and says why", () => {
    const { actor, events } = find(past, `child:${run}/1`);
    expect(verdictOf({ actor, events: events.slice(1) })).toEqual({ type: "cut" });
    expect(verdictOf({ actor, events: [] })).toEqual({ type: "cut" });
    expect(verdictOf({ actor: { ...actor, ref: "dragon:1" }, events })).toEqual({ type: "unknown-kind" });
    expect(verdictOf({ actor: { ...actor, version: 99 }, events })).toEqual({
      type: "other-version",
      version: 99,
      reason: expect.stringContaining(`is of version 99, this build knows ${childDefinition.version}`),
    });
  });

  it("ends at its tombstone, cleanly, with what was the same before", () => {
    const { actor, events } = find(past, `child:${run}/1`);
    const erased: JournaledActor = { ...actor, snapshot: "" };
    const tomb = (event: JournaledEvent): JournaledEvent => ({ ...event, ...TOMBSTONE, payload: "", detail: null });
    const seqOf = (at: number): number => events[at]?.seq ?? -1;
    expect(verdictOf({ actor: erased, events: events.map(tomb) })).toEqual({ type: "deleted", seq: seqOf(0) });
    const half = [...events.slice(0, 3), ...events.slice(3).map(tomb)];
    expect(replayActor(erased, half, replayDefinitions([]))).toMatchObject({ events: 3, verdict: { type: "deleted", seq: seqOf(3) } });
    expect(verdictOf({ actor: erased, events: [] })).toEqual({ type: "deleted", seq: null });
    // What departed before it was deleted did depart.
    const forged = half.map((one, at) => (at === 0 ? { ...one, outcome: "failed" } : one));
    expect(divergenceOf({ actor: erased, events: forged })).toMatchObject({ what: "outcome", expected: "failed", actual: "applied" });
  });

  it("asks a changed machine, which departs at the first event that it takes otherwise, with both states and both plans", () => {
    const machine = childMachine.provide({ guards: { retries: () => false, retriesAndGone: () => false } });
    const asked = replayAll(past, [{ kind: "child", machine }]);
    expect(
      asked.map(({ actor, departure }) => [actor.slice(0, 5), departure === undefined ? "not asked" : (departure?.event ?? "the same")]),
    ).toEqual([
      ["child", "the same"],
      ["child", "settled"],
      ["child", "the same"],
      ["relay", "not asked"],
      [`run:${run}`.slice(0, 5), "not asked"],
    ]);
    expect(asked.map(({ verdict }) => verdict.type)).toEqual(["same", "same", "same", "same", "same"]);
    const departure = asked[1]?.departure;
    expect(departure?.present.state).toMatchObject({ value: "waiting", status: "active" });
    expect(departure?.changed.state).toMatchObject({ value: "settled", status: "done" });
    expect(departure?.present.actions.map(({ type }) => type)).toEqual(["project", "append", "startTimer"]);
    expect(departure?.changed.actions.map(({ type, to, collection }) => [type, to ?? collection])).toEqual([
      ["send", `relay:${run}`],
      ["project", "children"],
    ]);
    expect(departure?.changes).toContainEqual({ path: "value", before: "waiting", after: "settled" });
  });

  it("asks a changed machine that plans something else from the same state, or that throws", () => {
    const silent = replayAll(past, [{ kind: "relay", machine: relayThat("says nothing") }]).at(3)?.departure;
    expect([silent?.event, silent?.present.state, silent?.changes]).toEqual(["result", silent?.changed.state, []]);
    expect([silent?.present.actions.length, silent?.changed.actions.length]).toEqual([2, 1]);
    const broken = replayAll(past, [{ kind: "relay", machine: relayThat("throws") }]).at(3)?.departure;
    expect(broken).toMatchObject({
      event: "result",
      present: { outcome: "applied" },
      changed: { outcome: "failed", message: expect.stringContaining("it broke"), actions: [] },
    });
  });

  it("refuses a changed machine that no actor of a run is of, or that does work of its own", () => {
    expect(() => replayDefinitions([{ kind: "dragon", machine: childMachine }])).toThrow(
      "no actor of a run is of kind dragon; there are run, relay, child, grant, approval",
    );
    const working = setup({}).createMachine({ id: "child", initial: "a", states: { a: { after: { 10: "b" } }, b: {} } });
    expect(() => replayDefinitions([{ kind: "child", machine: working }])).toThrow(/after/);
  });
});

/** As the present one, but for one thing. */
function relayThat(fault: "says nothing" | "throws"): ActorDefinition["machine"] {
  type Result = { readonly type: string; readonly at: number; readonly facts: { readonly [field: string]: Json } };
  const house = setup({
    types: { context: {} as { run: string; delivered: number }, events: {} as Result, input: {} as { run: string } },
    actions: runtimeActions,
  });
  return house.createMachine({
    id: "relay",
    context: ({ input }) => ({ run: input.run, delivered: 0 }),
    initial: "open",
    states: {
      open: {
        on: {
          result: {
            guard: () => {
              if (fault === "throws") throw new Error("it broke");
              return true;
            },
            actions: [
              house.assign({ delivered: ({ context }) => context.delivered + 1 }),
              {
                type: "append",
                params: ({ context, event }) => ({
                  log: `run:${context.run}`,
                  value: { type: "task-finished", atMs: event.at, facts: event.facts },
                }),
              },
            ],
          },
          close: "closed",
        },
      },
      closed: { type: "final" },
    },
  });
}

describe("an actor", () => {
  const house = setup({
    types: {
      context: {} as { readonly count: number; readonly at: number },
      events: {} as { type: "add" | "break" | "close"; at: number },
      input: {} as { at: number },
    },
    actions: runtimeActions,
    guards: {
      breaks: (): boolean => {
        throw new Error("it broke");
      },
    },
  });
  const machine = house.createMachine({
    context: ({ input }) => ({ count: 0, at: input.at }),
    initial: "open",
    states: {
      open: {
        on: {
          add: { actions: house.assign({ count: ({ context }) => context.count + 1 }) },
          break: { guard: "breaks", target: "closed" },
          close: "closed",
        },
      },
      closed: { type: "final" },
    },
  });
  const definition: ActorDefinition = { kind: "counter", version: 1, machine, restart: "transient" };
  const definitions = { present: new Map([["counter", new PreparedDefinition(definition)]]), changed: new Map() };

  it("that is restarted replays over its failure and its next incarnation, which begins from its input", async () => {
    const runtime = await open(await temporaryDirectory(), { definitions: [definition] });
    const post = (type: string): Promise<void> => runtime.post("counter:1", { type }, origin);
    await runtime.spawn("counter:1", {}, { origin });
    await post("add");
    await post("add");
    await expect(post("break")).rejects.toThrow("it broke");
    await eventually("it lives again", async () => (await pastOfScope(runtime, "counter:1"))[0]?.actor.status === "active");
    await post("add");
    await post("close");
    const [counter, ...others] = await pastOfScope(runtime, "counter:1");
    if (counter === undefined) throw new Error("no counter");
    expect(others).toEqual([]);
    expect(counter.events.map(({ type, outcome }) => `${type} ${outcome}`)).toEqual([
      "spawn applied",
      "add applied",
      "add applied",
      "break failed",
      "restart applied",
      "add applied",
      "close applied",
    ]);
    expect(JSON.parse(counter.actor.snapshot)).toMatchObject({ value: "closed", context: { count: 1 } });
    expect(replayActor(counter.actor, counter.events, definitions)).toEqual({
      actor: "counter:1",
      kind: "counter",
      events: 7,
      states: 8,
      verdict: { type: "same" },
    });
  });

  it("that a later build took up is compared from its migration on, which must be where the replay is", async () => {
    const directory = await temporaryDirectory();
    const early = await open(directory, { definitions: [definition] });
    await early.spawn("counter:1", {}, { origin });
    await early.post("counter:1", { type: "add" }, origin);
    await early.stop();
    /** In version 2 the count is doubled; what a forgetful migration makes of it is found out. */
    const doubled = house.createMachine({
      context: ({ input }) => ({ count: 0, at: input.at }),
      initial: "open",
      states: {
        open: { on: { add: { actions: house.assign({ count: ({ context }) => context.count + 2 }) }, close: "closed" } },
        closed: { type: "final" },
      },
    });
    const step = (snapshot: Json): Json => {
      const { context, ...rest } = snapshot as { readonly context: { readonly count: number; readonly at: number } };
      return { ...rest, context: { ...context, count: context.count * 2 } };
    };
    const second: ActorDefinition = { ...definition, version: 2, machine: doubled, migrations: { 1: step } };
    const late = await open(directory, { definitions: [second] });
    await eventually("the migration is written", async () => (await pastOfScope(late, "counter:1"))[0]?.events.at(-1)?.type === "migrated");
    await late.post("counter:1", { type: "add" }, origin);
    const [counter] = await pastOfScope(late, "counter:1");
    if (counter === undefined) throw new Error("no counter");
    expect(counter.events.map(({ cause, type, payload }) => [cause, type, payload]).slice(1)).toEqual([
      ["post", "add", '{"type":"add"}'],
      ["migration", "migrated", '{"from":1,"to":2}'],
      ["post", "add", '{"type":"add"}'],
    ]);
    expect(JSON.parse(counter.actor.snapshot)).toMatchObject({ context: { count: 4 } });
    const with2 = (later: ActorDefinition): Verdict =>
      replayActor(counter.actor, counter.events, { ...definitions, present: new Map([["counter", new PreparedDefinition(later)]]) })
        .verdict;
    expect(with2(second)).toEqual({ type: "migrated", version: 1 });
    const departs = with2({ ...second, machine });
    expect(departs).toMatchObject({ type: "departs", divergence: { what: "state", event: "migrated", state: { context: { count: 1 } } } });
  });

  it("of an earlier version is migrated for the comparison of its end, or named as replayed with another version", () => {
    const start = {
      seq: 1,
      atMs: 5,
      cause: "spawn",
      type: "spawn",
      payload: "{}",
      outcome: "applied",
      detail: null,
      stateHash: "0".repeat(32),
    };
    const events: readonly JournaledEvent[] = [start, { ...start, seq: 2, cause: "post", type: "add", payload: '{"type":"add"}' }];
    const row: JournaledActor = {
      ref: "counter:1",
      version: 1,
      hash: "",
      status: "active",
      snapshot: '{"value":"open","context":{"sum":1,"at":5},"status":"active"}',
    };
    const renamed = (snapshot: Json): Json => {
      const { context, ...rest } = snapshot as { readonly context: { readonly sum: number; readonly at: number } };
      return { ...rest, context: { count: context.sum, at: context.at } };
    };
    const verdict = (later: Partial<ActorDefinition>, actor: JournaledActor): Verdict =>
      replayActor(actor, events, {
        ...definitions,
        present: new Map([["counter", new PreparedDefinition({ ...definition, version: 2, ...later })]]),
      }).verdict;
    expect(verdict({ migrations: { 1: renamed } }, row)).toEqual({ type: "migrated", version: 1 });
    expect(verdict({}, row)).toEqual({
      type: "other-version",
      version: 1,
      reason: expect.stringContaining("no migration of counter from version 1"),
    });
    const other = verdict({ migrations: { 1: renamed } }, { ...row, snapshot: row.snapshot.replace('"sum":1', '"sum":7') });
    expect(other).toMatchObject({
      type: "departs",
      divergence: { what: "end", seq: 2, changes: [{ path: "context.count", before: 7, after: 1 }] },
    });
  });
});

describe("a diff of states", () => {
  it("names each place once, added and removed ones too, and stops where nobody reads on", () => {
    expect(changesBetween({ a: 1, b: { c: [1, 2] }, gone: null }, { a: 1, b: { c: [1, 3, 4] }, new: {} })).toEqual([
      { path: "b.c.1", before: 2, after: 3 },
      { path: "b.c.2", after: 4 },
      { path: "gone", before: null },
      { path: "new", after: {} },
    ]);
    expect(changesBetween(null, { a: 1 })).toEqual([{ path: "", before: null, after: { a: 1 } }]);
    expect(changesBetween([1], { 0: 1 })).toHaveLength(1);
    expect(
      changesBetween(
        Array.from({ length: 500 }, () => 1),
        Array.from({ length: 500 }, () => 2),
      ),
    ).toHaveLength(100);
  });
});
