/** The options of `cohort map`: what they become, and what is refused with which words. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runSpecSchema } from "../../machines/messages/task.ts";
import { isCohortError } from "../../runtime/kernel/error.ts";
import { chooseEnvironment } from "../../app/cli/map/environment.ts";
import { JOBS_MAX, parseHalt, parseJobs } from "../../app/cli/map/halt.ts";
import { chooseMounts } from "../../app/cli/map/mounts.ts";
import { planMap, type MapOptions } from "../../app/cli/map/plan.ts";
import { formatDuration, formatSize, parseCores, parseDuration, parseSize } from "../../app/cli/text/measure.ts";

let base = "";
beforeAll(() => {
  base = realpathSync(mkdtempSync(join(tmpdir(), "cohort-map-")));
  for (const name of ["work", "data", "other/data"]) mkdirSync(join(base, name), { recursive: true });
  symlinkSync(join(base, "data"), join(base, "link"));
  writeFileSync(join(base, "file:x"), "");
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

const refusal = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (isCohortError(error, "USAGE")) return error.message;
    throw error;
  }
  return "accepted";
};

describe("--halt and --jobs", () => {
  it.each<[string, number, object]>([
    ["never", 10, { when: "never", failures: 1 }],
    ["0", 10, { when: "never", failures: 1 }],
    ["1", 10, { when: "soon", failures: 1 }],
    ["2", 10, { when: "now", failures: 1 }],
    ["soon", 10, { when: "soon", failures: 1 }],
    ["now,fail=1", 10, { when: "now", failures: 1 }],
    ["soon,fail=3", 10, { when: "soon", failures: 3 }],
    ["now,fail=15%", 10, { when: "now", failures: 2 }],
  ])("--halt %s of %i tasks", (text, total, expected) => {
    expect(parseHalt(text, total)).toEqual(expected);
  });

  it.each(["", "never,fail=1", "now,success=1", "soon,done=3", "now,fail=0", "now,fail=-1", "later", "3"])("refuses --halt %j", (text) => {
    expect(refusal(() => parseHalt(text, 10))).toMatch(/--halt/);
  });

  it.each<[string, number]>([
    ["3", 3],
    ["0", JOBS_MAX],
    ["100%", 8],
    ["50%", 4],
    ["1%", 1],
    ["+2", 10],
    ["-2", 6],
    ["-20", 1],
    ["999999", JOBS_MAX],
  ])("--jobs %s on 8 cores is %i", (text, expected) => {
    expect(parseJobs(text, 8)).toBe(expected);
  });

  it.each(["", "x", "1.5", "+5%", "1e3", "--3"])("refuses --jobs %j", (text) => {
    expect(refusal(() => parseJobs(text, 8))).toMatch(/--jobs/);
  });
});

describe("measures", () => {
  it.each<[string, number | null]>([
    ["4096", 4096],
    ["1k", 1024],
    ["512MiB", 512 * 1024 ** 2],
    ["512 MiB", 512 * 1024 ** 2],
    ["1.5G", 1.5 * 1024 ** 3],
    ["100MB", 1e8],
    ["7b", 7],
    ["2t", 2 * 1024 ** 4],
    ["", null],
    ["1.5", null],
    ["-1", null],
    ["lots", null],
    ["1 MiBs", null],
    ["5iB", null],
    ["0x10", null],
    ["1e3", null],
  ])("size %j", (text, expected) => {
    expect(parseSize(text)).toBe(expected);
  });

  it.each<[string, number | null]>([
    ["30", 30_000],
    ["30s", 30_000],
    ["0.5", 500],
    ["500ms", 500],
    ["2m", 120_000],
    ["2min", 120_000],
    ["1h30m", 5_400_000],
    ["1d", 86_400_000],
    ["1h 5s", 3_605_000],
    ["", null],
    ["s", null],
    ["5 parsecs", null],
    ["-3s", null],
    ["3s2m", null],
  ])("duration %j", (text, expected) => {
    expect(parseDuration(text)).toBe(expected);
  });

  it.each<[string, number | null]>([
    ["2", 2000],
    ["0.5", 500],
    ["2 cores", 2000],
    ["1core", 1000],
    ["", null],
    ["half", null],
  ])("cores %j", (text, expected) => {
    expect(parseCores(text)).toBe(expected);
  });

  it("says them so that they can be read", () => {
    expect([0, 45, 99.6, 940, 12_345, 59_960, 125_000, 3_720_000, 273_600_000].map(formatDuration)).toEqual([
      "0ms",
      "45ms",
      "0.1s",
      "0.9s",
      "12.3s",
      "1m00s",
      "2m05s",
      "1h02m",
      "3d04h",
    ]);
    expect([0, 1023, 1536, 512 * 1024 ** 2].map(formatSize)).toEqual(["0 B", "1023 B", "1.5 KiB", "512 MiB"]);
  });
});

describe("--env", () => {
  it("copies what is named and sets what is given, and nothing else", () => {
    expect(chooseEnvironment(["A,B", "C=x=y", "D="], { A: "1", B: "", SECRET: "s" })).toEqual({ A: "1", B: "", C: "x=y", D: "" });
  });
  it.each([["NOT_SET"], ["1A=x"], ["A,,B"], ["=x"]])("refuses %s", (request) => {
    expect(refusal(() => chooseEnvironment([request], { A: "1", B: "2" }))).toMatch(/--env/);
  });
});

describe("mounts", () => {
  const at = (name: string): string => join(base, name);

  it("mounts the working directory read-only and works in it", () => {
    expect(chooseMounts({ workingDirectory: at("work"), readOnly: [], writable: [] })).toEqual({
      mounts: [{ path: at("work"), as: "work", mode: "ro" }],
      cwd: "mnt/work",
    });
  });

  it("resolves links, keeps the written name, and takes names behind a colon", () => {
    const chosen = chooseMounts({ workingDirectory: at("work"), readOnly: ["../link", "../other/data:more"], writable: ["../data:out"] });
    expect(chosen.mounts).toEqual([
      { path: at("data"), as: "out", mode: "rw" },
      { path: at("data"), as: "link", mode: "ro" },
      { path: at("other/data"), as: "more", mode: "ro" },
      { path: at("work"), as: "work", mode: "ro" },
    ]);
  });

  it("makes the working directory writable when it is asked for", () => {
    expect(chooseMounts({ workingDirectory: at("work"), readOnly: [], writable: ["."] })).toEqual({
      mounts: [{ path: at("work"), as: "work", mode: "rw" }],
      cwd: "mnt/work",
    });
  });

  it("leaves it out with --no-cwd", () => {
    expect(chooseMounts({ workingDirectory: null, readOnly: [at("data")], writable: [] })).toEqual({
      mounts: [{ path: at("data"), as: "data", mode: "ro" }],
      cwd: undefined,
    });
  });

  it("refuses what is not there, what has no name, and two things of one name", () => {
    expect(refusal(() => chooseMounts({ workingDirectory: at("work"), readOnly: ["nope"], writable: [] }))).toMatch(
      /--in nope: .*nope does not exist/,
    );
    expect(refusal(() => chooseMounts({ workingDirectory: null, readOnly: ["/"], writable: [] }))).toMatch(/--in \/: it needs a name/);
    expect(refusal(() => chooseMounts({ workingDirectory: "/", readOnly: [], writable: [] }))).toMatch(/working directory/);
    expect(refusal(() => chooseMounts({ workingDirectory: at("work"), readOnly: [at("data"), at("other/data")], writable: [] }))).toMatch(
      /~\/mnt\/data is wanted twice/,
    );
  });
});

describe("the plan", () => {
  const plan = (options: Partial<MapOptions>, command: readonly string[], rows: readonly (readonly string[])[]): unknown =>
    planMap({ cwd: false, ...options }, command, rows, { workingDirectory: base, environment: { A: "1" }, cores: 2 });

  it("is a valid run with the units of the protocol", () => {
    const spec = plan(
      {
        jobs: "3",
        halt: "soon,fail=2",
        timeout: "1m",
        deadline: "1h",
        retries: "2",
        env: ["A"],
        memory: "1G",
        disk: "10M",
        cpu: "0.5",
        idempotent: true,
      },
      ["echo", "{}"],
      [["a b"], [""]],
    );
    expect(spec).toEqual({
      title: "echo {}",
      jobs: 3,
      deadlineMs: 3_600_000,
      halt: { when: "soon", failures: 2 },
      tasks: ["a b", ""].map((item) => ({
        title: item === "" ? "(empty)" : item,
        command: ["echo", item],
        env: { A: "1" },
        mounts: [],
        timeoutMs: 60_000,
        retries: 2,
        idempotent: true,
        limits: { memoryBytes: 1024 ** 3, diskBytes: 10 * 1024 ** 2, cpuPermille: 500 },
      })),
    });
    expect(runSpecSchema.safeParse(spec).success).toBe(true);
  });

  it("makes titles of one line that are harmless", () => {
    const hostile = plan({}, ["cat"], [["a\nb\x1b]0;x\x07c"], ["x".repeat(2000)]]) as { tasks: { title: string }[] };
    expect(hostile.tasks.map((task) => task.title)).toEqual(["a␊b␛]0;x␇c", "x".repeat(500)]);
  });

  it("asks a shell only when it is told to", () => {
    expect(plan({ shell: true }, ["echo {} | wc"], [["a;b"]])).toMatchObject({
      tasks: [{ command: ["/bin/sh", "-c", "echo 'a;b' | wc"] }],
    });
    expect(refusal(() => plan({}, ["ls -l"], [["a"]]))).toMatch(/one word with spaces/);
  });

  it.each<[Partial<MapOptions>, RegExp]>([
    [{ timeout: "soon" }, /--timeout soon/],
    [{ timeout: "0" }, /--timeout 0/],
    [{ memory: "much" }, /--memory much/],
    [{ retries: "-1" }, /--retries -1/],
    [{ retries: "101" }, /--retries 101/],
    [{ cpu: "x" }, /--cpu x/],
    [{ disk: "0" }, /--disk 0/],
  ])("refuses %j", (options, expected) => {
    expect(refusal(() => plan(options, ["echo"], [["a"]]))).toMatch(expected);
  });
});
