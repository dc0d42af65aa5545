import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runBatch } from "../../scripts/sim-batch.ts";
import { plantedBugs } from "./bugs/planted-bugs.ts";
import { TreeCopy } from "./bugs/tree-copy.ts";
import type { Verdict } from "./verdict.ts";

const JOBS = 2;

/** The first finding among these seeds. */
async function firstFinding(root: string, seedsMax: number): Promise<Verdict | null> {
  let found: Verdict | null = null;
  const verdict = (one: Verdict): boolean => {
    if (one.violations.length > 0) found ??= one;
    return found === null;
  };
  await runBatch({ root, from: 1, count: seedsMax, jobs: JOBS, verdict });
  return found;
}

describe("bugs that were planted", { timeout: 300_000 }, () => {
  let copy: TreeCopy;
  beforeAll(() => {
    copy = new TreeCopy();
  });
  afterAll(() => copy.remove());

  it.each(plantedBugs)("are found by the simulator: $name", async (bug) => {
    const takeOut = copy.plant(bug);
    try {
      const found = await firstFinding(copy.root, bug.seedsMax);
      expect(found?.violations.join("\n"), `none of ${bug.seedsMax} seeds found it`).toMatch(bug.finding);
    } finally {
      takeOut();
    }
  });

  it("are not there: the same seeds are clean without them", async () => {
    const found = await firstFinding(copy.root, Math.max(...plantedBugs.map(({ seedsMax }) => seedsMax)));
    expect(found?.violations ?? []).toEqual([]);
  });
});
