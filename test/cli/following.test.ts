/** Following a run: whose output comes when, what the exit status is, what programs get. The run is a script, the pipes are real. */
import { createHash } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  closeSync,
  existsSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OutputItem } from "../../machines/messages/api.ts";
import type { RunCounts, TaskResult } from "../../machines/messages/result.ts";
import { CollectedFiles } from "../../app/cli/follow/collected-files.ts";
import { exitStatusOf } from "../../app/cli/follow/exit-status.ts";
import type { FollowedRun } from "../../app/cli/follow/followed-run.ts";
import { OutputRecords, RECORD_BYTES_MAX } from "../../app/cli/follow/json-output.ts";
import { lastLineOf } from "../../app/cli/follow/last-line.ts";
import { Outlet } from "../../app/cli/follow/outlet.ts";
import { OutputOrder, outputOf } from "../../app/cli/follow/output-order.ts";
import { Sink } from "../../app/cli/follow/sink.ts";
import { joblogLine } from "../../app/cli/map/joblog.ts";
import { chooseChild, chooseRun, splitTarget } from "../../app/cli/session.ts";

const stream = (text: string, truncated = false): TaskResult["stdout"] => ({
  bytes: Buffer.byteLength(text) + (truncated ? 1 : 0),
  preview: text,
  truncated,
});

function resultOf(index: number, fields: Partial<TaskResult> = {}): TaskResult {
  return {
    index,
    title: `item ${index}`,
    child: "calm-blue-curie",
    attempt: 1,
    status: "succeeded",
    exitCode: 0,
    signal: null,
    detail: "",
    startedAtMs: 1_700_000_000_123,
    wallMs: 1500,
    cpuMs: 1,
    maxRssBytes: 1,
    stdout: stream(""),
    stderr: stream(""),
    out: [],
    handle: "k3f9aaaa/0/1",
    outSkipped: [],
    outDirectory: null,
    limitsHit: [],
    denied: [],
    deniedTimes: 0,
    ...fields,
  };
}

let base = "";
beforeAll(() => {
  base = realpathSync(mkdtempSync(join(tmpdir(), "cohort-follow-")));
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

describe("the order of outputs", () => {
  const indexes = (outputs: readonly { readonly index: number }[]): readonly number[] => outputs.map((output) => output.index);

  it("is that of the ends, or with --keep-order that of the tasks, however they end", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 0, max: 30 }), { maxLength: 31 }), fc.integer({ min: 0, max: 40 }), (ends, budget) => {
        const asTheyEnd = new OutputOrder(false, budget);
        expect(ends.flatMap((index) => indexes(asTheyEnd.finished(outputOf(resultOf(index)))))).toEqual(ends);
        const kept = new OutputOrder(true, budget);
        const printed = ends.flatMap((index) => indexes(kept.finished(outputOf(resultOf(index, { stdout: stream("12345") })))));
        expect([...printed, ...indexes(kept.rest())]).toEqual(ends.toSorted((left, right) => left - right));
      }),
      { numRuns: 300 },
    );
  });

  it("holds back no more text than its budget: the rest is read again when its turn comes", () => {
    const order = new OutputOrder(true, 7);
    expect(order.finished(outputOf(resultOf(1, { stdout: stream("12345") })))).toEqual([]);
    expect(order.finished(outputOf(resultOf(2, { stdout: stream("12345") })))).toEqual([]);
    expect(order.finished(outputOf(resultOf(0, { stdout: stream("") }))).map((output) => output.stdout)).toEqual(["", "12345", null]);
  });

  it("trusts a preview only where it is the whole stream to the last byte", () => {
    const known = (out: TaskResult["stdout"]): string | null => outputOf(resultOf(0, { stdout: out })).stdout;
    expect([
      known(stream("é\n")),
      known(stream("cut", true)),
      known(stream("bad \ufffd")),
      known({ bytes: 9, preview: "x", truncated: false }),
    ]).toEqual(["é\n", null, null, null]);
  });
});

describe("the outlet", () => {
  const logs: Readonly<Record<number, readonly OutputItem[]>> = {
    5: [
      { stream: "stdout", offset: 0, bytes: Buffer.from([0xff, 0x0a]) },
      { stream: "stderr", offset: 0, bytes: Buffer.from("why") },
      { stream: "stdout", offset: 2, bytes: Buffer.from("end") },
    ],
  };
  const run: FollowedRun = {
    id: "k3f9aaaa",
    async *events() {},
    async *logs(index) {
      const items = logs[index];
      if (items === undefined) throw new Error("the content was deleted \x1b[2J");
      yield* items;
    },
    cancel: () => Promise.resolve(),
  };

  async function written(
    work: (outlet: Outlet) => void,
    options: { readonly tag?: boolean; readonly terminal?: boolean } = {},
  ): Promise<readonly [Buffer, string, string]> {
    const [outFile, errFile] = [join(base, "out"), join(base, "err")];
    const [out, err] = [openSync(outFile, "w"), openSync(errFile, "w")];
    const steps: string[] = [];
    const outlet = new Outlet(run, {
      stdout: new Sink(out, () => {}),
      stderr: new Sink(err, () => {}),
      stdoutIsTerminal: options.terminal === true,
      stderrIsTerminal: options.terminal === true,
      tagOf: options.tag === true ? (index) => `t${index}` : null,
      before: () => steps.push("("),
      after: () => steps.push(")"),
    });
    work(outlet);
    await outlet.drained();
    closeSync(out);
    closeSync(err);
    return [readFileSync(outFile), readFileSync(errFile, "latin1"), steps.join("")];
  }

  it("writes raw bytes to pipes, each task whole, notes between them", async () => {
    const [out, err, steps] = await written((outlet) => {
      outlet.note("first\n");
      outlet.output(outputOf(resultOf(0, { stdout: stream("a\n"), stderr: stream("e\n") })));
      outlet.output(outputOf(resultOf(1)));
      outlet.output(outputOf(resultOf(5, { stdout: stream("x", true) })));
      outlet.note("last\n");
    });
    expect([out, err, steps]).toEqual([
      Buffer.concat([Buffer.from("a\n"), Buffer.from([0xff, 0x0a]), Buffer.from("end")]),
      "first\ne\nwhylast\n",
      "()()()()",
    ]);
  });

  it("tags and ends lines, and tells what cannot be read", async () => {
    const [out, err] = await written(
      (outlet) => {
        outlet.output(outputOf(resultOf(5, { stdout: stream("x", true) })));
        outlet.output(outputOf(resultOf(6, { stdout: stream("x", true) })));
      },
      { tag: true },
    );
    expect(out.toString("latin1")).toBe("t5\t\xff\nt5\tend\n");
    expect(err).toBe(
      `t5\twhy\ncohort: the output of task 6 cannot be read: the content was deleted ${Buffer.from("␛").toString("latin1")}[2J\n`,
    );
  });

  it("neutralises for a terminal", async () => {
    const [out] = await written((outlet) => outlet.output(outputOf(resultOf(0, { stdout: stream("\x1b]0;x\x07\x1b[31mred") }))), {
      terminal: true,
    });
    expect(out.toString()).toBe("␛]0;x␇red\n");
  });

  it("tells once that nobody reads, and drops the rest without failing", async () => {
    const full = openSync("/dev/full", "w");
    const codes: (string | undefined)[] = [];
    const sink = new Sink(full, (error) => codes.push(error.code));
    await sink.write("a");
    await sink.write("b");
    closeSync(full);
    expect([codes, sink.broken]).toEqual([["ENOSPC"], true]);
  });
});

describe("the exit status", () => {
  const counts = (fields: Partial<RunCounts>): RunCounts => ({
    total: 0,
    waiting: 0,
    running: 0,
    succeeded: 0,
    failed: 0,
    cancelled: 0,
    ...fields,
  });
  const failed = resultOf(0, { status: "failed", exitCode: 7 });
  it.each<[string, number, Parameters<typeof exitStatusOf>[0]]>([
    ["all succeeded", 0, { end: "completed", counts: counts({ total: 3, succeeded: 3 }), firstFailure: undefined, haltsAtFirst: false }],
    [
      "three failed",
      3,
      { end: "completed", counts: counts({ total: 5, succeeded: 2, failed: 3 }), firstFailure: failed, haltsAtFirst: false },
    ],
    ["a hundred failed", 100, { end: "completed", counts: counts({ total: 100, failed: 100 }), firstFailure: failed, haltsAtFirst: false }],
    [
      "more than a hundred failed",
      101,
      { end: "completed", counts: counts({ total: 500, failed: 500 }), firstFailure: failed, haltsAtFirst: false },
    ],
    [
      "halted by the first",
      7,
      { end: "halted", counts: counts({ total: 5, failed: 1, waiting: 4 }), firstFailure: failed, haltsAtFirst: true },
    ],
    [
      "halted by the first, by a signal",
      137,
      {
        end: "halted",
        counts: counts({ total: 5, failed: 1 }),
        firstFailure: resultOf(0, { status: "signaled", exitCode: null, signal: 9 }),
        haltsAtFirst: true,
      },
    ],
    [
      "halted by the first, which could not run",
      1,
      {
        end: "halted",
        counts: counts({ total: 5, failed: 1 }),
        firstFailure: resultOf(0, { status: "refused", exitCode: null }),
        haltsAtFirst: true,
      },
    ],
    ["halted by the second", 2, { end: "halted", counts: counts({ total: 5, failed: 2 }), firstFailure: failed, haltsAtFirst: false }],
    [
      "cancelled by somebody",
      255,
      { end: "cancelled", counts: counts({ total: 5, succeeded: 5 }), firstFailure: undefined, haltsAtFirst: false },
    ],
    [
      "out of time",
      255,
      { end: "deadline", counts: counts({ total: 5, succeeded: 4, cancelled: 1 }), firstFailure: undefined, haltsAtFirst: false },
    ],
  ])("of %s is %i", (_, status, ending) => {
    expect(exitStatusOf(ending)).toBe(status);
  });
});

describe("for programs", () => {
  it("the joblog has parallel's columns", () => {
    expect(joblogLine(resultOf(0, { status: "failed", exitCode: 1, stdout: stream("123456") }), ["echo", "a b"])).toBe(
      "1\t:\t1700000000.123\t     1.500\t0\t6\t1\t0\techo 'a b'\n",
    );
    expect(joblogLine(resultOf(1, { status: "timed-out", exitCode: null, signal: 15 }), ["/bin/sh", "-c", "a\tb\n"])).toBe(
      "2\t:\t1700000000.123\t     1.500\t0\t0\t-1\t15\ta b \n",
    );
  });

  it("output becomes records of one line each that give back every byte, however it was cut", () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 20 }),
      fc.string({ maxLength: 20 }).map((text) => Buffer.from(text)),
      fc.constant(Buffer.from("\n")),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const records = new OutputRecords(3, 2, "stderr");
        const all = [...pieces.flatMap((bytes) => records.push(bytes)), ...records.end()];
        let offset = 0;
        for (const record of all) {
          expect(record).toMatchObject({ type: "output", index: 3, attempt: 2, stream: "stderr", offset });
          offset += (record.text === undefined ? Buffer.from(record.base64 ?? "", "base64") : Buffer.from(record.text)).length;
        }
        const back = all.map((record) =>
          record.text === undefined ? Buffer.from(record.base64 ?? "", "base64") : Buffer.from(record.text),
        );
        expect(Buffer.concat(back)).toEqual(Buffer.concat(pieces));
      }),
      { numRuns: 500 },
    );
  });

  it("a line longer than a record is cut between characters", () => {
    const records = new OutputRecords(0, 1, "stdout");
    const text = "é日".repeat(RECORD_BYTES_MAX);
    const all = [...records.push(Buffer.from(text)), ...records.end()];
    expect(all.every((record) => record.text !== undefined && Buffer.byteLength(record.text) <= RECORD_BYTES_MAX)).toBe(true);
    expect(all.map((record) => record.text).join("")).toBe(text);
  });

  it("the last line of stderr is the last that says something", () => {
    expect(lastLineOf("a\nError: x\n\n  \n")).toBe("Error: x");
    expect(lastLineOf("y".repeat(5000)).length).toBe(400);
  });
});

describe("collected files", () => {
  const hash = (text: string): string => createHash("sha256").update(text).digest("hex");
  const left = (index: number, files: Readonly<Record<string, string>>): TaskResult => {
    const directory = join(base, `kept-${index}`);
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(directory, path, ".."), { recursive: true });
      writeFileSync(join(directory, path), text);
    }
    return resultOf(index, {
      outDirectory: directory,
      out: Object.entries(files).map(([path, text]) => ({ path, bytes: text.length, sha256: hash(text) })),
    });
  };

  it("are copied whole; a file of an earlier run is replaced, one of another task is not", async () => {
    const target = join(base, "copied");
    mkdirSync(target);
    const files = await CollectedFiles.into(target, []);
    writeFileSync(join(target, "a"), "old");
    expect(await files.copy(left(0, { a: "new", "d/b": "b" }))).toEqual([]);
    expect(await files.copy(left(1, { a: "other", c: "c" }))).toEqual([
      "task 1: a: task 0 of this run wrote this file, too; use --out 'DIR/{#}'",
    ]);
    expect([
      readFileSync(join(target, "a"), "utf8"),
      readFileSync(join(target, "d/b"), "utf8"),
      readFileSync(join(target, "c"), "utf8"),
    ]).toEqual(["new", "b", "c"]);
    expect(readdirSync(target).toSorted()).toEqual(["a", "c", "d"]);
    await files.close();
  });

  it("never leave the directory, follow no link, and are what was hashed", async () => {
    const target = join(base, "guarded");
    mkdirSync(target);
    symlinkSync(base, join(target, "link"));
    writeFileSync(join(base, "victim"), "safe");
    const honest = left(2, { "link/victim": "x", good: "g", changed: "before" });
    writeFileSync(join(base, "kept-2", "changed"), "after!");
    symlinkSync("/etc/hostname", join(base, "kept-2", "pointer"));
    const hostile = {
      ...honest,
      out: [
        ...honest.out,
        ...["../victim", "/etc/x", "a/../../victim", "", "pointer"].map((path) => ({ path, bytes: 1, sha256: hash("x") })),
      ],
    };
    const files = await CollectedFiles.into(target, []);
    const problems = await files.copy(hostile);
    await files.close();
    expect(problems.map((problem) => problem.split(":")[1]?.trim())).toEqual([
      "link/victim",
      "changed",
      "../victim",
      "/etc/x",
      "a/../../victim",
      "",
      "pointer",
    ]);
    expect(readFileSync(join(base, "victim"), "utf8")).toBe("safe");
    expect(readdirSync(target).toSorted()).toEqual(["good", "link"]);
    expect(existsSync("/etc/x")).toBe(false);
  });

  it("land in the directory that was meant, whatever a task puts in its place", async () => {
    const mount = join(base, "mount");
    const outside = join(base, "outside");
    for (const directory of [join(mount, "later/deep"), outside]) mkdirSync(directory, { recursive: true });
    symlinkSync(outside, join(mount, "planted"));
    symlinkSync(join(mount, "later"), join(base, "way"));
    const planted = await CollectedFiles.into(join(mount, "planted"), [mount]);
    const numbered = await CollectedFiles.into(join(mount, "n{#}"), [mount]);
    const exchanged = await CollectedFiles.into(join(base, "way/deep"), [mount]);
    const unmounted = await CollectedFiles.into(join(mount, "later/deep"), []);
    symlinkSync(outside, join(mount, "n1"));
    rmSync(join(mount, "later"), { recursive: true });
    symlinkSync(outside, join(mount, "later"));
    expect(await planted.copy(left(0, { file: "x" }))).toEqual(["task 0: file: planted is not a directory"]);
    expect(await numbered.copy(left(0, { file: "x" }))).toEqual(["task 0: file: n1 is not a directory"]);
    expect(await numbered.copy(left(1, { file: "x" }))).toEqual([]);
    expect(await exchanged.copy(left(0, { file: "x" }))).toHaveLength(1);
    expect(await unmounted.copy(left(0, { file: "x" }))).toHaveLength(1);
    expect(readdirSync(outside)).toEqual([]);
    expect(readFileSync(join(mount, "n2/file"), "utf8")).toBe("x");
    for (const files of [planted, numbered, exchanged, unmounted]) await files.close();
  });
});

describe("names that people write", () => {
  const run = (id: string, createdAtMs: number) => ({
    run: id,
    title: "",
    status: "completed" as const,
    createdAtMs,
    finishedAtMs: 1,
    jobs: 1,
    counts: { total: 0, waiting: 0, running: 0, succeeded: 0, cancelled: 0, failed: 0 },
    key: null,
  });
  const runs = [run("k3f9", 5), run("k3aa", 9), run("m1m1", 7)];

  it("mean the newest run, or exactly one", () => {
    expect(["@", "last", "m", "k3f9", "k3a"].map((written) => chooseRun(written, runs).run)).toEqual([
      "k3aa",
      "k3aa",
      "m1m1",
      "k3f9",
      "k3aa",
    ]);
    expect(() => chooseRun("k3", runs)).toThrow(/k3 may be k3f9, k3aa/);
    expect(() => chooseRun("", runs)).toThrow(/no such run/);
    expect(() => chooseRun("@", [])).toThrow(/there was no run yet/);
  });

  it("mean a child, or a task of a run", () => {
    const child = (name: string) => ({
      child: name,
      run: "k3f9",
      index: 0,
      attempt: 1,
      title: "",
      state: "running" as const,
      startedAtMs: 0,
      condition: { type: "working" as const },
      lastSignAtMs: 0,
      progressAtMs: null,
      heartbeatAtMs: null,
      progress: null,
      deniedTimes: 0,
    });
    expect(chooseChild("calm", [child("calm-blue-curie"), child("keen-red-bohr")]).child).toBe("calm-blue-curie");
    expect(() => chooseChild("calm", [child("calm-a-b"), child("calm-c-d")])).toThrow(/may be/);
    expect([splitTarget("k3f9"), splitTarget("@/12")]).toEqual([
      { run: "k3f9", index: null },
      { run: "@", index: 12 },
    ]);
    expect(() => splitTarget("k3f9/x")).toThrow(/index of a task/);
  });
});
