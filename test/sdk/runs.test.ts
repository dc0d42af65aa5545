import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { wardenDown, type Cohort, type TaskResult } from "../../sdk/index.ts";
import { collect, eventually, OwnHome, ownHomeUnavailable } from "../daemon/own-home.ts";

vi.setConfig({ testTimeout: 90_000 });

let home: OwnHome;
let cohort: Cohort;
const processes: ChildProcess[] = [];

beforeAll(async () => {
  if (ownHomeUnavailable !== null) return;
  process.env["COHORT_LEASE_FREEZE_MS"] = "20000";
  home = OwnHome.make();
  cohort = await home.connect();
});

beforeEach(({ skip }) => skip(ownHomeUnavailable !== null, ownHomeUnavailable ?? ""));

afterEach(() => {
  for (const child of processes.splice(0)) child.kill("SIGKILL");
});

afterAll(async () => {
  if (ownHomeUnavailable === null) await home.end();
});

function killDaemon(): void {
  process.kill(cohort.daemon.pid, "SIGKILL");
}

test("a map's results come with status, output and the counts at its end", async () => {
  const run = await cohort.map(["sh", "-c", "echo out {}; echo err {#} >&2; exit {}"], ["0", "3"]);
  const results: TaskResult[] = [];
  for await (const result of run.results()) results.push(result);
  const told = results
    .toSorted((a, b) => a.index - b.index)
    .map(({ title, status, exitCode, stdout, stderr }) => [title, status, exitCode, stdout.preview, stderr.preview]);
  expect(told).toEqual([
    ["0", "succeeded", 0, "out 0\n", "err 1\n"],
    ["3", "failed", 3, "out 3\n", "err 2\n"],
  ]);
  expect(await run.finished()).toMatchObject({
    run: run.id,
    status: "completed",
    key: null,
    counts: { total: 2, succeeded: 1, failed: 1, running: 0, waiting: 0 },
  });
  expect(await cohort.attach(run.id).finished()).toEqual(await run.summary());
  expect((await cohort.runs())[0]?.run).toBe(run.id);
});

test("events begin with run-started, end with run-finished, and can be read again from any cursor", async () => {
  const run = await cohort.map(["true"], ["a", "b", "c"]);
  const all = await collect(run.events());
  expect(all[0]?.event.type).toBe("run-started");
  expect(all.at(-1)?.event.type).toBe("run-finished");
  expect(all.map(({ cursor }) => cursor)).toEqual(all.map((_, index) => index + 1));
  expect(await collect(cohort.attach(run.id).events({ after: 3 }))).toEqual(all.slice(3));
});

test("logs give every byte of both streams, live", async () => {
  const run = await cohort.run({
    title: "logs",
    tasks: [{ title: "a", command: ["sh", "-c", "for n in $(seq 2000); do echo line $n; done; sleep 0.3; echo last >&2"] }],
  });
  const bytes = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  for await (const item of run.logs(0, { follow: true })) bytes[item.stream].push(item.bytes);
  expect(Buffer.concat(bytes.stdout).toString()).toBe(Array.from({ length: 2000 }, (_, index) => `line ${index + 1}\n`).join(""));
  expect(Buffer.concat(bytes.stderr).toString()).toBe("last\n");
});

test("an abort cancels the run with grace: what ran is told so and may tidy up, what waited is not started", async () => {
  const abort = new AbortController();
  const run = await cohort.run(
    {
      title: "slow",
      jobs: 1,
      tasks: [1, 2, 3].map((n) => ({
        title: `${n}`,
        command: ["sh", "-c", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"],
      })),
    },
    { signal: abort.signal },
  );
  for await (const item of run.logs(0, { follow: true })) if (Buffer.from(item.bytes).includes("up")) break;
  abort.abort();
  const results = await collect(run.results());
  expect(results.map(({ status }) => status)).toEqual(["cancelled"]);
  expect(results.find(({ index }) => index === 0)?.stdout.preview).toBe("up\nbye\n");
  expect(await run.finished()).toMatchObject({ status: "cancelled", counts: { cancelled: 1, waiting: 2 } });
  await expect(cohort.run({ title: "late", tasks: [{ title: "a", command: ["true"] }] }, { signal: abort.signal })).rejects.toMatchObject({
    code: "CANCELLED",
  });
});

test("an abort of a reader ends the reading and not the run", async () => {
  const run = await cohort.map(["sh", "-c", "sleep 0.5"], ["a"]);
  const abort = new AbortController();
  setTimeout(() => abort.abort(), 50);
  await expect(collect(run.events({ signal: abort.signal }))).rejects.toMatchObject({ code: "CANCELLED" });
  expect((await run.finished()).status).toBe("completed");
});

test("a key names one run across the crash of the process that started it", async () => {
  const shared = home.personDirectory();
  const start = async (): Promise<{ readonly run: string; readonly created: boolean; readonly child: ChildProcess }> => {
    const child = spawn(process.execPath, [fileURLToPath(new URL("./key-client.ts", import.meta.url)), "nightly", shared], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, COHORT_HOME: home.directory },
    });
    processes.push(child);
    const [text] = (await once(child.stdout ?? child, "data", { signal: AbortSignal.timeout(20_000) })) as [Buffer];
    return { ...(JSON.parse(text.toString()) as { run: string; created: boolean }), child };
  };
  const first = await start();
  first.child.kill("SIGKILL");
  const second = await start();
  expect([first.created, second.created, second.run]).toEqual([true, false, first.run]);
  expect(await cohort.attach(first.run).finished()).toMatchObject({ key: "nightly", counts: { succeeded: 3 } });
  expect(readFileSync(join(shared, "seen"), "utf8")).toBe("a\nb\nc\n");
});

test("kill -9 of cohortd in the middle of a run is a delay and nothing else", async () => {
  const shared = home.personDirectory();
  const items = Array.from({ length: 16 }, (_, index) => `${index}`);
  const run = await cohort.map(["sh", "-c", "echo {} >> ~/mnt/shared/seen; sleep 0.2; seq 3000"], items, {
    jobs: 4,
    mounts: [{ path: shared, as: "shared", mode: "rw" }],
  });
  const seen: number[] = [];
  let kills = 0;
  for await (const result of run.results()) {
    seen.push(result.index);
    expect([result.status, result.stdout.bytes]).toEqual(["succeeded", 13_893]);
    if (seen.length % 6 === 0 && kills < 2) {
      kills += 1;
      killDaemon();
    }
  }
  expect(kills).toBe(2);
  expect(seen.toSorted((a, b) => a - b)).toEqual(items.map(Number));
  expect((await run.finished()).counts).toMatchObject({ succeeded: 16 });
  expect(readFileSync(join(shared, "seen"), "utf8").trim().split("\n").toSorted()).toEqual(items.toSorted());
  await eventually(() => home.daemons().length === 1, "one cohortd is left");
});

test("a run whose start was asked for just as cohortd died is started once", async () => {
  const before = (await cohort.runs()).length;
  const starting = cohort.map(["true"], ["once"], { title: "once" });
  killDaemon();
  const run = await starting;
  expect(run.created).toBe(true);
  expect((await run.finished()).counts).toMatchObject({ succeeded: 1 });
  expect(await cohort.runs()).toHaveLength(before + 1);
});

test("a run goes on while nobody is connected", async () => {
  const other = await home.connect();
  const run = await other.map(["sh", "-c", "sleep 0.4"], ["x"]);
  other.close();
  await expect(run.summary()).rejects.toMatchObject({ code: "TRANSPORT_CLOSED" });
  expect((await cohort.attach(run.id).finished()).counts).toMatchObject({ succeeded: 1 });
});

test("resume runs again what did not succeed", async () => {
  const run = await cohort.map(["sh", "-c", "exit {}"], ["0", "1", "0", "2"]);
  await run.finished();
  const again = await cohort.resume(run.id);
  const results = await collect(again.results());
  expect(results.map(({ title, status }) => `${title} ${status}`).toSorted()).toEqual(["1 failed", "2 failed"]);
});

test("root's next run brings a warden that ended back, without a new cohortd", async () => {
  const { pid } = cohort.daemon;
  await wardenDown({ home: home.directory });
  const run = await cohort.map(["true"], ["a", "b"]);
  expect((await run.finished()).counts).toMatchObject({ succeeded: 2 });
  expect(cohort.daemon.pid).toBe(pid);
});

test("a shell beside a task has the task's files, a terminal, and ends with its own status", async () => {
  const run = await cohort.run({ title: "shell", tasks: [{ title: "a", command: ["sh", "-c", "echo kept > file; sleep 30"] }] });
  await eventually(
    async () => (await cohort.children()).some((child) => child.run === run.id && child.state === "running"),
    "the child runs",
  );
  const child = (await cohort.children()).find((one) => one.run === run.id)?.child ?? "";
  const session = await cohort.openExec(child, { command: ["sh"], pty: { rows: 30, columns: 100 } });
  await session.resize(41, 77);
  await session.write(Buffer.from("stty size; cat file; exit 5\n"));
  let text = "";
  for await (const { bytes } of session.output()) text += Buffer.from(bytes).toString();
  expect(text).toContain("41 77");
  expect(text).toContain("kept");
  expect(await session.exit()).toEqual({ code: 5, signal: 0 });
  const piped = await cohort.openExec(child, { command: ["sort"] });
  for (const line of ["b\n", "a\n"]) await piped.write(Buffer.from(line));
  piped.end();
  const sorted = (await collect(piped.output())).map(({ bytes }) => Buffer.from(bytes).toString()).join("");
  expect([sorted, await piped.exit()]).toEqual(["a\nb\n", { code: 0, signal: 0 }]);
  await run.cancel("kill");
  expect((await run.finished()).status).toBe("cancelled");
});
