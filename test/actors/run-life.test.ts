import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { numbered } from "./simulated-warden.ts";
import { origin, SystemBench, until } from "./system-bench.ts";

describe("a run in the system", () => {
  let bench: SystemBench;
  beforeEach(async () => {
    bench = new SystemBench();
    await bench.open();
  });
  afterEach(() => bench.close());

  it("executes every task once and leaves nothing in the warden", async () => {
    const run = await bench.start(
      Array.from({ length: 50 }, () => ({ command: ["true"] })),
      { jobs: 4 },
    );
    const events = await bench.events(run);
    expect(events[0]).toMatchObject({ type: "run-started", total: 50, jobs: 4 });
    expect(events.filter(({ type }) => type === "task-started")).toHaveLength(50);
    expect(events.filter(({ type }) => type === "task-finished")).toHaveLength(50);
    expect(events.at(-1)).toMatchObject({
      type: "run-finished",
      status: "completed",
      summary: { total: 50, waiting: 0, running: 0, succeeded: 50, failed: 0, cancelled: 0 },
    });
    expect(bench.warden.executed).toHaveLength(50);
    expect(bench.warden.sandboxes.size).toBe(0);
    await until(() => !bench.system.busy(), "the system is idle");
    expect(await bench.system.children()).toEqual([]);
  });

  it("shows no task the state directory, where what others wrote lies, but for files that were collected", async () => {
    const start = (path: string, mode: "ro" | "rw"): Promise<string> =>
      bench.start([{ command: ["true"], mounts: [{ path, mode, as: "x" }] }], {});
    for (const path of ["", "/content", "/journal/", "/..x/../content", "/content/r/out", "/./token"])
      await expect(start(bench.directory + path, "ro")).rejects.toMatchObject({ code: "REQUEST_INVALID" });
    await expect(start(dirname(bench.directory), "ro")).rejects.toThrow(/cohort keeps its state/);
    await expect(start("/", "ro")).rejects.toThrow(/cohort keeps its state/);
    await expect(start(`${bench.directory}/content/r/out/0`, "rw")).rejects.toThrow(/cohort keeps its state/);
    for (const path of ["/content/r/out/0", "/content/r/out/12/deep"]) await bench.results(await start(bench.directory + path, "ro"));
    await bench.results(await start(`${bench.directory}-beside`, "rw"));
  });

  it("tells what became of each task, with its output and its files", async () => {
    const run = await bench.start(
      [
        { command: ["echo", "hello"] },
        { command: ["exit", "3"] },
        { command: ["missing"] },
        { command: ["files", "a.txt=one", "b/c.txt=two"] },
        { command: ["cat"], stdin: "x".repeat(600_000) },
        { command: ["true"], mounts: [{ path: "/nowhere" }] },
        { command: ["print", "100000"], limits: { outputBytes: 50_000 } },
      ],
      { jobs: 7 },
    );
    const results = await bench.results(run);
    expect(results.map(({ status }) => status)).toEqual([
      "succeeded",
      "failed",
      "not-started",
      "succeeded",
      "succeeded",
      "refused",
      "output-limit",
    ]);
    expect(results[0]).toMatchObject({
      title: "task 0",
      attempt: 1,
      exitCode: 0,
      signal: null,
      detail: "",
      stdout: { bytes: 6, preview: "hello\n", truncated: false },
    });
    expect(results[1]).toMatchObject({ exitCode: 3 });
    expect(results[2]?.detail).toBe(
      "missing: No such file or directory; is it installed inside the sandbox (/usr), or in a mounted directory?",
    );
    expect(results[3]?.out.map(({ path, bytes }) => [path, bytes])).toEqual([
      ["a.txt", 3],
      ["b/c.txt", 3],
    ]);
    expect(readFileSync(join(results[3]?.outDirectory ?? "", "b/c.txt"), "utf8")).toBe("two");
    expect(results[4]?.stdout).toMatchObject({ bytes: 600_000, truncated: true });
    expect(results[5]?.detail).toMatch(/^\/nowhere; /);
    expect(results[5]?.child).toBe("");
    expect(results[6]?.stdout.bytes).toBe(50_000);
    expect(await bench.log(run, 6)).toHaveLength(50_000);
    expect(await bench.log(run, 0)).toBe("hello\n");
    expect(bench.warden.sandboxes.size).toBe(0);
    for (const file of ["asked.jsonl", "results.jsonl", "0.1.jsonl"])
      expect(statSync(join(bench.directory, "content", run, file)).mode & 0o777).toBe(0o600);
    expect(statSync(join(bench.directory, "content", run)).mode & 0o777).toBe(0o700);
  });

  it("keeps titles, commands and outputs out of the journal", async () => {
    const secret = "wombat-4711";
    const run = await bench.start(
      [{ title: secret, command: ["echo", secret], env: { SECRET: secret } }, { command: ["missing", secret] }],
      { title: secret },
      secret,
    );
    await bench.results(run);
    await bench.stop();
    for (const file of ["journal.db", "journal.db-wal", "runtime.log"]) {
      const path = join(bench.directory, "journal", file);
      expect([file, statSync(path, { throwIfNoEntry: false }) === undefined ? false : readFileSync(path).includes(secret)]).toEqual([
        file,
        false,
      ]);
    }
  });

  it("gives each process the documented environment", async () => {
    const run = await bench.start([{ command: ["env"], env: { MINE: "1", LANG: "de_DE.UTF-8" }, cwd: "mnt/work" }]);
    const [result] = await bench.results(run);
    const { env, cwd } = JSON.parse(result?.stdout.preview ?? "") as { env: Record<string, string>; cwd: string };
    const home = `/sessions/${result?.child}`;
    expect(cwd).toBe(`${home}/mnt/work`);
    expect(env).toEqual({
      PATH: expect.stringContaining("/usr/bin"),
      HOME: home,
      USER: result?.child,
      LOGNAME: result?.child,
      TMPDIR: "/tmp",
      LANG: "de_DE.UTF-8",
      COHORT_OUT: `${home}/out`,
      COHORT_RUN: run,
      COHORT_TASK: "0",
      COHORT_CHILD: result?.child,
      MINE: "1",
    });
  });

  it("says so when the files of a task that succeeded went with its warden", async () => {
    const run = await bench.start([{ command: ["sleep", "300"] }, { command: ["files", "a=one"] }], { jobs: 1 });
    const inTheWay = join(bench.directory, "content", run, "out");
    writeFileSync(inTheWay, "");
    const isCollecting = async (): Promise<boolean> =>
      (await bench.system.children()).some(({ index, state }) => index === 1 && state === "collecting");
    await until(isCollecting, "it is collected");
    await new Promise((resolve) => setTimeout(resolve, 300));
    bench.warden.replace();
    rmSync(inTheWay);
    const results = await bench.results(run);
    expect(results[1]).toMatchObject({ status: "succeeded", out: [] });
    expect(results[1]?.detail).toMatch(/^the files that it left are lost/);
  });

  it("retries what failed, with a fresh session each time, and says so", async () => {
    const run = await bench.start([{ command: ["exit", "1"], retries: 2 }]);
    const events = await bench.events(run);
    expect(events.filter(({ type }) => type === "task-retried")).toMatchObject([
      { attempt: 1, status: "failed" },
      { attempt: 2, status: "failed" },
    ]);
    expect((await bench.results(run))[0]).toMatchObject({ attempt: 3, status: "failed", exitCode: 1 });
    const first = bench.warden.executed[0] ?? "";
    expect(bench.warden.executed).toEqual([first, `${first}-2`, `${first}-3`]);
  });

  it("halts after the failures that its spec names, softly or at once", async () => {
    const tasks = [{ command: ["exit", "1"] }, { command: ["sleep", "300"] }, { command: ["true"] }, { command: ["true"] }];
    const soon = await bench.start(tasks, { jobs: 2, halt: { when: "soon" } });
    expect((await bench.events(soon)).at(-1)).toMatchObject({
      status: "halted",
      summary: { succeeded: 1, failed: 1, cancelled: 0, waiting: 2 },
    });
    const now = await bench.start(tasks, { jobs: 2, halt: { when: "now" } });
    expect((await bench.events(now)).at(-1)).toMatchObject({
      status: "halted",
      summary: { succeeded: 0, failed: 1, cancelled: 1, waiting: 2 },
    });
  });

  it("cancels with grace, and kills what does not listen", async () => {
    const run = await bench.start([{ command: ["hang"] }, { command: ["deaf"] }, { command: ["true"] }], { jobs: 2 });
    await until(() => bench.warden.executed.length === 2, "both run");
    await bench.system.cancelRun(run, "grace", "enough", origin);
    await bench.system.cancelRun(run, "grace", "enough", origin);
    expect((await bench.system.run(run)).status).toBe("cancelling");
    const results = await bench.results(run);
    expect(results.map(({ index, status, signal }) => [index, status, signal])).toEqual([
      [0, "cancelled", 15],
      [1, "cancelled", 9],
    ]);
    expect(await bench.system.run(run)).toMatchObject({ status: "cancelled", counts: { cancelled: 2, waiting: 1 } });
    expect(bench.warden.sandboxes.size).toBe(0);
  });

  it("kills at once when it is asked to, also after grace, also while sandboxes are being prepared", async () => {
    const run = await bench.start([{ command: ["deaf"] }, { command: ["deaf"] }], { jobs: 2 });
    await until(() => bench.warden.executed.length === 2, "both run");
    await bench.system.cancelRun(run, "grace", "", origin);
    const askedAtMs = Date.now();
    await bench.system.cancelRun(run, "kill", "", origin);
    expect((await bench.results(run)).map(({ status }) => status)).toEqual(["cancelled", "cancelled"]);
    expect(Date.now() - askedAtMs).toBeLessThan(2000);

    bench.warden.createDelayMs = 100;
    const preparing = await bench.start(
      Array.from({ length: 60 }, () => ({ command: ["hang"] })),
      { jobs: 50 },
    );
    await until(async () => (await bench.system.children()).length > 0, "children are being prepared");
    await bench.system.cancelRun(preparing, "grace", "", origin);
    for (const { status } of await bench.results(preparing)) expect(status).toBe("cancelled");
    expect(bench.warden.sandboxes.size).toBe(0);
  });

  it("answers the same key with the same run, also to two at once and after a restart", async () => {
    const tasks = [{ command: ["true"] }];
    const [one, other] = await Promise.all([bench.start(tasks, {}, "nightly"), bench.start(tasks, {}, "nightly")]);
    expect(other).toBe(one);
    await bench.results(one);
    await bench.stop();
    await bench.open();
    expect(await bench.start(tasks, {}, "nightly")).toBe(one);
    const weekly = await bench.start(tasks, {}, "weekly");
    expect(weekly).not.toBe(one);
    await bench.results(weekly);
    expect(bench.warden.executed).toHaveLength(2);
    expect(await bench.system.run(one)).toMatchObject({ key: "nightly", title: "test" });
  });

  it("resumes with the tasks that did not succeed", async () => {
    const run = await bench.start([{ command: ["true"] }, { command: ["exit", "1"] }, { command: ["true"] }, { command: ["exit", "2"] }]);
    await bench.results(run);
    const resumed = await bench.system.resumeRun(run, undefined, origin);
    const results = await bench.results(resumed.run);
    expect(results.map(({ index, title, exitCode }) => [index, title, exitCode])).toEqual([
      [0, "task 1", 1],
      [1, "task 3", 2],
    ]);
  });

  it("resumes once under a key, however often it is asked", async () => {
    const run = await bench.start([{ command: ["true"] }, { command: ["exit", "1"] }]);
    await bench.results(run);
    const asked = await Promise.all([1, 2].map(() => bench.system.resumeRun(run, "again", origin)));
    asked.push(await bench.system.resumeRun(run, "again", origin));
    expect(asked.map(({ created }) => created)).toEqual([true, false, false]);
    expect(new Set(asked.map((one) => one.run)).size).toBe(1);
    expect((await bench.system.runs(10)).length).toBe(2);
    await bench.results(asked[0]?.run ?? "");
  });

  it("refuses what two fields together make impossible, and runs nothing", async () => {
    const mounts = [{ path: "/usr/share" }, { path: "/opt/share" }];
    await expect(bench.start([{ command: ["true"] }, { command: ["true"], mounts }])).rejects.toMatchObject({
      code: "REQUEST_INVALID",
      message: expect.stringContaining("tasks[1].mounts[1].as"),
    });
    await expect(bench.start([{ command: ["a\0b"] }])).rejects.toMatchObject({
      code: "REQUEST_INVALID",
      message: expect.stringContaining("tasks[0].command[0]"),
    });
    expect(await bench.system.runs(10)).toEqual([]);
  });

  it("follows an output while it grows, each byte once", async () => {
    const run = await bench.start([{ command: ["print", "3000000", "1000"] }]);
    const parts: Buffer[] = [];
    for await (const { bytes, offset } of bench.system.logs(
      { run, index: 0, follow: true, stdoutOffset: 8, stderrOffset: 0 },
      AbortSignal.timeout(30_000),
    )) {
      expect(offset).toBe(8 + parts.reduce((sum, part) => sum + part.length, 0));
      parts.push(Buffer.from(bytes));
    }
    expect(Buffer.concat(parts).equals(numbered(3_000_000).subarray(8))).toBe(true);
  });
});
