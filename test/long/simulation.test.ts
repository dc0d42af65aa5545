import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { runBatch, type BatchOptions } from "../../scripts/sim-batch.ts";
import { unreached } from "../simulation/coverage.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const JOBS = 2;
const SEEDS = 3000;
const EXHAUSTED = 4;
/** Takes minutes of silence, or a day without an answer: a few of ten thousand seeds get there. */
const RARE = ["event child.stuck", "event child.unstuck", "state approval.expired", "event approval.timer"];
/** Only bugs of a machine, and disks that stay full for minutes, lead there. */
const NEVER = ["event run.actorFailed", "event run.effectFailed", "event grant.effectFailed", "event relay.denied"];

async function failing(
  options: Pick<BatchOptions, "from" | "count" | "exhaustive">,
  counts: Record<string, number> = {},
): Promise<string[]> {
  const found: string[] = [];
  await runBatch({
    root: ROOT,
    jobs: JOBS,
    ...options,
    verdict: (one) => {
      for (const [name, count] of Object.entries(one.counts)) counts[name] = (counts[name] ?? 0) + count;
      return found.push(...one.violations.map((violation) => `npm run sim -- --seed ${one.seed}: ${violation}`)) < 10;
    },
  });
  return found;
}

describe("many simulations", () => {
  it(`are clean with ${SEEDS} seeds, and reach the states and events of the machines but the rarest`, { timeout: 1_200_000 }, async () => {
    const counts: Record<string, number> = {};
    expect(await failing({ from: 1001, count: SEEDS }, counts)).toEqual([]);
    expect(unreached(counts).filter((name) => ![...NEVER, ...RARE].includes(name))).toEqual([]);
  });

  it("survive a death before, within and after each operation of the disk, in some short scenarios", { timeout: 1_200_000 }, async () => {
    const counts: Record<string, number> = {};
    expect(await failing({ from: 1, count: EXHAUSTED, exhaustive: true }, counts)).toEqual([]);
    expect(counts["deaths one by one"]).toBeGreaterThan(300);
  });
});
