/** The whole of it: actors, journal, content and the real warden. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runSpecSchema } from "../../machines/messages/task.ts";
import { isCohortError } from "../../runtime/kernel/error.ts";
import { WardenProcess, wardenUnavailable } from "../vm/warden-process.ts";
import { origin, SystemBench, until } from "./system-bench.ts";

const TITLE = `a run on the real warden${wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`}`;
const STREAM_LINES = 25_000;

function shell(script: string): string[] {
  return ["/bin/sh", "-c", script];
}

describe.skipIf(wardenUnavailable !== null)(TITLE, () => {
  let warden: WardenProcess;
  let bench: SystemBench;
  beforeAll(async () => {
    warden = await WardenProcess.start();
    bench = new SystemBench((events) => warden.connect(events));
    await bench.open();
  });
  afterAll(async () => {
    await bench.close();
    await warden.stop();
  });

  /** Null when the system took its warden back before the answer. */
  async function sandboxesLeft(): Promise<number | null> {
    const vm = await warden.connect({
      output() {},
      stdinAcked() {},
      exit() {},
      died() {},
      grantEnded() {},
      denied() {},
      notice() {},
      closed() {},
    });
    try {
      return (await vm.list()).length;
    } catch (error) {
      if (isCohortError(error, "WARDEN_GONE")) return null;
      throw error;
    } finally {
      vm.close();
    }
  }

  it("executes fifty trues", async () => {
    const run = await bench.start(
      Array.from({ length: 50 }, () => ({ command: ["true"] })),
      { jobs: 8 },
    );
    expect((await bench.results(run)).map(({ status }) => status)).toEqual(Array.from({ length: 50 }, () => "succeeded"));
    await until(async () => (await sandboxesLeft()) === 0, "no sandbox is left");
  }, 60_000);

  it("tells apart what fails, hangs, bombs and is not there, beside what is fine", async () => {
    const run = await bench.start(
      [
        { command: shell("echo out; echo err >&2; exit 7") },
        { command: shell("sleep 60"), timeoutMs: 300 },
        { command: shell("x=a; while :; do x=$x$x; done"), limits: { memoryBytes: 32 * 1024 ** 2 } },
        { command: ["/no/such/program"] },
        { command: shell("kill -TERM $$") },
        {
          command: shell(":(){ : | : & }; i=0; while [ $i -lt 200 ]; do : & sleep 5 & i=$((i+1)); done; wait"),
          limits: { pidsMax: 16 },
          timeoutMs: 4000,
        },
        { command: shell("mkdir -p $COHORT_OUT/deep; echo result > $COHORT_OUT/deep/file; pwd; id -u; cat"), stdin: "given" },
        { command: ["true"], mounts: [{ path: "/no/such/directory" }] },
      ],
      { jobs: 8 },
    );
    const results = await bench.results(run);
    expect(results.map(({ status }) => status).with(5, "failed")).toEqual([
      "failed",
      "timed-out",
      "out-of-memory",
      "not-started",
      "signaled",
      "failed",
      "succeeded",
      "refused",
    ]);
    expect(results[0]).toMatchObject({ exitCode: 7, stdout: { preview: "out\n" }, stderr: { preview: "err\n" } });
    expect(results[4]).toMatchObject({ signal: 15 });
    expect(results[6]?.stdout.preview).toMatch(/^\/sessions\/[a-z-]+\n\d+\ngiven$/);
    expect(results[6]?.out).toMatchObject([{ path: "deep/file", bytes: 7 }]);
    expect(readFileSync(join(results[6]?.outDirectory ?? "", "deep/file"), "utf8")).toBe("result\n");
  }, 60_000);

  it("collects files anew when they could not be written the first time, while most of them waited in the sandbox", async () => {
    const bytes = 5_000_000;
    const run = await bench.start([{ command: shell("sleep 0.5") }, { command: shell(`head -c ${bytes} /dev/zero > $COHORT_OUT/large`) }], {
      jobs: 1,
    });
    const inTheWay = join(bench.directory, "content", run, "out");
    writeFileSync(inTheWay, "");
    const isCollecting = async (): Promise<boolean> =>
      (await bench.system.children()).some(({ index, state }) => index === 1 && state === "collecting");
    await until(isCollecting, "it is collected");
    await new Promise((resolve) => setTimeout(resolve, 300));
    rmSync(inTheWay);
    const results = await bench.results(run);
    expect(results[1]).toMatchObject({ status: "succeeded", detail: "", out: [{ path: "large", bytes }] });
  }, 60_000);

  it("cancels with grace, and kills at once", async () => {
    for (const mode of ["grace", "kill"] as const) {
      const run = await bench.start(
        Array.from({ length: 6 }, () => ({ command: shell("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done") })),
        { jobs: 3 },
      );
      for (const index of [0, 1, 2]) await until(async () => (await bench.log(run, index)) === "ready\n", `task ${index} runs`);
      await bench.system.cancelRun(run, mode, "test", origin);
      const results = await bench.results(run);
      expect(results.map(({ status }) => status)).toEqual(["cancelled", "cancelled", "cancelled"]);
      for (const { detail } of results) expect(detail).toMatch(/^(killed on request)?$/);
      expect(results.map(({ stdout }) => stdout.preview)).toEqual(
        Array.from({ length: 3 }, () => (mode === "grace" ? "ready\nbye\n" : "ready\n")),
      );
    }
    await until(async () => (await sandboxesLeft()) === 0, "no sandbox is left");
  }, 60_000);

  it("gives a shell beside the task", async () => {
    const run = await bench.start([{ command: shell("echo hidden > note; echo ready; sleep 60") }]);
    await until(async () => (await bench.log(run, 0)) === "ready\n", "it runs");
    const child = (await bench.system.children())[0]?.child ?? "";
    async function* typed(): AsyncGenerator<Uint8Array> {
      yield Buffer.from("cat note; exit 4\n");
    }
    const items = [];
    for await (const item of bench.system.exec({ child, command: ["/bin/sh"], pty: null, stdin: typed() }, AbortSignal.timeout(10_000)))
      items.push(item);
    expect(items[0]?.execId).toBeGreaterThanOrEqual(1000);
    expect(items.map(({ output }) => Buffer.from(output?.bytes ?? []).toString()).join("")).toBe("hidden\n");
    expect(items.at(-1)).toEqual({ exit: { code: 4, signal: 0 } });
    expect((await bench.system.doctor(child)).rows.filter(({ area, status }) => area === "layers" && status !== "ok")).toEqual([]);
    await bench.system.cancelRun(run, "kill", "", origin);
    await bench.results(run);
  }, 60_000);
});

describe.skipIf(wardenUnavailable !== null)("a supervisor that is killed in the middle of a run", () => {
  it("comes back to every task executed once, with one result and a whole stream", async () => {
    const warden = await WardenProcess.start();
    const bench = new SystemBench((events) => warden.connect(events));
    try {
      const shared = warden.personDirectory("shared");
      const tasks = Array.from({ length: 40 }, (_, index) => ({
        title: `task ${index}`,
        command: shell(`echo $COHORT_TASK >> mnt/shared/ids; sleep 0.${(index % 4) + 1}; seq -w 0 ${STREAM_LINES - 1}`),
        mounts: [{ path: shared, mode: "rw" }],
      }));
      const specPath = join(warden.directory, "spec.json");
      writeFileSync(specPath, JSON.stringify({ title: "killed", jobs: 4, tasks }));
      const run = await superviseWithKills(bench.directory, warden.socketPath, specPath, 5);

      await bench.open();
      const results = await bench.results(run);
      expect(results.map(({ index, status, attempt }) => [index, status, attempt])).toEqual(
        tasks.map((_, index) => [index, "succeeded", 1]),
      );
      const ids = readFileSync(join(shared, "ids"), "utf8").trim().split("\n").map(Number);
      expect(ids.toSorted((one, other) => one - other)).toEqual(tasks.map((_, index) => index));
      const stream = Array.from({ length: STREAM_LINES }, (_, line) => `${String(line).padStart(5, "0")}\n`).join("");
      for (const { index } of tasks.map((_, at) => ({ index: at }))) expect((await bench.log(run, index)) === stream).toBe(true);
    } finally {
      await bench.close();
      await warden.stop();
    }
  }, 120_000);
});

function supervisor(...args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [join(import.meta.dirname, "programs/supervisor.ts"), ...args], { stdio: ["ignore", "pipe", "inherit"] });
}

/** Kills it `kills` times, each a little later after its run went on, and then lets it end. Answers the run. */
async function superviseWithKills(state: string, socket: string, specPath: string, kills: number): Promise<string> {
  runSpecSchema.parse(JSON.parse(readFileSync(specPath, "utf8")));
  let run = "";
  for (let round = 0; round <= kills; round += 1) {
    const process = supervisor(state, socket, specPath, "killed");
    const closed = once(process, "close", { signal: AbortSignal.timeout(60_000) });
    process.stdout?.on("data", (text: Buffer) => {
      run = text.toString().trim() || run;
    });
    if (round < kills && process.stdout !== null) {
      await once(process.stdout, "data", { signal: AbortSignal.timeout(30_000) });
      await new Promise((resolve) => setTimeout(resolve, 50 + round * 110));
      process.kill("SIGKILL");
      await closed;
    } else expect(await closed).toEqual([0, null]);
  }
  return run;
}
