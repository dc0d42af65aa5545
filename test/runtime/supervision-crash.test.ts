import { describe, expect, it } from "vitest";
import type { ActorRef } from "../../runtime/kernel/actions.ts";
import type { Death } from "../../runtime/simulated/disk-gate.ts";
import { kind, NUMBERS, ORIGIN, Stage } from "./fixture/family.ts";

const definitions = [kind("general", { ...NUMBERS, strategy: "all" }), kind("leaf", undefined, { restart: "permanent" })];
const children = (["leaf:a", "leaf:b", "leaf:c"] as const).map((ref: ActorRef) => ({ ref, input: { self: ref } }));

/** From the failure to the end of the restarts, dying at the given operation of the disk; answers how many there were. */
async function run(death: Death, at: number): Promise<{ readonly stage: Stage; readonly operations: number }> {
  const stage = new Stage(definitions, [], at);
  await stage.open();
  await stage.spawn("general:one", { children });
  const { gate } = stage.disk;
  const first = gate.operations;
  gate.planned = { at: first + at, place: (["before", "within", "after"] as const)[at % 3] ?? "after", death };
  // Its answer may die with it.
  stage.runtime.post("leaf:b", { type: "explode" }, ORIGIN).catch(() => undefined);
  await stage.environment.advance(3000);
  const operations = gate.operations - first;
  if (gate.dead) await stage.open();
  gate.planned = null;
  await stage.environment.advance(3000);
  return { stage, operations };
}

describe.each(["killed", "power"] as const)("a death (%s) at each operation of the disk between a failure and the restarts", (death) => {
  it("leaves every sibling begun again exactly once, in order, or none at all where the failure was not written", async () => {
    const { stage: undisturbed, operations } = await run(death, 1_000_000);
    await undisturbed.end();
    expect(operations).toBeGreaterThan(5);
    const outcomes = new Map<string, number>();
    for (let at = 1; at <= operations; at++) {
      const { stage } = await run(death, at);
      const begun = (await stage.log("begun")).slice(4).join(" ");
      outcomes.set(begun, (outcomes.get(begun) ?? 0) + 1);
      const history = await stage.history("general:one");
      for (const ref of ["leaf:a", "leaf:b", "leaf:c"]) {
        expect([at, ref, history.get(ref)?.row.status]).toEqual([at, ref, "active"]);
        expect(history.get(ref)?.events.filter(({ type }) => type === "restart").length).toBe(begun === "" ? 0 : 1);
      }
      expect(stage.runtime.stats().pendingTimers).toBe(0);
      await stage.end();
    }
    expect([...outcomes.keys()].toSorted()).toEqual(["", "leaf:a leaf:b leaf:c"]);
  });
});
