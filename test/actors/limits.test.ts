/** Each limit that a task meets is told as such: real actors, real warden. */
import { chownSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TaskInput } from "../../machines/messages/task.ts";
import { PERSON_UID, WardenProcess, wardenUnavailable } from "../vm/warden-process.ts";
import { SystemBench } from "./system-bench.ts";

const TITLE = `limits${wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`}`;
const MIB = 1024 ** 2;

const staged = mkdtempSync(join(tmpdir(), "cohort-limits-"));
chownSync(staged, PERSON_UID, PERSON_UID);

const sh = (script: string): string[] => ["/bin/sh", "-c", script];

const cases: readonly {
  readonly title: string;
  readonly task: Omit<TaskInput, "title">;
  readonly expected: { readonly status: string; readonly limitsHit: readonly string[]; readonly detail: string };
}[] = [
  {
    title: "a full session disk",
    task: { command: sh("dd if=/dev/zero of=big bs=64k"), limits: { diskBytes: 4 * MIB } },
    expected: { status: "failed", limitsHit: ["disk"], detail: "its disk is full: 4 MiB" },
  },
  {
    title: "a disk without inodes",
    task: { command: sh("i=0; while : > f$i; do i=$((i+1)); done"), limits: { diskInodes: 64 } },
    expected: { status: "failed", limitsHit: ["inodes"], detail: "its disk can hold no further file: the limit is 64" },
  },
  {
    title: "a full /tmp, even in a task that succeeded",
    task: { command: sh("dd if=/dev/zero of=/tmp/big bs=64k; true"), limits: { tmpBytes: 2 * MIB } },
    expected: { status: "succeeded", limitsHit: ["tmp"], detail: "/tmp is full: 2 MiB" },
  },
  {
    title: "a full layer of a staged directory",
    task: {
      command: sh("dd if=/dev/zero of=mnt/work/big bs=64k; true"),
      mounts: [{ path: staged, as: "work", mode: "staged" }],
      limits: { stagedBytes: 2 * MIB },
    },
    expected: { status: "succeeded", limitsHit: ["staged"], detail: "a staged directory has no room left for what it changes: 2 MiB" },
  },
  {
    title: "want of memory",
    task: { command: sh("x=a; while :; do x=$x$x; done"), limits: { memoryBytes: 32 * MIB } },
    expected: { status: "out-of-memory", limitsHit: ["memory"], detail: "a process was killed for want of memory: the limit is 32 MiB" },
  },
  {
    title: "too many processes",
    task: { command: sh("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; exit 3"), limits: { pidsMax: 8 } },
    expected: { status: "failed", limitsHit: ["processes"], detail: "it was refused a further process: the limit is 8" },
  },
  {
    title: "too much output",
    task: { command: sh("yes"), limits: { outputBytes: MIB } },
    expected: { status: "output-limit", limitsHit: ["output"], detail: "it wrote more than 1 MiB" },
  },
  {
    title: "too long a time",
    task: { command: sh("sleep 60"), timeoutMs: 500 },
    expected: { status: "timed-out", limitsHit: ["wall"], detail: "it ran longer than 0.5 s" },
  },
  {
    title: "a quota of the processor",
    task: { command: sh("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"), limits: { cpuPermille: 100 } },
    expected: { status: "succeeded", limitsHit: ["cpu"], detail: "" },
  },
  { title: "no limit", task: { command: ["true"] }, expected: { status: "succeeded", limitsHit: [], detail: "" } },
];

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
    rmSync(staged, { recursive: true });
  });

  it.for(cases)("tells of $title", { timeout: 60_000 }, async ({ task, expected }) => {
    const [result] = await bench.results(await bench.start([task]));
    expect({ status: result?.status, limitsHit: result?.limitsHit, detail: result?.detail }).toEqual({
      ...expected,
      detail: expect.stringContaining(expected.detail) as string,
    });
  });
});
