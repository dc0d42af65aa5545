/**
 * `relay`: from a child's write to the callback of a subscriber, by way of the transcript, while children are busy; and from a child's last
 * act to the callback that has its durable result. Open loop: each child writes at fixed times, however late the ones before were read.
 */
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Run } from "../sdk/index.ts";
import { buildProgram } from "../vm/c-program.ts";
import { openCohort, type CohortUnderTest } from "./cohort-under-test.ts";
import { processorSeconds } from "./processor-time.ts";
import { atMost, percentile, rounded, type Measurement } from "./result.ts";

export interface RelaySize {
  readonly children: number;
  /** Of them so many are followed. */
  readonly followed: number;
}

const TICK_MS = 100;
const CHUNK_BYTES = 10_000;
const MEASURED_S = 20;
/** Sandboxes are built, and every reader has read back what it missed. */
const WARM_UP_S = 3;
const BUILD_MS_PER_CHILD = 25;
const RESULTS = 60;
const RESULT_EVERY_MS = 250;
const LEVELS: readonly RelaySize[] = [
  { children: 25, followed: 20 },
  { children: 50, followed: 20 },
  { children: 100, followed: 20 },
  { children: 200, followed: 20 },
  { children: 200, followed: 200 },
];
const MEMORY_BYTES = 16 * 1024 ** 2;

const monotonicNs = (): number => Number(process.hrtime.bigint());

interface Level {
  /** Since the write; since it was due. */
  readonly writeMs: number[];
  readonly dueMs: number[];
  readonly loopDelayP99Ms: number;
  readonly cohortdCores: number;
  readonly wardenCores: number;
  readonly benchCores: number;
  readonly childrenCores: number;
  readonly transcriptBytesPerSecond: number;
}

interface Busy {
  readonly run: Run;
  readonly done: Promise<unknown>;
  readonly readers: AbortController;
}

/** Answers when every child writes. */
async function startBusy(underTest: CohortUnderTest, directory: string, size: RelaySize, seconds: number, heard: Heard): Promise<Busy> {
  const { children, followed } = size;
  const run = await underTest.cohort.run({
    title: "busy",
    jobs: children,
    tasks: Array.from({ length: children }, (_, index) => ({
      title: `busy ${index}`,
      command: program(Math.floor((index * TICK_MS) / children), Math.ceil((seconds * 1000) / TICK_MS), true),
      mounts: [{ path: directory, as: "bench" }],
      limits: { memoryBytes: MEMORY_BYTES, diskBytes: MEMORY_BYTES, tmpBytes: MEMORY_BYTES },
    })),
  });
  const readers = new AbortController();
  const done = Array.from({ length: followed }, (_, at) => follow(run, Math.floor((at * children) / followed), readers.signal, heard));
  const started = new Set<number>();
  for await (const { event } of run.events()) {
    if (event.type === "task-finished") throw new Error(`a busy child ended early: ${JSON.stringify(event.result)}`);
    if (event.type === "task-started" && started.add(event.index).size === children) break;
  }
  return { run, readers, done: Promise.all(done) };
}

type Heard = (dueNs: number, writtenNs: number, nowNs: number) => void;

function program(phaseMs: number, ticks: number, reports: boolean): string[] {
  const args = [phaseMs, TICK_MS, ticks, CHUNK_BYTES, reports ? 1 : 0];
  // Its home has a name of its own.
  return ["/bin/sh", "-c", `exec "$HOME/mnt/bench/busy-child" ${args.join(" ")}`];
}

/** A chunk may come in pieces: the time stands at its beginning, at a multiple of its size. */
async function follow(run: Run, index: number, signal: AbortSignal, heard: Heard): Promise<void> {
  try {
    for await (const { stream, offset, bytes } of run.logs(index, { follow: true, signal })) {
      const nowNs = monotonicNs();
      if (stream !== "stdout") continue;
      for (let at = (CHUNK_BYTES - (offset % CHUNK_BYTES)) % CHUNK_BYTES; at < bytes.length; at += CHUNK_BYTES) {
        const [due, written] = Buffer.from(bytes.subarray(at + 1, at + 60))
          .toString("latin1")
          .split(" ")
          .map(Number);
        // Cut within its line: this one is not counted.
        if (due === undefined || written === undefined || !(written >= due) || bytes.length - at < 60) continue;
        heard(due, written, nowNs);
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

async function measureLevel(underTest: CohortUnderTest, directory: string, size: RelaySize, seconds: number): Promise<Level> {
  const { cohort } = underTest;
  const writeMs: number[] = [];
  const dueMs: number[] = [];
  let measuring = false;
  const total = WARM_UP_S + seconds + (size.children * BUILD_MS_PER_CHILD) / 1000 + 5;
  const busy = await startBusy(underTest, directory, size, total, (dueNs, writtenNs, nowNs) => {
    if (!measuring) return;
    writeMs.push(rounded((nowNs - writtenNs) / 1e6));
    dueMs.push(rounded((nowNs - dueNs) / 1e6));
  });
  await sleep(WARM_UP_S * 1000);
  await cohort.doctor();
  const [before, startedAt] = [processorSeconds(cohort.daemon.pid), performance.now()];
  measuring = true;
  await sleep(seconds * 1000);
  measuring = false;
  const [after, tookS] = [processorSeconds(cohort.daemon.pid), (performance.now() - startedAt) / 1000];
  const { eventLoopDelayP99Ms } = await cohort.doctor();
  const alive = (await cohort.children()).filter(({ run, state }) => run === busy.run.id && state === "running").length;
  const expected = size.followed * seconds * (1000 / TICK_MS);
  // A chunk whose first line was cut in two is not counted; more than a few would be chunks that did not come.
  if (writeMs.length < 0.8 * expected) throw new Error(`of ${expected} chunks ${writeMs.length} were heard`);
  if (alive !== size.children) throw new Error(`of ${size.children} busy children ${alive} were left when they were measured`);
  await endBusy(busy);
  const cores = (who: keyof typeof before): number => rounded((after[who] - before[who]) / tookS);
  return {
    writeMs,
    dueMs,
    loopDelayP99Ms: rounded(eventLoopDelayP99Ms),
    cohortdCores: cores("cohortd"),
    wardenCores: cores("warden"),
    benchCores: cores("bench"),
    childrenCores: cores("children"),
    transcriptBytesPerSecond: size.children * CHUNK_BYTES * (1000 / TICK_MS),
  };
}

async function endBusy(busy: Busy): Promise<void> {
  busy.readers.abort();
  await busy.done;
  await busy.run.cancel("kill", "measured");
  await busy.run.finished();
}

/** One short child after the other beside the busy ones, at fixed times: from its last act to the event that has its result. */
async function measureResults(underTest: CohortUnderTest, directory: string, size: RelaySize, count: number): Promise<number[]> {
  const seconds = WARM_UP_S + (count * RESULT_EVERY_MS) / 1000 + (size.children * BUILD_MS_PER_CHILD) / 1000 + 10;
  const busy = await startBusy(underTest, directory, { ...size, followed: 0 }, seconds, () => undefined);
  await sleep(WARM_UP_S * 1000);
  const startedAt = performance.now();
  const asked = Array.from({ length: count }, async (_, at) => {
    await sleep(startedAt + at * RESULT_EVERY_MS - performance.now());
    return lastActToResultMs(underTest, directory);
  });
  const samples = await Promise.all(asked);
  await endBusy(busy);
  return samples;
}

async function lastActToResultMs(underTest: CohortUnderTest, directory: string): Promise<number> {
  const run = await underTest.cohort.run({
    title: "short",
    tasks: [{ title: "short", command: program(0, 1, false), mounts: [{ path: directory, as: "bench" }] }],
  });
  for await (const { event } of run.events()) {
    const nowNs = monotonicNs();
    if (event.type !== "task-finished") continue;
    const { status, stderr, detail } = event.result;
    if (status !== "succeeded") throw new Error(`a short child ended as ${status}: ${detail}${stderr.preview}`);
    return rounded((nowNs - Number(stderr.preview)) / 1e6);
  }
  throw new Error("a short child has no result");
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}

const nameOf = ({ children, followed }: RelaySize): string => `${children}Children${followed}Followed`;

/** Smaller for a look while others work: COHORT_BENCH_RELAY=children,seconds. */
function sizes(): { readonly levels: readonly RelaySize[]; readonly seconds: number; readonly results: number } {
  const [children, seconds] = (process.env["COHORT_BENCH_RELAY"] ?? "").split(",").map(Number);
  if (children === undefined || seconds === undefined) return { levels: LEVELS, seconds: MEASURED_S, results: RESULTS };
  return { levels: [{ children, followed: Math.min(children, 20) }], seconds, results: seconds * 2 };
}

export async function measureRelay(): Promise<Measurement> {
  const binary = await buildProgram({ binary: "bench/busy-child", directory: "bench/busy-child", shared: [] });
  const directory = mkdtempSync(join(tmpdir(), "cohort-busy-"));
  copyFileSync(binary, join(directory, "busy-child"));
  chmodSync(directory, 0o755);
  const underTest = await openCohort();
  const { levels, seconds, results } = sizes();
  const measured: [RelaySize, Level][] = [];
  try {
    for (const size of levels) measured.push([size, await measureLevel(underTest, directory, size, seconds)]);
    const headline = levels.find(({ children }) => children === Math.max(...levels.map((level) => level.children))) ?? levels[0];
    if (headline === undefined) throw new Error("nothing to measure");
    const resultMs = await measureResults(underTest, directory, headline, results);
    return summarize(measured, headline, resultMs);
  } finally {
    await underTest.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

function summarize(measured: readonly (readonly [RelaySize, Level])[], headline: RelaySize, resultMs: number[]): Measurement {
  const figures: Record<string, number> = { tickMs: TICK_MS, chunkBytes: CHUNK_BYTES };
  const samples: Record<string, readonly number[]> = { resultMs };
  for (const [size, level] of measured) {
    const name = nameOf(size);
    samples[`${name}WriteMs`] = level.writeMs;
    samples[`${name}DueMs`] = level.dueMs;
    figures[`${name}WriteP50Ms`] = percentile(level.writeMs, 50);
    figures[`${name}WriteP99Ms`] = percentile(level.writeMs, 99);
    figures[`${name}DueP50Ms`] = percentile(level.dueMs, 50);
    figures[`${name}DueP99Ms`] = percentile(level.dueMs, 99);
    for (const key of ["loopDelayP99Ms", "cohortdCores", "wardenCores", "benchCores", "childrenCores", "transcriptBytesPerSecond"] as const)
      figures[`${name}${key[0]?.toUpperCase() ?? ""}${key.slice(1)}`] = level[key];
  }
  figures["resultP50Ms"] = percentile(resultMs, 50);
  figures["resultP99Ms"] = percentile(resultMs, 99);
  const of = (what: string): number => figures[`${nameOf(headline)}${what}`] ?? Number.NaN;
  figures["p50Ms"] = of("WriteP50Ms");
  figures["p99Ms"] = of("WriteP99Ms");
  figures["eventLoopDelayP99Ms"] = of("LoopDelayP99Ms");
  return {
    figures,
    samples,
    goals: [
      atMost("p50Ms", "ms from a write to the callback", 5, of("WriteP50Ms")),
      atMost("p99Ms", "ms from a write to the callback", 25, of("WriteP99Ms")),
      atMost("eventLoopDelayP99Ms", "ms", 20, of("LoopDelayP99Ms")),
    ],
    peers: [],
    notMeasured: [
      "power loss: a byte reaches its subscriber after write(2) to the transcript; a result after fdatasync of transcript and journal",
      "how late a child's own timer fires where processors are busy: DueMs has it, WriteMs begins at the write",
      "other benches or tests on the machine: wardenCores counts every process of any warden",
      "the kernel's own threads, which write pages to the disk",
    ],
  };
}
