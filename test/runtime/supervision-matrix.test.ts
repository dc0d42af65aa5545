import { describe, expect, it } from "vitest";
import type { ExitReason, RestartType, Strategy } from "../../runtime/contract.ts";
import type { ActorRef } from "../../runtime/kernel/actions.ts";
import { kind, NUMBERS, ORIGIN, Stage } from "./fixture/family.ts";

const STRATEGIES = ["one-for-one", "rest-for-one", "all"] as const;

/** Whether the one whose incarnation is over is restarted, and what its parent hears if not. */
const TABLE: readonly {
  readonly type: RestartType;
  readonly reason: ExitReason;
  readonly restarted: boolean;
  readonly told: string | null;
}[] = [
  { type: "permanent", reason: "done", restarted: true, told: null },
  { type: "permanent", reason: "failed", restarted: true, told: null },
  { type: "permanent", reason: "cancelled", restarted: false, told: null },
  { type: "permanent", reason: "escalated", restarted: true, told: null },
  { type: "transient", reason: "done", restarted: false, told: null },
  { type: "transient", reason: "failed", restarted: true, told: null },
  { type: "transient", reason: "cancelled", restarted: false, told: null },
  { type: "transient", reason: "escalated", restarted: true, told: null },
  { type: "temporary", reason: "done", restarted: false, told: null },
  { type: "temporary", reason: "failed", restarted: false, told: "failed" },
  { type: "temporary", reason: "cancelled", restarted: false, told: null },
  { type: "temporary", reason: "escalated", restarted: false, told: "escalated" },
];

/** Of a, b and c, spawned in this order, when b's incarnation is over and it is restarted: who begins again, and who is stopped for it, each in order. */
const SHARED: Readonly<Record<Strategy, { readonly begin: readonly string[]; readonly stopped: readonly string[] }>> = {
  "one-for-one": { begin: ["middle:b"], stopped: [] },
  "rest-for-one": { begin: ["middle:b", "leaf:c"], stopped: ["leaf:c"] },
  all: { begin: ["leaf:a", "middle:b", "leaf:c"], stopped: ["leaf:c", "leaf:a"] },
};

async function opened(strategy: Strategy, type: RestartType): Promise<Stage> {
  const stage = new Stage([
    kind("boss", { ...NUMBERS, strategy }),
    // One restart too many at once: what its child suffers it escalates.
    kind("middle", { ...NUMBERS, strategy: "one-for-one", restartsMax: 0 }),
    kind("leaf"),
  ]);
  await stage.open();
  const grandchild = { ref: "leaf:grandchild" as ActorRef, restart: "transient", input: { self: "leaf:grandchild" } };
  await stage.spawn("boss:one", {
    children: [
      { ref: "leaf:a", restart: "permanent", input: { self: "leaf:a" } },
      { ref: "middle:b", restart: type, scope: "b", input: { self: "middle:b", children: [grandchild] } },
      { ref: "leaf:c", restart: "permanent", input: { self: "leaf:c" } },
    ],
  });
  return stage;
}

async function exit(stage: Stage, reason: ExitReason): Promise<void> {
  switch (reason) {
    case "done":
      return stage.post("middle:b", { type: "close" });
    case "failed":
      return expect(stage.post("middle:b", { type: "explode" })).rejects.toMatchObject({ code: "INTERNAL" });
    case "cancelled":
      return stage.settle(stage.runtime.cancelScope("b", "grace", "enough", ORIGIN));
    case "escalated":
      return expect(stage.post("leaf:grandchild", { type: "explode" })).rejects.toMatchObject({ code: "INTERNAL" });
  }
}

describe.each(STRATEGIES)("supervision %s", (strategy) => {
  it.each(TABLE)("$type, $reason: restarted is $restarted, the parent hears $told", async ({ type, reason, restarted, told }) => {
    const stage = await opened(strategy, type);
    const first = ["boss:one", "leaf:a", "middle:b", "leaf:grandchild", "leaf:c"];
    expect(await stage.log("begun")).toEqual(first);
    await exit(stage, reason);
    await stage.environment.advance(5000);

    const begun = (await stage.log("begun")).slice(first.length).filter((ref) => ref !== "leaf:grandchild");
    expect(begun).toEqual(restarted ? SHARED[strategy].begin : []);
    expect((await stage.heard("boss:one")).map((event) => [event.type, event["ref"], event["reason"]])).toEqual(
      told === null ? [] : [["actorFailed", "middle:b", told]],
    );

    const history = await stage.history("boss:one");
    const stops = [...history]
      .flatMap(([ref, { events }]) => events.filter((event) => event.type === "stop").map(({ seq }) => ({ ref, seq })))
      .filter(({ ref }) => ref !== "leaf:grandchild")
      .toSorted((left, right) => left.seq - right.seq);
    expect(stops.map(({ ref }) => ref)).toEqual(restarted ? SHARED[strategy].stopped : []);

    const end = restarted ? "active" : reason;
    expect(history.get("middle:b")?.row.status ?? (await stage.history("b")).get("middle:b")?.row.status).toBe(end);
    for (const sibling of ["leaf:a", "leaf:c"] as const) {
      await stage.post(sibling, { type: "add" });
      expect((await stage.heard(sibling)).map((event) => event.type)).toEqual(["add"]);
    }
    await stage.end();
  });
});
