/** Random failures, ends, cancellations, messages and deaths over a family of supervisors, in chaotic simulated time. */
import { describe, expect, it } from "vitest";
import { PreparedDefinition } from "../../runtime/actor/definition.ts";
import type { EffectDefinition, Strategy } from "../../runtime/contract.ts";
import type { ActorRef, Json } from "../../runtime/kernel/actions.ts";
import type { JournaledActor, JournaledEvent } from "../../runtime/kernel/history.ts";
import { replayActor } from "../../runtime/replay/actor-replay.ts";
import { SeededRandom } from "../../runtime/simulated/seeded-random.ts";
import { kind, ORIGIN, Stage, type FamilyInput } from "./fixture/family.ts";

/** More with COHORT_STORM_SEEDS; a failure names its seed. */
const SEEDS = Number(process.env["COHORT_STORM_SEEDS"] ?? 25);
const STEPS = 60;
const STRATEGIES: readonly Strategy[] = ["one-for-one", "rest-for-one", "all"];

const numbers = { windowMs: 10_000, delayMsMin: 10, delayMsMax: 200 } as const;
const definitions = [
  kind("chief", { ...numbers, strategy: "one-for-one", restartsMax: 4 }),
  ...STRATEGIES.map((strategy) => kind(strategy, { ...numbers, strategy, restartsMax: 2 })),
  kind("leaf"),
];
const prepared = new Map(definitions.map((definition) => [definition.kind, new PreparedDefinition(definition)]));

interface Storm {
  readonly stage: Stage;
  readonly random: SeededRandom;
  readonly leaves: readonly ActorRef[];
  readonly branches: readonly ActorRef[];
  readonly undone: Set<string>;
  /** Of posts, messages and effects. */
  next: number;
  readonly acknowledged: Set<number>;
  readonly tells: Set<number>;
  readonly cancelled: Map<string, number>;
}

function pick<T>(random: SeededRandom, from: readonly T[]): T {
  const picked = from[random.below(from.length)];
  if (picked === undefined) throw new Error("nothing to pick from");
  return picked;
}

async function begin(seed: number): Promise<Storm> {
  const random = new SeededRandom(seed, "storm");
  const undone = new Set<string>();
  const work: EffectDefinition = {
    name: "work",
    safety: random.chance(0.5) ? "keyed" : "once",
    run: async (_, { key }) => {
      await new Promise<void>((resolve) => stage.environment.after(random.below(100), resolve));
      return { type: "outcome", key };
    },
    compensate: (_, { key }) => Promise.resolve(void undone.add(key)),
  };
  const stage: Stage = new Stage(definitions, [work], seed, true);
  await stage.open();
  const leaves: ActorRef[] = [];
  const branches: ActorRef[] = [];
  const children = STRATEGIES.map((strategy) => {
    const branch: ActorRef = `${strategy}:b`;
    branches.push(branch);
    const own = Array.from({ length: 3 }, (_, index) => {
      const ref: ActorRef = `leaf:${strategy}/${index}`;
      leaves.push(ref);
      return { ref, restart: pick(random, ["permanent", "transient", "temporary"]), input: { self: ref } };
    });
    const input: FamilyInput = { self: branch, children: own };
    return { ref: branch, restart: pick(random, ["permanent", "transient"]), scope: `scope-${strategy}`, input };
  });
  await stage.spawn("chief:one", { children });
  return { stage, random, leaves, branches, undone, next: 1, acknowledged: new Set(), tells: new Set(), cancelled: new Map() };
}

function step(storm: Storm): void {
  const { stage, random, leaves, branches } = storm;
  if (!stage.lives) return;
  const { runtime } = stage;
  const id = storm.next++;
  const to = pick(random, random.chance(0.85) ? leaves : branches);
  const asked = (event: { readonly type: string; readonly [field: string]: Json }): void =>
    void runtime.post(to, { ...event, id }, ORIGIN).then(
      () => storm.acknowledged.add(id),
      () => undefined,
    );
  const what = random.below(100);
  if (what < 35) asked({ type: "add" });
  else if (what < 55) {
    storm.tells.add(id);
    asked({ type: "tell", to: pick(random, leaves), event: { type: random.chance(0.2) ? "explode" : "add", id } });
  } else if (what < 75) asked({ type: "explode" });
  else if (what < 82) asked({ type: "close" });
  else if (what < 90) asked({ type: "plan", name: "work", key: `k${id}` });
  else if (what < 95) asked({ type: "arm", name: "t", atMs: stage.environment.now() + random.below(300) });
  else if (what < 97) {
    const scope = `scope-${pick(random, STRATEGIES)}`;
    void runtime.cancelScope(scope, random.chance(0.5) ? "grace" : "kill", "storm", ORIGIN).then(
      () => storm.cancelled.set(scope, storm.cancelled.get(scope) ?? id),
      () => undefined,
    );
  } else stage.die(random.chance(0.5) ? "power" : "killed");
}

/** An incarnation hears something only between its beginning and its end. */
function wellFormed(ref: string, events: readonly JournaledEvent[]): void {
  let alive = false;
  for (const { cause, type, outcome, seq } of events) {
    const begins = cause === "spawn" || (cause === "supervision" && type === "restart");
    const at = `${ref} ${seq} ${cause} ${type}`;
    if (begins) expect([at, alive]).toEqual([at, false]);
    else if (cause !== "supervision" && outcome !== "dead") expect([at, alive]).toEqual([at, true]);
    if (begins) alive = outcome === "applied";
    else if (cause === "supervision" || outcome === "failed") alive = false;
    if (outcome === "applied" && (type === "close" || type === "cancel")) alive = false;
  }
}

function idOf(event: JournaledEvent): number | null {
  const payload = JSON.parse(event.payload) as { readonly id?: number } | null;
  return payload?.id ?? null;
}

async function pastOf(stage: Stage): Promise<readonly { readonly row: JournaledActor; readonly events: readonly JournaledEvent[] }[]> {
  // A scope whose members all ended is not inside another any more.
  const past = new Map<string, { readonly row: JournaledActor; readonly events: readonly JournaledEvent[] }>();
  for (const scope of ["chief:one", ...STRATEGIES.map((strategy) => `scope-${strategy}`)])
    for (const [ref, part] of await stage.history(scope)) past.set(ref, part);
  return [...past.values()];
}

async function check(storm: Storm): Promise<void> {
  const { stage } = storm;
  const past = await pastOf(stage);
  expect(past.length).toBe(13);
  const posts = new Map<number, number>();
  const messages = new Map<number, number>();
  for (const { row, events } of past) {
    wellFormed(row.ref, events);
    const { verdict } = replayActor(row, events, { present: prepared, changed: new Map() });
    expect([row.ref, verdict]).toEqual([row.ref, { type: "same" }]);
    for (const event of events) {
      const id = idOf(event);
      const counted = event.cause === "post" && event.outcome === "applied" ? posts : event.cause === "message" ? messages : null;
      if (id !== null && counted !== null) counted.set(id, (counted.get(id) ?? 0) + 1);
    }
  }
  for (const id of storm.acknowledged) {
    expect([id, posts.get(id)]).toEqual([id, 1]);
    if (storm.tells.has(id)) expect([id, messages.get(id)]).toEqual([id, 1]);
  }
  for (const [id, times] of [...posts, ...messages]) expect([id, times]).toEqual([id, 1]);
  for (const scope of storm.cancelled.keys()) {
    const members = await stage.history(scope);
    for (const { row } of members.values()) expect([row.ref, row.status]).not.toEqual([row.ref, "restarting"]);
    for (const { row } of members.values()) expect([row.ref, row.status]).not.toEqual([row.ref, "active"]);
  }
  expect(stage.runtime.stats()).toMatchObject({ pendingTimers: 0, pendingEffects: 0, queuedEvents: 0 });
}

describe("a family in a storm of failures, cancellations and deaths", () => {
  it(
    `loses and doubles nothing, keeps its rules, and replays as it went, for ${SEEDS} seeds`,
    { timeout: 20_000 + SEEDS * 200 },
    async () => {
      for (let seed = 1; seed <= SEEDS; seed++) {
        const storm = await begin(seed);
        try {
          for (let count = 0; count < STEPS; count++) {
            step(storm);
            if (storm.random.chance(0.6)) await storm.stage.environment.advance(storm.random.below(150));
            if (!storm.stage.lives) await storm.stage.open();
          }
          await storm.stage.environment.advance(60_000);
          await check(storm);
          await storm.stage.end();
        } catch (cause) {
          throw new Error(`seed ${seed}`, { cause });
        }
      }
    },
  );
});
