/**
 * `npm run golden`: records runs of every kind and keeps their journal in test/replay/golden, one for each format of the journal. Later versions must be
 * able to read and replay it, so it is written on purpose only: `npm run golden -- --again` replaces that of the present format.
 */
import { existsSync, mkdtempSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { JOURNAL_FORMAT } from "../runtime/journal/schema.ts";
import { SystemBench } from "../test/actors/system-bench.ts";
import { dumped, GOLDEN_DIRECTORY, type GoldenRun } from "../test/replay/golden-journal.ts";
import { recordRuns } from "../test/replay/recorded-runs.ts";
import { pastOfRun, replayAll } from "../test/replay/replayed-run.ts";

async function record(): Promise<string> {
  const bench = new SystemBench();
  const place = mkdtempSync(join(tmpdir(), "cohort-golden-"));
  try {
    await bench.open();
    const runs: GoldenRun[] = [];
    for (const [name, run] of await recordRuns(bench, place)) {
      const past = await pastOfRun(bench.system, run);
      const wrong = replayAll(past).filter(({ verdict }) => verdict.type !== "same");
      if (wrong.length > 0) throw new Error(`${name} does not replay: ${JSON.stringify(wrong, null, 2)}`);
      runs.push({ name, run, actors: past.length, events: past.reduce((sum, { events }) => sum + events.length, 0) });
    }
    await bench.stop();
    return dumped(join(bench.directory, "journal", "journal.sqlite"), runs);
  } finally {
    await bench.close();
    rmSync(place, { recursive: true, force: true });
  }
}

const path = join(GOLDEN_DIRECTORY, `format-${JOURNAL_FORMAT}.sql`);
if (existsSync(path) && !process.argv.includes("--again")) {
  console.error(`${path} is there already, and a released one is never changed. To replace it before a release: npm run golden -- --again`);
  process.exitCode = 1;
} else {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, await record());
  console.log(`wrote ${path}`);
  // Programs of the simulated warden may still sleep.
  process.exit();
}
