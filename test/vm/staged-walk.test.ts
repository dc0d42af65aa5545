/** The walk of a diff over real overlays, each in a mount namespace of its own; applying what it wrote must give what the child saw. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { buildApply } from "../../vm/apply-binary.ts";
import { runApply } from "../../vm/apply-process.ts";
import { readStagedListing } from "../../vm/staged-listing.ts";
import { readTree, type Tree } from "./staged-tree.ts";

const unavailable = process.getuid?.() === 0 ? null : "needs root: it mounts overlays";
const warden = join(import.meta.dirname, "../../vm/warden");
const SHARED = ["archive-writer.c", "diff.c", "diff-entry.c", "sha256.c"].map((name) => join(warden, name));
const SEED = 20_261_125;

let base: string;
let driver: string;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "staged-walk-"));
  driver = join(base, "driver");
  const flags = ["-std=c17", "-D_GNU_SOURCE", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
  execFileSync("cc", [...flags, join(import.meta.dirname, "diff-driver.c"), ...SHARED, "-o", driver]);
});

afterEach(() => {
  rmSync(base, { recursive: true, force: true });
});

function inOwnMounts(command: string, args: readonly string[]): void {
  execFileSync("unshare", ["--mount", "--propagation", "private", command, ...args], { timeout: 100_000 });
}

describe.skipIf(unavailable !== null)(`the walk of a diff${unavailable === null ? "" : ` (skipped: ${unavailable})`}`, () => {
  test("of random changes, renames and replacements gives, applied, the tree that the child saw", async () => {
    const rounds = 60;
    inOwnMounts(process.execPath, [join(import.meta.dirname, "programs/staged-rounds.ts"), base, driver, String(rounds), String(SEED)]);
    const path = await buildApply();
    let entries = 0;
    for (let round = 0; round < rounds; round += 1) {
      const here = join(base, String(round));
      const target = join(here, "lower");
      const merged = JSON.parse(readFileSync(join(here, "merged.json"), "utf8")) as Tree;
      const listing = readStagedListing(join(here, "archive"));
      entries += listing.entries.length;
      const report = await runApply(
        { path },
        {
          target,
          archive: join(here, "archive"),
          journal: join(here, "journal"),
          accept: [],
          only: null,
          // Made in the same tick as the overlay.
          waive: listing.entries.map(({ number }) => number),
          conflicts: "all-or-nothing",
          check: false,
        },
      );
      const refused = [...report.entries.values()].filter(({ reason }) => reason === "link-escapes").length;
      const why = `seed ${SEED}, round ${round}: ${JSON.stringify([...report.entries])} ${JSON.stringify(listing.entries)}`;
      if (refused > 0) continue;
      expect(["applied", "nothing"], why).toContain(report.result);
      expect(readTree(target), why).toEqual(merged);
    }
    expect(entries).toBeGreaterThan(100);
  });
});
