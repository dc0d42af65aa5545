/** What is told of a run reaches whoever asks: once each for who keeps a cursor, held back by nobody who does not read, whole by its handle. */
import { spawn, type ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import type { Cohort } from "../../sdk/index.ts";
import { collect, eventually, OwnHome, ownHomeUnavailable } from "../daemon/own-home.ts";

vi.setConfig({ testTimeout: 120_000 });

const MEBIBYTE = 1024 ** 2;

let home: OwnHome;
let cohort: Cohort;
const processes: ChildProcess[] = [];
const directory = mkdtempSync("/tmp/cohort-relay-");

beforeAll(async () => {
  if (ownHomeUnavailable !== null) return;
  home = OwnHome.make();
  cohort = await home.connect();
});

beforeEach(({ skip }) => skip(ownHomeUnavailable !== null, ownHomeUnavailable ?? ""));

afterEach(() => {
  for (const child of processes.splice(0)) child.kill("SIGKILL");
});

afterAll(async () => {
  rmSync(directory, { recursive: true, force: true });
  if (ownHomeUnavailable === null) await home.end();
});

function program(name: string, ...args: string[]): ChildProcess {
  const child = spawn(process.execPath, [fileURLToPath(new URL(`./programs/${name}`, import.meta.url)), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, COHORT_HOME: home.directory },
  });
  processes.push(child);
  return child;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test.each(["events", "poll"])("who keeps its cursor applies each row once, by %s, whoever of both is killed in between", async (mode) => {
  const tasks = 40;
  const run = await cohort.map(
    ["sh", "-c", "sleep 0.4; echo {}"],
    Array.from({ length: tasks }, (_, index) => `${index}`),
    { jobs: 4 },
  );
  const file = join(directory, mode);
  let [readersKilled, daemonsKilled] = [0, 0];
  for (let attempt = 0, done = false; !done; attempt += 1) {
    expect(attempt).toBeLessThan(20);
    const reader = program("keeping-reader.ts", mode, run.id, file);
    const exited = (once(reader, "exit") as Promise<[number | null]>).then(([code]) => code);
    await Promise.race([exited, sleep(900 + Math.random() * 900)]);
    const isLast = readersKilled >= 3 && daemonsKilled >= 3;
    if (!isLast && reader.exitCode === null && readersKilled > daemonsKilled) {
      for (const pid of home.daemons()) process.kill(pid, "SIGKILL");
      daemonsKilled += 1;
    }
    if (!isLast && reader.exitCode === null) {
      reader.kill("SIGKILL");
      readersKilled += 1;
    }
    // One that could not reach cohortd in time has ended with 1: it is started again like one that was killed.
    done = (await exited) === 0;
  }
  expect([readersKilled > 0, daemonsKilled > 0]).toEqual([true, true]);
  const rows = readFileSync(file, "utf8").split("\n").slice(0, -1);
  expect(rows.map((row) => Number(row.split(" ")[0]))).toEqual(rows.map((_, at) => at + 1));
  const finished = rows.filter((row) => row.includes(" task-finished ")).map((row) => Number(row.split(" ")[2]));
  expect(finished.toSorted((one, other) => one - other)).toEqual(Array.from({ length: tasks }, (_, index) => index));
  expect(rows.at(-1)).toMatch(/ run-finished $/);
});

test("a poll answers at once when there is something, waits when there is not, and says when nothing more will come", async () => {
  const run = await cohort.map(["sh", "-c", "sleep 1; echo {}"], ["a"]);
  const first = await run.poll({ limit: 1 });
  expect(first).toMatchObject({ events: [{ cursor: 1, event: { type: "run-started" } }], next: 1, finished: false });
  let next = first.next;
  while ((await run.poll({ after: next })).events.length > 0 || next < 2) next = (await run.poll({ after: next, waitMs: 5000 })).next;
  const askedAt = performance.now();
  expect(await run.poll({ after: next, waitMs: 100 })).toEqual({ events: [], next, finished: false });
  expect(performance.now() - askedAt).toBeGreaterThan(95);
  const ended = await run.poll({ after: next, waitMs: 20_000 });
  expect(ended.events[0]).toMatchObject({ cursor: next + 1, event: { type: "task-finished" } });
  await run.finished();
  const last = await run.poll({ after: next });
  expect(last).toMatchObject({ next: next + 2, finished: true });
  expect(await run.poll({ after: last.next, waitMs: 5000 })).toEqual({ events: [], next: last.next, finished: true });
  expect([...(await run.poll({ after: 0, limit: next })).events, ...last.events]).toEqual(await collect(run.events()));
});

test("a result previews a large output and a large file, and its handle reads any part of both", async () => {
  const bytes = 3 * MEBIBYTE;
  const run = await cohort.run({
    title: "large",
    tasks: [
      { title: "a", command: ["sh", "-c", `seq -f %09.0f ${bytes / 10}; head -c ${bytes} /dev/zero | tr '\\0' z > $COHORT_OUT/big`] },
    ],
  });
  const [result] = await collect(run.results());
  if (result === undefined) throw new Error("there is no result");
  expect(JSON.stringify(result).length).toBeLessThan(8192);
  expect(result.stdout).toMatchObject({ truncated: true, preview: expect.stringMatching(/^000000001\n/) });
  const part = async (handle: string, offset: number, length: number): Promise<string> =>
    Buffer.concat((await collect(cohort.read(handle, { offset, bytes: length }))).map((item) => item.bytes)).toString();
  expect(await part(`${result.handle}/stdout`, 1_000_000, 25)).toBe("000100001\n000100002\n00010");
  expect(await part(`${result.handle}/stdout`, result.stdout.bytes - 10, 1000)).toBe(
    `${String(Math.floor(bytes / 10)).padStart(9, "0")}\n`,
  );
  expect(await part(`${result.handle}/stdout`, result.stdout.bytes, 10)).toBe("");
  expect(await part(`${result.handle}/out/big`, bytes - 3, 100)).toBe("zzz");
  const hash = createHash("sha256");
  for await (const { bytes: some } of cohort.read(`${result.handle}/out/big`)) hash.update(some);
  expect(hash.digest("hex")).toBe(result.out[0]?.sha256);
  for (const bad of ["", "x", `${result.handle}/out/../../asked.jsonl`, `${result.handle}/out//big`, `../${result.handle}/stdout`])
    await expect(collect(cohort.read(bad))).rejects.toMatchObject({ code: "REQUEST_INVALID" });
  await expect(collect(cohort.read(`${result.handle}/out/none`))).rejects.toMatchObject({ code: "CONTENT_GONE" });
});

function rssBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
}

/** A task writes so much at once; answers how long that took its reader, and the most memory that cohortd held. */
async function flood(
  bytes: number,
  readers: (run: string) => Promise<void>,
): Promise<{ readonly tookMs: number; readonly rssPeakBytes: number }> {
  const run = await cohort.run({
    title: "flood",
    tasks: [
      {
        title: "a",
        command: ["sh", "-c", `echo go; sleep 3; head -c ${bytes} /dev/zero | tr '\\0' x`],
        limits: { outputBytes: 2 * bytes },
      },
    ],
  });
  await readers(run.id);
  let peak = 0;
  const { pid } = cohort.daemon;
  const timer = setInterval(() => (peak = Math.max(peak, rssBytes(pid))), 20);
  let startedAt = Number.NaN;
  let read = 0;
  for await (const item of run.logs(0, { follow: true })) {
    read += item.bytes.length;
    if (read > 10 && Number.isNaN(startedAt)) startedAt = performance.now();
  }
  const tookMs = performance.now() - startedAt;
  expect(read).toBe(bytes + 3);
  expect((await run.finished()).counts.succeeded).toBe(1);
  clearInterval(timer);
  return { tookMs, rssPeakBytes: peak };
}

test("subscribers that do not read hold back neither the child nor another reader, and cost bounded memory", async () => {
  const bytes = 48 * MEBIBYTE;
  const stopped = 20;
  await flood(bytes, () => Promise.resolve());
  const alone = await flood(bytes, () => Promise.resolve());
  const beside = await flood(bytes, async (run) => {
    const reader = program("stopped-reader.ts", run, String(stopped));
    await once(reader.stdout ?? reader, "data", { signal: AbortSignal.timeout(20_000) });
    reader.kill("SIGSTOP");
  });
  // Unbounded, they would hold all of it each: 960 MiB.
  const grownBytes = beside.rssPeakBytes - alone.rssPeakBytes;
  console.log(
    `stopped subscribers: ${Math.round(alone.tookMs)} ms alone, ${Math.round(beside.tookMs)} ms beside ${stopped}; ${Math.round(grownBytes / MEBIBYTE)} MiB more`,
  );
  expect(grownBytes).toBeLessThan(stopped * 5 * MEBIBYTE);
  expect(beside.tookMs).toBeLessThan(3 * alone.tookMs + 3000);
});

test("a child that floods its output, and one that floods its reports, delay neither lines nor results of another", async () => {
  const reports = `import os
line = b'{"progress":"x","fraction":0.5}\\n' * 100
while True: os.write(3, line)`;
  const floods = await cohort.run({
    title: "floods",
    jobs: 2,
    tasks: [
      { title: "output", command: ["sh", "-c", "exec yes"], limits: { outputBytes: 1024 * MEBIBYTE } },
      { title: "reports", command: ["/usr/bin/python3", "-c", reports] },
    ],
  });
  await eventually(
    async () => (await cohort.children()).filter(({ run, state }) => run === floods.id && state === "running").length === 2,
    "both flood",
  );
  await eventually(
    async () => (await cohort.children()).some(({ run, progress }) => run === floods.id && progress?.text === "x"),
    "reports are heard",
  );
  const sibling = await cohort.run({
    title: "sibling",
    tasks: [{ title: "a", command: ["sh", "-c", "for i in $(seq 100); do date +%s%N; sleep 0.02; done"] }],
  });
  const delaysMs: number[] = [];
  let held = "";
  for await (const { bytes } of sibling.logs(0, { follow: true })) {
    const nowMs = performance.timeOrigin + performance.now();
    const lines = (held + Buffer.from(bytes).toString()).split("\n");
    held = lines.pop() ?? "";
    for (const line of lines) delaysMs.push(nowMs - Number(line) / 1e6);
  }
  const resultsMs: number[] = [];
  for (let count = 0; count < 10; count += 1) {
    const startedAt = performance.now();
    await collect((await cohort.map(["true"], ["x"])).results());
    resultsMs.push(performance.now() - startedAt);
  }
  await floods.cancel("kill");
  await floods.finished();
  const middle = (values: readonly number[]): number =>
    values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? Number.NaN;
  console.log(`beside floods: a line ${middle(delaysMs).toFixed(1)} ms, a run ${middle(resultsMs).toFixed(1)} ms`);
  expect(delaysMs.length).toBe(100);
  expect(middle(delaysMs)).toBeLessThan(100);
  expect(Math.max(...delaysMs)).toBeLessThan(2000);
  expect(middle(resultsMs)).toBeLessThan(1000);
});
