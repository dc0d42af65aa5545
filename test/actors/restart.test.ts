/** What happens when the supervisor, the warden, or the connection between them goes away at a bad moment. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { numbered } from "./simulated-warden.ts";
import { origin, SystemBench, until } from "./system-bench.ts";

describe("a run that is interrupted", () => {
  let bench: SystemBench;
  beforeEach(async () => {
    bench = new SystemBench();
    await bench.open();
  });
  afterEach(() => bench.close());

  it("executes each task once and loses no byte, however often the supervisor stops", async () => {
    const tasks = Array.from({ length: 60 }, (_, index) =>
      index % 3 === 0 ? { command: ["print", "300000", "7000"] } : { command: ["sleep", String(10 + (index % 7) * 15)] },
    );
    const run = await bench.start(tasks, { jobs: 8 });
    for (let restart = 0; restart < 8; restart += 1) {
      await new Promise((resolve) => setTimeout(resolve, 40 + restart * 17));
      await bench.stop();
      await new Promise((resolve) => setTimeout(resolve, 20));
      await bench.open();
    }
    const results = await bench.results(run);
    expect(results.map(({ index, status }) => [index, status])).toEqual(tasks.map((_, index) => [index, "succeeded"]));
    expect(bench.warden.executed.toSorted()).toEqual(results.map(({ child }) => child).toSorted());
    for (let index = 0; index < 60; index += 3) {
      expect(results[index]?.stdout).toMatchObject({ bytes: 300_000, truncated: true });
      expect((await bench.log(run, index)) === numbered(300_000).toString()).toBe(true);
    }
    expect(bench.warden.sandboxes.size).toBe(0);
    await until(() => !bench.system.busy(), "idle");
  });

  it("goes on over a lost connection, however often", async () => {
    const run = await bench.start(
      Array.from({ length: 30 }, () => ({ command: ["print", "200000", "3000"] })),
      { jobs: 6 },
    );
    for (let cut = 0; cut < 15; cut += 1) {
      await new Promise((resolve) => setTimeout(resolve, 25));
      bench.warden.disconnect();
    }
    const results = await bench.results(run);
    expect(new Set(results.map(({ status }) => status))).toEqual(new Set(["succeeded"]));
    expect(bench.warden.executed).toHaveLength(30);
    for (const { index } of results) expect((await bench.log(run, index)) === numbered(200_000).toString()).toBe(true);
  });

  it("calls an outcome unknown when the warden died, and runs again only what is idempotent", async () => {
    const run = await bench.start(
      [{ command: ["hang"] }, { command: ["sleep", "400"], idempotent: true }, { command: ["hang"], retries: 3 }],
      { jobs: 3 },
    );
    await until(() => bench.warden.executed.length === 3, "all run");
    await until(async () => (await bench.system.children()).every(({ state }) => state === "running"), "all are known to run");
    bench.warden.replace();
    const results = await bench.results(run);
    expect(results.map(({ status, attempt }) => [status, attempt])).toEqual([
      ["unknown", 1],
      ["succeeded", 2],
      ["unknown", 1],
    ]);
    expect(bench.warden.executed).toHaveLength(4);
  });

  it("calls an outcome unknown when supervisor and warden both died", async () => {
    const run = await bench.start([{ command: ["hang"] }, { command: ["sleep", "300"], idempotent: true }], { jobs: 2 });
    await until(() => bench.warden.executed.length === 2, "both run");
    await until(async () => (await bench.system.children()).every(({ state }) => state === "running"), "both are known to run");
    await bench.stop();
    bench.warden.replace();
    await bench.open();
    expect((await bench.results(run)).map(({ status, attempt }) => [status, attempt])).toEqual([
      ["unknown", 1],
      ["succeeded", 2],
    ]);
  });

  it("takes up what ended while nobody was there", async () => {
    const run = await bench.start([{ command: ["sleep", "150", "7"] }, { command: ["print", "5000"] }], { jobs: 2 });
    await until(() => bench.warden.executed.length === 2, "both run");
    await bench.stop();
    await new Promise((resolve) => setTimeout(resolve, 300));
    await bench.open();
    const results = await bench.results(run);
    expect(results.map(({ status, exitCode }) => [status, exitCode])).toEqual([
      ["failed", 7],
      ["succeeded", 0],
    ]);
    expect(results[1]?.stdout).toMatchObject({ bytes: 5000, preview: numbered(5000).toString().slice(0, 4096) });
  });

  it("keeps a cancellation that was asked for before the stop", async () => {
    const run = await bench.start(
      Array.from({ length: 12 }, () => ({ command: ["deaf"] })),
      { jobs: 3 },
    );
    await until(() => bench.warden.executed.length === 3, "three run");
    await bench.system.cancelRun(run, "grace", "test", origin);
    await bench.stop();
    await bench.open();
    await bench.system.cancelRun(run, "kill", "test", origin);
    expect((await bench.results(run)).map(({ status }) => status)).toEqual(["cancelled", "cancelled", "cancelled"]);
    expect(bench.warden.executed).toHaveLength(3);
    expect(bench.warden.sandboxes.size).toBe(0);
  });

  it("destroys a sandbox that no child knows", async () => {
    const run = await bench.start([{ command: ["hang"] }]);
    await until(() => bench.warden.executed.length === 1, "it runs");
    const [name, sandbox] = [...bench.warden.sandboxes][0] ?? [];
    if (name === undefined || sandbox === undefined) throw new Error("no sandbox");
    bench.warden.sandboxes.set("stray-stray-stray", { ...sandbox, execs: new Map() });
    bench.warden.disconnect();
    await until(() => !bench.warden.sandboxes.has("stray-stray-stray"), "the stray is gone");
    expect(bench.warden.sandboxes.has(name)).toBe(true);
    await bench.system.cancelRun(run, "kill", "", origin);
    await bench.results(run);
  });

  it("delivers a result although its sandbox cannot be destroyed yet, and ends only when it is", async () => {
    bench.warden.destroyFails = 2;
    const run = await bench.start([{ command: ["true"] }]);
    await until(async () => (await bench.system.results(run, 0, 10)).results.length === 1, "the result is there");
    expect((await bench.system.run(run)).status).toBe("running");
    expect((await bench.system.children()).map(({ state }) => state)).toEqual(["destroying"]);
    expect((await bench.events(run)).at(-1)).toMatchObject({ type: "run-finished", status: "completed" });
    expect(bench.warden.sandboxes.size).toBe(0);
  }, 20_000);

  it("refuses a run with one clear error while there is no warden", async () => {
    bench.warden.absent = true;
    bench.warden.disconnect();
    await expect(bench.start([{ command: ["true"] }])).rejects.toMatchObject({ code: "WARDEN_ABSENT" });
    expect(bench.system.busy()).toBe(false);
  }, 20_000);
});
