/** The witness: what a sandbox refuses is told, and neither telling nor hiding it ever permits anything. */
import { execFileSync } from "node:child_process";
import { chmodSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Denial, SandboxPlan } from "../../vm/backend.ts";
import { SandboxBench, type Outcome } from "../vm/sandbox-bench.ts";
import { wardenUnavailable } from "../vm/warden-process.ts";

const TITLE = `what a sandbox refuses${wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`}`;
const FLUSH_MS_MAX = 2000;

describe.skipIf(wardenUnavailable !== null)(TITLE, () => {
  let bench: SandboxBench;
  let tools: string;

  beforeAll(async () => {
    bench = await SandboxBench.start();
    tools = bench.warden.personDirectory("tools");
    const binary = join(tools, "denial");
    execFileSync("cc", ["-static", "-O1", "-Wall", "-Werror", "-o", binary, join(import.meta.dirname, "programs/denial.c")]);
    chmodSync(binary, 0o755);
  }, 60_000);
  afterAll(async () => {
    await bench.stop();
  });

  const sandbox = (network: SandboxPlan["network"] = "none"): Promise<string> =>
    bench.sandbox({ network, mounts: [{ source: tools, target: "tools", mode: "ro" }] });
  const program = (name: string): string => `/sessions/${name}/mnt/tools/denial`;
  const inside = (name: string, ...steps: string[]): Promise<Outcome> => bench.run(name, [program(name), ...steps]);
  const told = (name: string): readonly Denial[] => bench.events.denials.filter((denial) => denial.name === name);
  const times = (name: string): number => told(name).reduce((sum, { repeated }) => sum + repeated, 0);

  test("is told with program, call and numbers, before the exit of whoever was refused", async () => {
    const name = await sandbox();
    await inside(name, "socket", "10", "unshare", "setid");
    expect(told(name)).toEqual([
      { name, ordinal: 1, pid: 2, program: "denial", call: "socket", detail: "AF_INET6, SOCK_STREAM", repeated: 1 },
      { name, ordinal: 2, pid: 2, program: "denial", call: "unshare", detail: "CLONE_NEWUSER|CLONE_NEWNS", repeated: 1 },
      { name, ordinal: 3, pid: 2, program: "denial", call: "fchmodat", detail: "mode 004755", repeated: 1 },
    ]);
  });

  test("is told of the sockets that a sandbox with a network is refused, too", async () => {
    const name = await sandbox({ type: "proxied", endpoint: join(tools, "endpoint") });
    const { stdout } = await inside(name, "socket", "2", "socket", "1", "socket", "16");
    expect(stdout).toBe("socket done\nsocket EPERM\nsocket EPERM\n");
    expect(told(name).map(({ detail }) => detail)).toEqual(["AF_UNIX, SOCK_STREAM", "AF_NETLINK, SOCK_STREAM"]);
  });

  test("costs who is refused nothing no word: the truth check asks, and is not told of", async () => {
    const name = await sandbox();
    const { stdout } = await inside(name, "quietly");
    await bench.vm.probe(name);
    expect([stdout, told(name)]).toEqual(["quietly EPERM\n", []]);
  });

  test("is counted to the last one before the exit when there is too much of it, and told in few words", async () => {
    const name = await sandbox();
    const { stdout } = await inside(name, "many", "2000");
    expect(stdout).toContain("many 2000 other 0 ");
    expect(times(name)).toBe(2000);
    expect(told(name).length).toBeLessThan(100);
  });

  test("is told in a bounded number of kinds", async () => {
    const name = await sandbox();
    await inside(name, "kinds", "500");
    expect(times(name)).toBe(500);
    expect(told(name).length).toBeLessThan(100);
    expect(told(name).at(-1)).toMatchObject({ program: "", call: "other calls" });
  });

  test("shows a program's name without what a terminal would obey", async () => {
    const name = await sandbox();
    await inside(name, "name", "socket", "2");
    expect(told(name).map((denial) => denial.program)).toEqual(["a?b?[31m?"]);
  });

  test("stays refused under a filter of the child's own, which can only hide it", async () => {
    const name = await sandbox();
    const outcomes = [];
    for (const filter of ["allow", "trace", "pretend"]) outcomes.push((await inside(name, filter, "socket", "2", "unshare")).stdout);
    expect(outcomes).toEqual([
      "filter done\nsocket EPERM\nunshare EPERM\n",
      "filter done\nsocket EPERM\nunshare EPERM\n",
      // Its own filter lied to it about a socket; there is none.
      "filter done\nsocket done\nunshare EPERM\n",
    ]);
    expect(told(name).map(({ call }) => call)).toEqual(["socket", "unshare", "socket", "unshare", "unshare"]);
  });

  test("cannot be answered by the child itself: a listener of its own could let the calls happen", async () => {
    const name = await sandbox();
    expect((await inside(name, "listener", "high", "socket", "2")).stdout).toBe("listener EPERM\nhigh EPERM\nsocket EPERM\n");
  });

  test("delays who is refused without end, and nobody else", async () => {
    const hostile = await sandbox();
    const execs = await Promise.all(Array.from({ length: 8 }, () => bench.start(hostile, [program(hostile), "hammer"])));
    await bench.start(hostile, [program(hostile), "killed", "100000"]);
    const name = await sandbox();
    const answers: number[] = [];
    for (let round = 0; round < 20; round += 1) {
      const { stdout } = await inside(name, "many", "10");
      answers.push(Number(/us (?<each>[\d.]+)/u.exec(stdout)?.groups?.["each"]));
    }
    const median = answers.toSorted((one, other) => one - other)[10] ?? Infinity;
    expect(median).toBeLessThan(5000);
    expect(told(hostile).length).toBeLessThan(2000);
    const beganAtMs = Date.now();
    await bench.destroy(hostile);
    expect(Date.now() - beganAtMs).toBeLessThan(3000);
    expect(execs.length).toBe(8);
  }, 60_000);

  test("does not keep a sandbox from being frozen and thawed", async () => {
    const name = await sandbox();
    await bench.start(name, [program(name), "hammer"]);
    await bench.vm.freeze(name);
    const before = times(name);
    await new Promise((resolve) => setTimeout(resolve, 300));
    // What was counted before may be told later.
    expect(times(name) - before).toBeLessThan(400);
    await bench.vm.thaw(name);
    await bench.events.until("more refusals", () => times(name) > before + 1000);
    await bench.destroy(name);
  });

  test("is counted while no supervisor is there, and told to the next one", async () => {
    const name = await sandbox();
    const execId = await bench.start(name, ["/bin/sh", "-c", `sleep 0.3; exec ${program(name)} many 50`]);
    bench.disconnect();
    await new Promise((resolve) => setTimeout(resolve, 800));
    await bench.connect();
    await bench.vm.list();
    await bench.outcome(name, execId);
    await bench.events.until("all refusals", () => times(name) === 50, FLUSH_MS_MAX);
  });

  test("comes from a process that has no right and sees no file; its end is the end of the warden", async () => {
    const children = readFileSync(`/proc/${bench.warden.pid}/task/${bench.warden.pid}/children`, "utf8").trim().split(" ");
    const pid = children.find((child) => readFileSync(`/proc/${child}/comm`, "utf8") === "cohort-witness\n");
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    expect(status).toMatch(/^CapEff:\t0+$/mu);
    expect(status).toMatch(/^CapBnd:\t0+$/mu);
    expect(status).toMatch(/^NoNewPrivs:\t1$/mu);
    expect(status).toMatch(/^Seccomp:\t2$/mu);
    expect(status).not.toMatch(/^Uid:\t0/mu);
    expect(execFileSync("ls", [`/proc/${pid}/root/`], { encoding: "utf8" })).toBe("");
    process.kill(Number(pid), "SIGKILL");
    await bench.events.until("the end of the connection", () => bench.events.closedBy !== null);
    await bench.events.until("the reason", () => bench.warden.stderr.includes("the witness ended"), FLUSH_MS_MAX).catch(() => {});
    expect(bench.warden.stderr).toContain("the witness ended");
  });
});
