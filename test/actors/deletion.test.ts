import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openSystem } from "../../actors/system.ts";
import { cohortDefinitions } from "../../machines/definitions.ts";
import { openRuntime } from "../../runtime/runtime.ts";
import type { VerifyItem } from "../../machines/messages/journal.ts";
import { filesWith } from "../runtime/fixture/journal-files.ts";
import { origin, SystemBench, until } from "./system-bench.ts";

const SECRET = "what-nobody-may-find-any-more";
const OTHER = "what-another-run-said";

async function verified(bench: SystemBench): Promise<VerifyItem> {
  let last: VerifyItem | null = null;
  for await (const item of bench.system.journal.verify(AbortSignal.timeout(20_000))) last = item;
  if (last === null || !last.done) throw new Error("the verification did not end");
  return last;
}

async function finishedRun(bench: SystemBench, word: string): Promise<string> {
  const run = await bench.start(
    [{ command: ["echo", word], title: `title ${word}` }, { command: ["files", `${word}.txt=${word}`] }, { command: ["cat"], stdin: word }],
    { title: `run ${word}` },
  );
  await bench.results(run);
  await until(() => !bench.system.busy(), "the run's files are closed");
  return run;
}

describe("a run that is deleted", () => {
  let bench: SystemBench;
  beforeEach(async () => {
    bench = new SystemBench();
    await bench.open();
  });
  afterEach(() => bench.close());

  it("leaves nothing of what it was asked, wrote or collected, is not listed, and says that it was deleted; others are whole", async () => {
    const [gone, kept] = [await finishedRun(bench, SECRET), await finishedRun(bench, OTHER)];
    expect(filesWith(bench.directory, SECRET)).not.toEqual([]);
    const deleted = await bench.system.deleteRun(gone, false, origin);
    expect(deleted).toMatchObject({ run: gone, complete: true });
    expect(deleted.files).toBeGreaterThanOrEqual(4);
    expect(filesWith(bench.directory, SECRET)).toEqual([]);
    expect(existsSync(join(bench.directory, "content", gone))).toBe(false);
    expect((await bench.system.runs(10)).map(({ run }) => run)).toEqual([kept]);
    for (const asked of [bench.system.run(gone), bench.system.deleteRun(gone, false, origin), bench.system.results(gone, 0, 10)])
      await expect(asked).rejects.toMatchObject({ code: "CONTENT_GONE", message: expect.stringContaining(gone) as string });
    expect((await bench.system.results(kept, 0, 10)).results).toHaveLength(3);
    const { events, content } = await verified(bench);
    expect([events.problems, content.problems, content.results, content.transcripts]).toEqual([[], [], 3, 2]);
    expect(events.erased).toBeGreaterThan(20);
    // A replay finds tombstones where its events were.
    const { parts } = await bench.system.history(gone, null, 500);
    expect(parts.map(({ events: of }) => of[0]?.cause)).toEqual(parts.map(() => "deleted"));
    expect(parts.length).toBe(5);
  });

  it("is refused while it lives, and when there was none", async () => {
    const run = await bench.start([{ command: ["hang"] }]);
    await expect(bench.system.deleteRun(run, false, origin)).rejects.toMatchObject({ code: "RUN_LIVES" });
    await expect(bench.system.deleteRun("nosuchrun1", false, origin)).rejects.toMatchObject({ code: "RUN_UNKNOWN" });
    await bench.system.cancelRun(run, "kill", "", origin);
    await bench.events(run);
    await expect(bench.system.deleteRun(run, false, origin)).resolves.toMatchObject({ run, complete: true });
  });

  it("that a key names is not started again under that key", async () => {
    const run = await bench.start([{ command: ["true"] }], {}, "once");
    await bench.events(run);
    await bench.system.deleteRun(run, false, origin);
    expect(await bench.start([{ command: ["true"] }], {}, "once")).toBe(run);
    await expect(bench.system.run(run)).rejects.toMatchObject({ code: "CONTENT_GONE" });
  });

  it("is finished by the next start when it was only begun", async () => {
    const [run, kept] = [await finishedRun(bench, SECRET), await finishedRun(bench, OTHER)];
    await bench.stop();
    // As far as its first step, which is a commit; the rest never happened.
    const runtime = await openRuntime({
      directory: join(bench.directory, "journal"),
      filesDirectory: join(bench.directory, "content"),
      definitions: cohortDefinitions,
      effects: [],
    });
    const erasure = { scope: `run:${run}`, logs: [`run:${run}`], projections: [{ collection: "runs", key: run }], put: [] };
    await runtime.erase(erasure, origin);
    await runtime.stop();
    expect(filesWith(bench.directory, SECRET)).not.toEqual([]);
    await bench.open();
    expect((await bench.system.runs(10)).map((row) => row.run)).toEqual([kept]);
    await until(async () => (await bench.system.journal.state()).erasures === 0, "the deletion is finished");
    expect(filesWith(bench.directory, SECRET)).toEqual([]);
    expect((await verified(bench)).events.problems).toEqual([]);
  });
});

describe("what retention takes", () => {
  it.each([
    ["too old", { maxAgeMs: 1, maxBytes: 0 }],
    ["too much", { maxAgeMs: 0, maxBytes: 1 }],
  ])("is runs that are %s, whole, and never one that lives", { timeout: 40_000 }, async (_, retention) => {
    const bench = new SystemBench();
    await bench.open();
    try {
      const old = await finishedRun(bench, SECRET);
      const living = await bench.start([{ command: ["hang"] }]);
      await until(() => bench.warden.executed.length === 4, "it runs");
      await bench.stop();
      const system = await openSystem({ stateDirectory: bench.directory, connectVm: bench.warden.connect, cores: 2, retention });
      try {
        await until(async () => (await system.runs(10)).every(({ run }) => run !== old), "the old one is gone", 20_000);
        await until(() => filesWith(bench.directory, SECRET).length === 0, "and all that it said", 10_000);
        expect((await system.runs(10)).map(({ run }) => run)).toEqual([living]);
        await system.cancelRun(living, "kill", "", origin);
      } finally {
        await system.stop();
      }
    } finally {
      await bench.close();
    }
  });
});

describe("a verification", () => {
  it("finds a transcript that was changed, a result that was changed, and either that is missing", async () => {
    const bench = new SystemBench();
    await bench.open();
    try {
      const run = await finishedRun(bench, OTHER);
      expect((await verified(bench)).content).toEqual({ runs: 1, results: 3, transcripts: 2, unhashed: 0, problems: [] });
      const transcript = join(bench.directory, "content", run, "0.1.jsonl");
      writeFileSync(transcript, readFileSync(transcript, "utf8").replace(OTHER, OTHER.toUpperCase()));
      const results = join(bench.directory, "content", run, "results.jsonl");
      writeFileSync(results, readFileSync(results, "utf8").replace('"index":1,', '"index":7,'));
      const { problems } = (await verified(bench)).content;
      expect(problems.toSorted((one, other) => one.index - other.index)).toEqual([
        { run, index: 0, attempt: 1, what: "transcript", reason: "changed" },
        { run, index: 1, attempt: 1, what: "result", reason: "changed" },
      ]);
      writeFileSync(results, "");
      expect((await verified(bench)).content.problems).toHaveLength(3);
    } finally {
      await bench.close();
    }
  });
});
