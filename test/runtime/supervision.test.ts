import { describe, expect, it } from "vitest";
import { PreparedDefinition } from "../../runtime/actor/definition.ts";
import type { EffectDefinition } from "../../runtime/contract.ts";
import type { ActorEvent, ActorRef } from "../../runtime/kernel/actions.ts";
import { RESTART_DELAY_MS_MIN, RESTARTS_MAX } from "../../runtime/kernel/limits.ts";
import { replayActor } from "../../runtime/replay/actor-replay.ts";
import { restartDelayMs } from "../../runtime/supervisor/policy.ts";
import { broken, kind, NUMBERS, ORIGIN, Stage, type FamilyInput } from "./fixture/family.ts";

const one = { ...NUMBERS, strategy: "one-for-one" } as const;
const all = { ...NUMBERS, strategy: "all" } as const;
const definitions = [kind("boss", one), kind("general", all), kind("leaf"), kind("frail", undefined, { restart: "transient" }), broken];

type Child = NonNullable<FamilyInput["children"]>[number];

function child(ref: ActorRef, restart?: string, rest: Partial<FamilyInput> = {}): Child {
  return { ref, input: { self: ref, ...rest }, ...(restart === undefined ? {} : { restart }) };
}

async function explode(stage: Stage, ref: ActorRef): Promise<void> {
  await expect(stage.post(ref, { type: "explode" })).rejects.toMatchObject({ code: "INTERNAL" });
}

/** An outcome that the test decides, and what was undone. */
function held(name: string): { readonly definition: EffectDefinition; readonly ran: string[]; readonly undone: string[]; release(): void } {
  const [ran, undone]: [string[], string[]] = [[], []];
  const releases: (() => void)[] = [];
  const definition: EffectDefinition = {
    name,
    safety: "keyed",
    run: (_, { key }) => {
      ran.push(key);
      return new Promise((resolve) => releases.push(() => resolve({ type: "outcome", key })));
    },
    compensate: (_, { key }) => Promise.resolve(void undone.push(key)),
  };
  return { definition, ran, undone, release: () => releases.splice(0).forEach((release) => release()) };
}

describe("a restart", () => {
  it("begins from the input, without the timers of the incarnation that failed, and with the mail of others", async () => {
    const stage = new Stage(definitions);
    await stage.open();
    await stage.spawn("boss:one", { children: [child("leaf:a", "transient"), child("leaf:b")] });
    const atMs = stage.environment.now() + 500;
    await stage.post("leaf:a", { type: "arm", name: "old", atMs });
    // What it sent itself was for this incarnation; what b sends is for whoever bears the name.
    const tell = (from: ActorRef, event: ActorEvent): Promise<void> =>
      stage.runtime.post(from, { type: "tell", to: "leaf:a", event }, ORIGIN);
    const told = [
      tell("leaf:a", { type: "explode" }),
      tell("leaf:a", { type: "add" }),
      tell("leaf:b", { type: "outcome", from: "b" }),
      stage.runtime.post("leaf:a", { type: "add" }, ORIGIN),
    ];
    await stage.settle(Promise.all(told));
    await stage.environment.advance(2000);
    const { row, events } = (await stage.history("boss:one")).get("leaf:a") ?? { row: null, events: [] };
    const failedAt = events.findIndex((event) => event.outcome === "failed");
    const after = events.slice(failedAt).map(({ cause, type, outcome, detail }) => [cause, type, outcome, detail]);
    expect(after).toEqual([
      ["message", "explode", "failed", expect.stringContaining("it exploded")],
      ["supervision", "restart", "applied", null],
      ["message", "add", "dead", "for an earlier incarnation"],
      ["message", "outcome", "applied", null],
    ]);
    expect(JSON.parse(row?.snapshot ?? "null")).toMatchObject({ context: { count: 0 }, value: "working" });
    expect((await stage.heard("leaf:a")).filter((event) => event.type === "timer")).toEqual([]);
    expect(stage.runtime.stats().pendingTimers).toBe(0);
    await stage.end();
  });

  it("undoes the effects of the old incarnation, never gives their outcomes to the new one, and may use their keys anew", async () => {
    const effect = held("work");
    const stage = new Stage(definitions, [effect.definition]);
    await stage.open();
    await stage.spawn("boss:one", { children: [child("leaf:a", "transient")] });
    await stage.post("leaf:a", { type: "plan", name: "work", key: "k" });
    await stage.environment.advance(10);
    await explode(stage, "leaf:a");
    await stage.environment.advance(2000);
    await stage.post("leaf:a", { type: "plan", name: "work", key: "k" });
    await stage.environment.advance(10);
    expect(effect.ran).toEqual(["k", "k#2"]);
    effect.release();
    await stage.environment.advance(1000);
    expect(effect.undone).toEqual(["k"]);
    expect((await stage.heard("leaf:a")).map((event) => event["key"])).toEqual(["k#2"]);
    expect(stage.runtime.stats().pendingEffects).toBe(0);
    await stage.end();
  });

  it("comes after a delay that doubles with each one in the window, up to the maximum, times a half to one by chance", async () => {
    const stage = new Stage(definitions, [], 3);
    await stage.open();
    await stage.spawn("boss:one", { children: [child("leaf:a", "permanent")] });
    for (let times = 0; times < 5; times++) {
      await explode(stage, "leaf:a");
      await stage.environment.advance(1100);
    }
    const events = (await stage.history("boss:one")).get("leaf:a")?.events ?? [];
    const waits = events.flatMap((event, at) => (event.type === "restart" ? [event.atMs - (events[at - 1]?.atMs ?? 0)] : []));
    const bounds = [100, 200, 400, 800, 1000];
    expect(waits).toHaveLength(5);
    for (const [at, waitMs] of waits.entries()) {
      expect(waitMs).toBeGreaterThanOrEqual((bounds[at] ?? 0) / 2);
      expect(waitMs).toBeLessThanOrEqual((bounds[at] ?? 0) + 5);
    }
    expect([0, 1].map((random) => restartDelayMs(one, 2, random))).toEqual([100, 200]);
    await stage.end();
  });

  it("of a child whose first transition throws is tried as often as any, and then its parent hears", async () => {
    const stage = new Stage([{ ...broken, restart: "permanent" }, kind("boss")]);
    await stage.open();
    await stage.spawn("boss:one", { children: [child("broken:a")] });
    await stage.environment.advance(60_000);
    const events = (await stage.history("boss:one")).get("broken:a")?.events ?? [];
    expect(events.map(({ type, outcome }) => [type, outcome])).toEqual([
      ["spawn", "failed"],
      ...Array.from({ length: RESTARTS_MAX }, () => ["restart", "failed"]),
    ]);
    expect((await stage.heard("boss:one")).map((event) => [event.type, event["reason"]])).toEqual([["actorFailed", "failed"]]);
    await stage.end();
  });

  it("stops and ends temporary siblings for good where all share a fate, and tells their parent", async () => {
    const stage = new Stage(definitions);
    await stage.open();
    await stage.spawn("general:one", {
      children: [child("leaf:a", "temporary"), child("leaf:b", "transient"), child("leaf:c", "permanent")],
    });
    await explode(stage, "leaf:c");
    await stage.environment.advance(2000);
    expect((await stage.log("begun")).slice(4)).toEqual(["leaf:b", "leaf:c"]);
    expect((await stage.heard("general:one")).map(({ type, ref, reason }) => [type, ref, reason])).toEqual([
      ["actorFailed", "leaf:a", "cancelled"],
    ]);
    await expect(stage.post("leaf:a", { type: "add" })).rejects.toMatchObject({ code: "ACTOR_UNKNOWN" });
    await stage.end();
  });

  it("moves for one that waits when an elder sibling fails, too: both begin once, in their order", async () => {
    const stage = new Stage([kind("elder", { ...one, strategy: "rest-for-one" }), kind("leaf")]);
    await stage.open();
    await stage.spawn("elder:one", {
      children: [child("leaf:a", "permanent"), child("leaf:b", "permanent"), child("leaf:c", "permanent")],
    });
    await explode(stage, "leaf:c");
    await explode(stage, "leaf:b");
    await stage.environment.advance(5000);
    expect((await stage.log("begun")).slice(4)).toEqual(["leaf:b", "leaf:c"]);
    await stage.end();
  });

  it("is the same in a replay: every state, through every incarnation", async () => {
    const stage = new Stage(definitions);
    await stage.open();
    await stage.spawn("general:one", { children: [child("leaf:a", "permanent"), child("leaf:b", "transient")] });
    await stage.post("leaf:a", { type: "add" });
    await explode(stage, "leaf:b");
    await stage.environment.advance(2000);
    await stage.post("leaf:b", { type: "add" });
    await stage.post("leaf:a", { type: "close" });
    await stage.environment.advance(2000);
    const present = new Map(definitions.map((definition) => [definition.kind, new PreparedDefinition(definition)]));
    const replayed = [...(await stage.history("general:one")).values()].map(({ row, events }) =>
      replayActor(row, events, { present, changed: new Map() }),
    );
    expect(replayed.map(({ actor, verdict }) => [actor, verdict])).toEqual([
      ["general:one", { type: "same" }],
      ["leaf:a", { type: "same" }],
      ["leaf:b", { type: "same" }],
    ]);
    await stage.end();
  });
});

describe("a supervisor whose children break too often", () => {
  const chief = kind("chief", one);
  const twice = kind("twice", { ...all, restartsMax: 2 });

  it("escalates: its children are stopped in reverse order, and its own supervisor begins it again with them", async () => {
    const stage = new Stage([chief, twice, kind("leaf")]);
    await stage.open();
    await stage.spawn("chief:one", {
      children: [child("twice:a", "transient", { children: [child("leaf:x", "permanent"), child("leaf:y", "permanent")] })],
    });
    for (let times = 0; times < 3; times++) {
      await explode(stage, "leaf:x");
      await stage.environment.advance(1500);
    }
    expect((await stage.log("begun")).slice(4)).toEqual(["leaf:x", "leaf:y", "leaf:x", "leaf:y", "twice:a", "leaf:x", "leaf:y"]);
    const history = await stage.history("chief:one");
    expect(history.get("twice:a")?.events.map(({ cause, type }) => `${cause} ${type}`)).toEqual([
      "spawn spawn",
      "supervision escalate",
      "supervision restart",
    ]);
    expect(history.get("leaf:y")?.events.filter(({ type }) => type === "spawn")).toHaveLength(2);
    expect(await stage.heard("chief:one")).toEqual([]);
    await stage.end();
  });

  it("and that has nobody above it ends as escalated, and its children with it", async () => {
    const stage = new Stage([twice, kind("leaf")]);
    await stage.open();
    await stage.spawn("twice:a", { children: [child("leaf:x", "permanent"), child("leaf:y", "permanent")] });
    for (let times = 0; times < 3; times++) {
      await explode(stage, "leaf:x");
      await stage.environment.advance(1500);
    }
    const history = await stage.history("twice:a");
    expect(["twice:a", "leaf:x", "leaf:y"].map((ref) => history.get(ref)?.row.status)).toEqual(["escalated", "failed", "cancelled"]);
    expect(stage.runtime.stats()).toMatchObject({ actors: 0, pendingTimers: 0, queuedEvents: 0 });
    await stage.end();
  });

  it("does not count what is older than its window", async () => {
    const stage = new Stage([twice, kind("leaf")]);
    await stage.open();
    await stage.spawn("twice:a", { children: [child("leaf:x", "permanent")] });
    for (let times = 0; times < 6; times++) {
      await explode(stage, "leaf:x");
      await stage.environment.advance(31_000);
    }
    expect((await stage.log("begun")).filter((ref) => ref === "leaf:x")).toHaveLength(7);
    await stage.end();
  });

  it.each([0, 1, 2])(
    "because several could not begin in one transition (%i allowed) gives up once that transition is whole",
    async (restartsMax) => {
      const strict = kind("strict", { ...one, restartsMax });
      const stage = new Stage([chief, strict, kind("leaf"), { ...broken, restart: "transient" }]);
      await stage.open();
      const children = [child("broken:a"), child("broken:b"), child("leaf:c"), child("broken:d")];
      await stage.spawn("chief:one", { children: [child("strict:a", "temporary", { children })] });
      await stage.environment.advance(5000);
      expect((await stage.heard("chief:one")).map(({ type, ref, reason }) => [type, ref, reason])).toEqual([
        ["actorFailed", "strict:a", "escalated"],
      ]);
      const escalations = (await stage.history("chief:one")).get("strict:a")?.events.filter(({ type }) => type === "escalate");
      expect(escalations).toHaveLength(1);
      expect(stage.runtime.stats()).toMatchObject({ actors: 1, pendingTimers: 0, queuedEvents: 0 });
      await stage.end();
    },
  );

  it("and that ends by its own final state leaves its children, who are on their own from then on", async () => {
    const stage = new Stage([chief, kind("leaf")]);
    await stage.open();
    await stage.spawn("chief:one", { children: [child("leaf:a", "transient"), child("leaf:b", "permanent")] });
    await stage.post("chief:one", { type: "close" });
    await explode(stage, "leaf:a");
    await stage.environment.advance(2000);
    expect((await stage.log("begun")).slice(3)).toEqual(["leaf:a"]);
    expect(stage.runtime.stats().actors).toBe(2);
    await stage.end();
  });
});

describe("what was cancelled", () => {
  it("is not restarted when it throws instead of ending, and its parent hears of the failure", async () => {
    const stage = new Stage(definitions);
    await stage.open();
    const grave: Child = { ...child("leaf:a", "permanent"), scope: "grave" };
    await stage.spawn("boss:one", { children: [grave] });
    const cancel = stage.runtime.cancelScope("grave", "grace", "enough", ORIGIN);
    const explosion = stage.runtime.post("leaf:a", { type: "explode" }, ORIGIN);
    await stage.settle(Promise.allSettled([explosion, cancel]));
    await stage.environment.advance(5000);
    expect((await stage.log("begun")).slice(2)).toEqual([]);
    expect(stage.runtime.stats()).toMatchObject({ actors: 1, pendingTimers: 0, queuedEvents: 0 });
    await stage.end();
  });

  it("is not restarted while it waits for that: it ends as cancelled, once, and its parent hears", async () => {
    const stage = new Stage(definitions);
    await stage.open();
    const grave: Child = { ...child("leaf:a", "permanent"), scope: "grave" };
    await stage.spawn("boss:one", { children: [grave] });
    await explode(stage, "leaf:a");
    for (const mode of ["grace", "grace", "kill"] as const) await stage.settle(stage.runtime.cancelScope("grave", mode, "enough", ORIGIN));
    await stage.environment.advance(5000);
    expect((await stage.log("begun")).slice(2)).toEqual([]);
    expect((await stage.heard("boss:one")).map(({ type, reason }) => [type, reason])).toEqual([["actorFailed", "cancelled"]]);
    expect((await stage.history("grave")).get("leaf:a")?.row.status).toBe("cancelled");
    await stage.end();
  });

  it("of a supervisor that waits for its restart takes its stopped children along", async () => {
    const stage = new Stage([kind("strict", { ...one, restartsMax: 0 }), kind("leaf")]);
    await stage.open();
    await stage.spawn("strict:top", { children: [child("leaf:a", "permanent")] }, { restart: "permanent" });
    await explode(stage, "leaf:a");
    await stage.settle(stage.runtime.cancelScope("strict:top", "grace", "enough", ORIGIN));
    await stage.environment.advance(5000);
    const history = await stage.history("strict:top");
    expect([...history.values()].map(({ row }) => [row.ref, row.status])).toEqual([
      ["leaf:a", "failed"],
      ["strict:top", "cancelled"],
    ]);
    expect(stage.runtime.stats()).toMatchObject({ actors: 0, pendingTimers: 0, queuedEvents: 0 });
    await stage.end();
  });
});

describe("an actor without a supervisor", () => {
  it("is restarted by itself, as often as the limits allow, and then ends as failed", async () => {
    const stage = new Stage(definitions);
    await stage.open();
    await stage.spawn("frail:a");
    for (let times = 0; times <= RESTARTS_MAX; times++) {
      await explode(stage, "frail:a");
      if (times < RESTARTS_MAX) await stage.environment.advance(RESTART_DELAY_MS_MIN * 2 ** times + 100);
    }
    expect(await stage.log("begun")).toHaveLength(RESTARTS_MAX + 1);
    expect((await stage.history("frail:a")).get("frail:a")?.row.status).toBe("failed");
    await stage.end();
  });
});

describe("a definition", () => {
  it.each([{ restartsMax: -1 }, { windowMs: Number.NaN }, { delayMsMin: 10, delayMsMax: 1 }, { restartsMax: 1001 }])(
    "that supervises with %j is refused",
    async (numbers) => {
      await expect(new Stage([kind("boss", { ...one, ...numbers })]).open()).rejects.toMatchObject({ code: "MACHINE_REFUSED" });
    },
  );

  it("whose machine spawns with an unknown type of restart fails the event", async () => {
    const stage = new Stage(definitions);
    await stage.open();
    await expect(stage.spawn("boss:one", { children: [child("leaf:a", "eternal")] })).rejects.toThrow("restart is not a type of restart");
    await stage.end();
  });
});
