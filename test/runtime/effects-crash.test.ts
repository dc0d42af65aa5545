import { describe, expect, it } from "vitest";
import type { EffectDefinition } from "../../runtime/contract.ts";
import type { Death } from "../../runtime/simulated/disk-gate.ts";
import { kind, ORIGIN, Stage } from "./fixture/family.ts";

interface Outcome {
  readonly stage: Stage;
  readonly ran: readonly string[];
  readonly operations: number;
  readonly acknowledged: boolean;
}

/** From the plan of one effect to its outcome, dying at the given operation of the disk. The effect itself takes a while. */
async function run(safety: EffectDefinition["safety"], death: Death, at: number): Promise<Outcome> {
  const ran: string[] = [];
  const work: EffectDefinition = {
    name: "work",
    safety,
    run: async (_, { key, recovered }) => {
      ran.push(recovered ? "again" : "first");
      await new Promise<void>((resolve) => stage.environment.after(20, resolve));
      return { type: "outcome", key };
    },
  };
  const stage: Stage = new Stage([kind("leaf")], [work], at);
  await stage.open();
  await stage.spawn("leaf:a");
  const { gate } = stage.disk;
  const first = gate.operations;
  gate.planned = { at: first + at, place: (["before", "within", "after"] as const)[at % 3] ?? "after", death };
  let acknowledged = false;
  stage.runtime.post("leaf:a", { type: "plan", name: "work", key: "k" }, ORIGIN).then(
    () => (acknowledged = true),
    () => undefined,
  );
  await stage.environment.advance(500);
  const operations = gate.operations - first;
  if (gate.dead) await stage.open();
  gate.planned = null;
  await stage.environment.advance(500);
  return { stage, ran, operations, acknowledged };
}

const CASES = [
  ["keyed", "killed"],
  ["keyed", "power"],
  ["once", "killed"],
  ["once", "power"],
] as const;

describe.each(CASES)("an effect (%s) and a death (%s) at each operation of the disk between its plan and its end", (safety, death) => {
  it("has one outcome where its plan was acknowledged: done is skipped, planned runs, started runs by its key or is unknown", async () => {
    const { stage: undisturbed, operations } = await run(safety, death, 1_000_000);
    await undisturbed.end();
    const kinds = new Set<string>();
    for (let at = 1; at <= operations; at++) {
      const { stage, ran, acknowledged } = await run(safety, death, at);
      const heard = (await stage.heard("leaf:a")).map(({ type }) => type);
      expect(heard.length).toBeLessThanOrEqual(1);
      if (acknowledged) expect([at, heard.length]).toEqual([at, 1]);
      // By its key it may run a second time, and is told so; without one never.
      expect(ran.length).toBeLessThanOrEqual(safety === "keyed" ? 2 : 1);
      if (ran.length === 2) expect(ran).toEqual(["first", "again"]);
      if (heard[0] === "outcome") expect(ran.length).toBeGreaterThanOrEqual(1);
      expect(stage.runtime.stats().pendingEffects).toBe(0);
      kinds.add(`${heard[0] ?? "nothing"} after ${ran.length}`);
      await stage.end();
    }
    const seen = [...kinds].toSorted();
    expect(seen).toContain("outcome after 1");
    expect(seen).toContain(safety === "keyed" ? "outcome after 2" : "effectUnknown after 1");
    if (safety === "keyed") expect(seen.filter((what) => what.startsWith("effectUnknown"))).toEqual([]);
  });
});
