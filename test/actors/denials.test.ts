/** What a sandbox refuses, from the system call to the run's log and the result: real actors, real warden. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WardenProcess, wardenUnavailable } from "../vm/warden-process.ts";
import { SystemBench } from "./system-bench.ts";

const TITLE = `refusals in a run's log${wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`}`;

function python(script: string): string[] {
  return ["/usr/bin/python3", "-c", script];
}

const REFUSED = `
import socket, sys
def refused(family):
    try:
        socket.socket(family)
        sys.exit("made a socket")
    except PermissionError:
        pass
`;

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

  it("counts what a task was refused by program, call and detail, and none for a task that was refused nothing", async () => {
    const run = await bench.start([
      { command: python(`${REFUSED}\nfor _ in range(3): refused(socket.AF_INET)\nrefused(socket.AF_UNIX)`) },
      { command: ["true"] },
    ]);
    const results = await bench.results(run);
    expect(results.map(({ status, deniedTimes, denied }) => ({ status, deniedTimes, denied }))).toEqual([
      {
        status: "succeeded",
        deniedTimes: 4,
        denied: [
          { program: "python3", call: "socket", detail: "AF_INET, SOCK_STREAM", times: 3 },
          { program: "python3", call: "socket", detail: "AF_UNIX, SOCK_STREAM", times: 1 },
        ],
      },
      { status: "succeeded", deniedTimes: 0, denied: [] },
    ]);
    const events = await bench.events(run);
    const denied = events.filter((event) => event.type === "denied");
    expect(denied.reduce((sum, { repeated }) => sum + repeated, 0)).toBe(4);
    expect(denied[0]).toMatchObject({ index: 0, attempt: 1, program: "python3", call: "socket", detail: "AF_INET, SOCK_STREAM" });
    const last = events.findLastIndex((event) => event.type === "denied");
    const end = events.findIndex((event) => event.type === "task-finished" && event.index === 0);
    expect(last).toBeLessThan(end);
  }, 60_000);

  it("writes a bounded number of rows for a task that is refused all the time, and counts every refusal", async () => {
    const run = await bench.start([{ command: python(`${REFUSED}\nfor _ in range(3000): refused(socket.AF_INET)`) }]);
    const [result] = await bench.results(run);
    expect(result).toMatchObject({ status: "succeeded", deniedTimes: 3000 });
    const rows = (await bench.events(run)).filter(({ type }) => type === "denied");
    expect(rows.length).toBeLessThan(30);
  }, 60_000);
});
