import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { runBatch, type BatchOptions } from "../../scripts/sim-batch.ts";
import { TreeCopy } from "./bugs/tree-copy.ts";
import type { Verdict } from "./verdict.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const JOBS = 2;
const SEEDS = 200;
const SEEDS_TWICE = 24;

async function verdicts(options: Pick<BatchOptions, "from" | "count" | "twice">): Promise<readonly Verdict[]> {
  const found: Verdict[] = [];
  await runBatch({ root: ROOT, jobs: JOBS, ...options, verdict: (one) => found.push(one) > 0 });
  return found;
}

function failures(found: readonly Verdict[]): readonly string[] {
  return found.flatMap(({ seed, violations }) => violations.map((violation) => `npm run sim -- --seed ${seed}: ${violation}`));
}

describe("simulations of the system and of its runtime", { timeout: 240_000 }, () => {
  it(`are clean with ${SEEDS} seeds, in which everything that can go wrong went wrong`, async () => {
    const found = await verdicts({ from: 1, count: SEEDS });
    expect(failures(found)).toEqual([]);
    expect(found).toHaveLength(SEEDS);
    const total = (name: string): number => found.reduce((sum, { counts }) => sum + (counts[name] ?? 0), 0);
    const happened = [
      "death killed",
      "death power",
      "fault disconnect",
      "fault warden-death",
      "fault disk-full",
      "request lost",
      "outcome unknown",
    ];
    for (const name of happened) expect(total(name), name).toBeGreaterThan(0);
    expect(total("bytes compared")).toBeGreaterThan(1_000_000);
  });

  it("repeat: two of one seed have the same trace to the last step", async () => {
    const found = await verdicts({ from: 1, count: SEEDS_TWICE, twice: true });
    expect(failures(found)).toEqual([]);
    expect(new Set(found.map(({ hash }) => hash)).size).toBe(SEEDS_TWICE);
  });

  it("that fail say their seed, what was violated, the last steps, and how to replay them", () => {
    const copy = new TreeCopy(["scripts", "sdk"]);
    try {
      const path = join(copy.root, "test/simulation/system/checks.ts");
      const text = readFileSync(path, "utf8");
      const planted = text.replace(
        "export async function checkAll(quiet: Quiet): Promise<void> {",
        (head) => `${head}\n  quiet.computer.violate("planted");`,
      );
      expect(planted).not.toBe(text);
      writeFileSync(path, planted);
      const run = spawnSync(process.execPath, ["scripts/sim.ts", "--seeds", "1"], { cwd: copy.root, encoding: "utf8", timeout: 60_000 });
      expect(run.status).toBe(1);
      expect(run.stdout).toMatch(/^seed 1 failed \(trace [0-9a-f]+-\d+\):\n {2}planted\n {2}the last steps:\n {4}\d/);
      expect(run.stdout).toContain("replay: npm run sim -- --seed 1\n");
      const replay = spawnSync(process.execPath, ["scripts/sim.ts", "--seed", "1"], { cwd: copy.root, encoding: "utf8", timeout: 60_000 });
      expect(replay.stdout).toMatch(/^0\.000 disk 1 make \/state\n/);
      expect(/trace ([0-9a-f]+-\d+)/.exec(replay.stdout)?.[1]).toBe(/trace ([0-9a-f]+-\d+)/.exec(run.stdout)?.[1]);
    } finally {
      copy.remove();
    }
  });
});
