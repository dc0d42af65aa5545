import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { TaskResult } from "../../sdk/index.ts";
import { processesNamed, remainsAtRest, sandboxCgroups, wardenInstance } from "../chaos/remains.ts";
import { eventually, OwnHome, ownHomeUnavailable } from "../daemon/own-home.ts";

const TASKS = 200;
const KILLS = 10;
/** `seq` with nine digits: ten bytes a line, 1 MiB in all. */
const STREAM_LINES = 104_858;
const leaseVariables = ["COHORT_LEASE_FREEZE_MS", "COHORT_LEASE_KILL_MS"];

let home: OwnHome;

beforeEach(({ skip }) => {
  skip(ownHomeUnavailable !== null, ownHomeUnavailable ?? "");
  home = OwnHome.make();
});

afterEach(async () => {
  for (const name of leaseVariables) delete process.env[name];
  if (ownHomeUnavailable === null) await home.end();
});

function expectedStream(index: number): Buffer {
  const lines: string[] = [];
  for (let line = 1; line <= STREAM_LINES; line += 1) lines.push(String(line + index * 1_000_000).padStart(9, "0"));
  return Buffer.from(`${lines.join("\n")}\n`);
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

test("kill -9 of cohortd, ten times in a run of 200 tasks: each ran once, has one result, and a stream without gap or repeat", async () => {
  const shared = home.personDirectory();
  const client = await home.connect();
  const instance = wardenInstance(home.paths.wardenSocket);
  const { cgroups: atRest } = await remainsAtRest(home.paths.wardenSocket);
  const run = await client.run({
    title: "survives its supervisor",
    jobs: 8,
    tasks: Array.from({ length: TASKS }, (_, index) => ({
      title: `task ${index}`,
      command: [
        "/bin/sh",
        "-c",
        `echo ${index} >> mnt/shared/ran; seq -f %09.0f ${index * 1_000_000 + 1} ${index * 1_000_000 + STREAM_LINES}; sleep ${(0.05 + (index % 10) * 0.05).toFixed(2)}`,
      ],
      mounts: [{ path: shared, as: "shared", mode: "rw" as const }],
    })),
  });

  const killed = new Set<number>();
  const killer = (async (): Promise<void> => {
    while (killed.size < KILLS) {
      await new Promise((resolve) => setTimeout(resolve, 300 + Math.random() * 700));
      for (const pid of home.daemons()) {
        process.kill(pid, "SIGKILL");
        killed.add(pid);
      }
    }
  })();
  const results: TaskResult[] = [];
  for await (const result of run.results()) results.push(result);
  await killer;

  expect(killed.size).toBeGreaterThanOrEqual(KILLS);
  expect(results.map(({ index }) => index).sort((a, b) => a - b)).toEqual(Array.from({ length: TASKS }, (_, index) => index));
  expect(results.filter(({ status, attempt }) => status !== "succeeded" || attempt !== 1)).toEqual([]);
  const ran = readFileSync(join(shared, "ran"), "utf8").trim().split("\n").map(Number);
  expect(ran.sort((a, b) => a - b)).toEqual(Array.from({ length: TASKS }, (_, index) => index));
  for (let index = 0; index < TASKS; index += 1) {
    const chunks: Uint8Array[] = [];
    let next = 0;
    for await (const { stream, offset, bytes } of run.logs(index)) {
      expect(stream).toBe("stdout");
      expect(offset).toBe(next);
      next += bytes.length;
      chunks.push(bytes);
    }
    expect(sha256(Buffer.concat(chunks)), `stream of task ${index}`).toBe(sha256(expectedStream(index)));
  }
  expect(await run.summary()).toMatchObject({ status: "completed", counts: { total: TASKS, succeeded: TASKS, failed: 0, running: 0 } });
  await eventually(() => sandboxCgroups(instance).length <= atRest, "no cgroup of a child is left");
});

test("when nobody comes back, the lease ends it: no process, cgroup or directory of a child is left", async () => {
  process.env["COHORT_LEASE_FREEZE_MS"] = "500";
  process.env["COHORT_LEASE_KILL_MS"] = "1500";
  const marker = `3600.${process.pid}`;
  const client = await home.connect();
  const instance = wardenInstance(home.paths.wardenSocket);
  const { cgroups: atRest } = await remainsAtRest(home.paths.wardenSocket);
  const run = await client.run({
    title: "nobody comes back",
    jobs: 20,
    tasks: Array.from({ length: 20 }, (_, index) => ({ title: `sleeper ${index}`, command: ["sleep", marker] })),
  });
  await eventually(() => processesNamed(marker).length === 20, "all sleep", 20_000);
  const daemons = home.daemons();
  client.close();
  for (const pid of daemons) process.kill(pid, "SIGKILL");
  await eventually(() => processesNamed(marker).length === 0, "no process of a child is left", 15_000);
  await eventually(() => sandboxCgroups(instance).length <= atRest, "no cgroup of a child is left", 15_000);
  expect(home.daemons()).toEqual([]);

  const next = await home.connect();
  const results: TaskResult[] = [];
  for await (const result of next.attach(run.id).results()) results.push(result);
  expect(results.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => "lost"));
});
