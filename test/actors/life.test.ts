/** Working, waiting, stuck: real children that sleep, compute, ask, or are made to stand still, and what is told of each. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RunEvent, ChildSummary } from "../../machines/messages/result.ts";
import { WardenProcess, wardenUnavailable } from "../vm/warden-process.ts";
import { origin, SystemBench, until } from "./system-bench.ts";

const TITLE = `the life of a child${wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`}`;
const STUCK_AFTER_MS = 2000;

const shell = (script: string): string[] => ["/bin/sh", "-c", script];

describe.skipIf(wardenUnavailable !== null)(TITLE, { timeout: 60_000 }, () => {
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

  async function childrenOf(run: string): Promise<ChildSummary[]> {
    return (await bench.system.children()).filter((child) => child.run === run).toSorted((one, other) => one.index - other.index);
  }

  async function conditions(run: string): Promise<string[]> {
    return (await childrenOf(run)).map(({ condition }) =>
      condition.type === "working" ? "working" : condition.type === "waiting" ? `waiting ${condition.for}` : `stuck ${condition.clock}`,
    );
  }

  async function end(run: string): Promise<RunEvent[]> {
    await bench.system.cancelRun(run, "kill", "seen", origin);
    return bench.events(run);
  }

  test("who sleeps silently is stuck, who computes silently or says anything is not, and who is silent too long is told apart", async () => {
    const run = await bench.start(
      [
        { command: shell("exec sleep 60"), stuckAfterMs: STUCK_AFTER_MS },
        { command: shell("while :; do :; done"), stuckAfterMs: STUCK_AFTER_MS },
        { command: shell("while :; do :; done"), stuckAfterMs: STUCK_AFTER_MS, silentAfterMs: STUCK_AFTER_MS },
        { command: shell("while sleep 0.3; do echo x; done"), stuckAfterMs: STUCK_AFTER_MS, silentAfterMs: STUCK_AFTER_MS },
        { command: shell("while sleep 0.3; do cohort-child progress p 0.5; done"), silentAfterMs: STUCK_AFTER_MS },
        { command: shell("exec sleep 60") },
      ],
      { jobs: 6 },
    );
    const expected = ["stuck heartbeat", "working", "stuck progress", "working", "working", "working"];
    await until(async () => (await conditions(run)).join() === expected.join(), "the conditions");
    // It is no accident of the moment.
    await new Promise((resolve) => setTimeout(resolve, STUCK_AFTER_MS));
    expect(await conditions(run)).toEqual(expected);
    const [sleeps, computes, silent, , reports] = await childrenOf(run);
    const nowMs = Date.now();
    expect(nowMs - (sleeps?.lastSignAtMs ?? nowMs)).toBeGreaterThan(STUCK_AFTER_MS);
    expect(nowMs - (computes?.lastSignAtMs ?? 0)).toBeLessThan(STUCK_AFTER_MS);
    expect(computes?.heartbeatAtMs).toBe(computes?.lastSignAtMs);
    expect(nowMs - (silent?.heartbeatAtMs ?? 0)).toBeLessThan(STUCK_AFTER_MS);
    expect(reports?.progress).toEqual({ text: "p", fraction: 0.5, atMs: reports?.progressAtMs });
    const told = (await end(run)).filter(({ type }) => type === "task-stuck");
    expect(told).toMatchObject(
      [
        { index: 0, attempt: 1, clock: "heartbeat", ends: false },
        { index: 2, attempt: 1, clock: "progress", ends: false },
      ].toSorted((one, other) => (told[0]?.type === "task-stuck" && told[0].index === other.index ? 1 : one.index - other.index)),
    );
  });

  test("who stirs again is no longer stuck, and both are told once", async () => {
    const run = await bench.start([
      { command: shell("sleep 4; echo x; exec sleep 60"), stuckAfterMs: STUCK_AFTER_MS, silentAfterMs: 100_000 },
    ]);
    await until(async () => (await conditions(run))[0] === "stuck heartbeat", "it is stuck");
    await until(async () => (await conditions(run))[0] === "working", "it works again");
    const events = await end(run);
    expect(events.map(({ type }) => type)).toEqual([
      "run-started",
      "task-started",
      "task-stuck",
      "task-unstuck",
      "run-cancelling",
      "task-finished",
      "run-finished",
    ]);
  });

  test("a task that says so is ended when it is stuck, with a status and a sentence of its own, and is tried again", async () => {
    const run = await bench.start([{ command: shell("exec sleep 60"), stuckAfterMs: 1000, onStuck: "cancel", retries: 1 }]);
    const [result] = await bench.results(run);
    expect(result).toMatchObject({
      status: "stuck",
      attempt: 2,
      detail: expect.stringMatching(/^it gave no sign of life for [\d.]+ s, and its task says to end it then$/),
    });
    const events = await bench.events(run);
    expect(events.flatMap((event) => (event.type === "task-stuck" ? [[event.attempt, event.ends]] : []))).toEqual([
      [1, true],
      [2, true],
    ]);
  });

  test("who asks, is frozen, or is to be tried again waits, and says for what; no clock runs meanwhile", async () => {
    const run = await bench.start(
      [
        { command: shell("cohort-child request-directory /usr/share/doc; exec sleep 60"), stuckAfterMs: 1000 },
        { command: shell("exec sleep 60"), stuckAfterMs: STUCK_AFTER_MS },
        { command: shell("exit 1"), retries: 20 },
        { command: shell("exec sleep 60") },
      ],
      { jobs: 4 },
    );
    await until(async () => (await childrenOf(run))[1]?.state === "running", "it runs");
    const frozen = (await childrenOf(run))[1]?.child ?? "";
    await bench.system.freezeChild(frozen);
    await until(async () => (await conditions(run))[0] === "waiting approval", "it asks");
    await until(async () => (await conditions(run))[2] === "waiting retry", "it is to be tried again");
    const retried = (await childrenOf(run))[2]?.condition;
    expect(retried?.type === "waiting" && retried.untilMs !== null && retried.untilMs > retried.sinceMs).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 2 * STUCK_AFTER_MS));
    expect((await conditions(run)).slice(0, 2)).toEqual(["waiting approval", "waiting frozen"]);
    await bench.system.thawChild(frozen);
    expect((await conditions(run))[1]).toBe("working");
    await until(async () => (await conditions(run))[1] === "stuck heartbeat", "thawed, its clock runs");
    expect((await end(run)).flatMap((event) => (event.type === "task-stuck" ? [event.index] : []))).toEqual([1]);
  });

  test("neither a flood of reports nor one of questions that reads no answer holds up the end of its child, or its kill", async () => {
    const flood = (line: string, rounds: number): string[] => [
      "/usr/bin/python3",
      "-c",
      `import os\nfor i in range(${rounds}): os.write(3, b'${line}\\n' * 100)`,
    ];
    const report = '{"progress":"x","fraction":0.5}';
    const question = '{"id":1,"ask":"directory","path":"p"}';
    const ends = await bench.start([{ command: flood(report, 200) }, { command: flood(question, 20) }], { jobs: 2 });
    const startedAt = Date.now();
    expect((await bench.results(ends)).map(({ status }) => status)).toEqual(["succeeded", "succeeded"]);
    expect(Date.now() - startedAt).toBeLessThan(20_000);
    const goesOn = await bench.start([{ command: flood(report, 1e9) }, { command: flood(question, 1e9) }], { jobs: 2 });
    await until(async () => (await childrenOf(goesOn)).filter(({ state }) => state === "running").length === 2, "both flood");
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const killedAt = Date.now();
    await end(goesOn);
    expect(Date.now() - killedAt).toBeLessThan(3000);
  });

  test("another supervisor takes over who is stuck, frozen or asking, and tells nothing twice", async () => {
    const run = await bench.start(
      [
        { command: shell("exec sleep 60"), stuckAfterMs: 1000 },
        { command: shell("exec sleep 60"), stuckAfterMs: 1000 },
        { command: shell("cohort-child request-directory /usr/share/doc; exec sleep 60"), stuckAfterMs: 1000 },
      ],
      { jobs: 3 },
    );
    await until(
      async () => (await childrenOf(run)).every(({ state }) => state === "running") && (await childrenOf(run)).length === 3,
      "they run",
    );
    await bench.system.freezeChild((await childrenOf(run))[1]?.child ?? "");
    const expected = ["stuck heartbeat", "waiting frozen", "waiting approval"];
    await until(async () => (await conditions(run)).join() === expected.join(), "the conditions");
    await bench.stop();
    await bench.open();
    await until(async () => (await conditions(run)).join() === expected.join(), "the conditions after the restart");
    await new Promise((resolve) => setTimeout(resolve, 2000));
    expect(await conditions(run)).toEqual(expected);
    expect(
      (await end(run)).flatMap((event) => (event.type === "task-stuck" || event.type === "task-unstuck" ? [event.index] : [])),
    ).toEqual([0]);
  });
});
