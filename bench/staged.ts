/** `staged`: a child changes 10,000 files of a staged directory; how long until a person sees what, and until it stands in the directory. */
import { chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureSystemUser } from "../app/daemon/system-user.ts";
import { openCohort } from "./cohort-under-test.ts";
import { percentile, rounded, type Measurement } from "./result.ts";
import type { Cohort } from "../sdk/index.ts";

const ROUNDS = 5;
const FILES = 10_000;
const PER_DIRECTORY = 100;
const BYTES = 1024;
const WAIT_MS = 60_000;

const pathOf = (index: number): string => `d${Math.floor(index / PER_DIRECTORY)}/f${index}`;

function fill(directory: string): void {
  const { uid, gid } = ensureSystemUser();
  for (let index = 0; index < FILES; index += 1) {
    const path = join(directory, pathOf(index));
    if (index % PER_DIRECTORY === 0) mkdirSync(join(path, ".."));
    writeFileSync(path, `${index} `.repeat(BYTES).slice(0, BYTES));
    chownSync(path, uid, gid);
    if (index % PER_DIRECTORY === 0) chownSync(join(path, ".."), uid, gid);
  }
  chownSync(directory, uid, gid);
}

/** Each file one byte longer; then it says so, and lives on. */
const CHANGE = `for d in d*; do for f in $d/*; do echo >> $f; done; done; echo changed; exec sleep 600`;

interface Round {
  readonly diffMs: number;
  readonly patchMs: number;
  readonly applyMs: number;
}

async function measureRound(cohort: Cohort, directory: string): Promise<Round> {
  const run = await cohort.run({
    title: "staged",
    tasks: [
      {
        title: "staged",
        command: ["/bin/sh", "-c", CHANGE],
        cwd: "mnt/source",
        mounts: [{ path: directory, as: "source", mode: "staged" }],
      },
    ],
  });
  try {
    const signal = AbortSignal.timeout(WAIT_MS);
    for await (const { bytes } of run.logs(0, { follow: true, signal })) if (bytes.length > 0) break;
    const [grant] = (await cohort.grants.list({ run: run.id })).map(({ grant: id }) => id);
    if (grant === undefined) throw new Error("the staged directory is no grant");
    const startedAt = performance.now();
    const diff = await cohort.grants.diff(grant);
    const diffedAt = performance.now();
    await cohort.grants.diff(grant, { patch: true });
    const patchedAt = performance.now();
    const { applied, held, rest } = await cohort.grants.apply(grant);
    const appliedAt = performance.now();
    if (diff.entries.length + diff.entriesMore !== FILES || applied !== FILES || held !== 0 || rest.length !== 0)
      throw new Error(
        `${diff.entries.length + diff.entriesMore} files differ, ${applied} were applied, ${held} held, ${rest.length} refused`,
      );
    return { diffMs: rounded(diffedAt - startedAt), patchMs: rounded(patchedAt - diffedAt), applyMs: rounded(appliedAt - patchedAt) };
  } finally {
    await run.cancel("kill");
    await run.finished();
  }
}

export async function measureStaged(): Promise<Measurement> {
  const bench = await openCohort();
  const samples: Record<"diffMs" | "patchMs" | "applyMs", number[]> = { diffMs: [], patchMs: [], applyMs: [] };
  const directory = mkdtempSync("/var/tmp/cohort-bench-staged-");
  try {
    fill(directory);
    for (let round = 0; round < ROUNDS; round += 1) {
      const one = await measureRound(bench.cohort, directory);
      samples.diffMs.push(one.diffMs);
      samples.patchMs.push(one.patchMs);
      samples.applyMs.push(one.applyMs);
      if (statSync(join(directory, pathOf(0))).size !== BYTES + round + 1 || !readFileSync(join(directory, pathOf(1))).includes("\n"))
        throw new Error("what was applied is not there");
    }
  } finally {
    await bench.close();
    rmSync(directory, { recursive: true, force: true });
  }
  return {
    figures: {
      files: FILES,
      diffP50Ms: percentile(samples.diffMs, 50),
      patchP50Ms: percentile(samples.patchMs, 50),
      applyP50Ms: percentile(samples.applyMs, 50),
      diffMaxMs: percentile(samples.diffMs, 100),
      applyMaxMs: percentile(samples.applyMs, 100),
    },
    samples,
    goals: [],
    peers: [],
    notMeasured: ["renamed directories and large files", "file systems other than that of /var/tmp", "a source that must be copied"],
  };
}
