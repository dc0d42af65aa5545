/** The task file: every mistake is named with its line, column and field; nothing runs. */
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runSpecSchema, type RunSpecInput } from "../../machines/messages/task.ts";
import { loadTaskFile, parseTaskFile, resolverFor, TaskFileError } from "../../app/cli/task-file/load.ts";
import { taskFileJsonSchema } from "../../app/cli/task-file/schema.ts";
import { suggest } from "../../app/cli/text/suggestion.ts";

let base = "";
beforeAll(() => {
  base = realpathSync(mkdtempSync(join(tmpdir(), "cohort-file-")));
  mkdirSync(join(base, "data"));
  symlinkSync("data", join(base, "link"));
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

const parse = (text: string): RunSpecInput => parseTaskFile(text, "t.yaml", "t.yaml", resolverFor(base, "/home/x"));

function problems(text: string): readonly string[] {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof TaskFileError)
      return error.problems.map(({ line, column, field, message }) => `${line}:${column} ${field}: ${message}`);
    throw error;
  }
  return [];
}

const task = (fields: string): string => `tasks:\n  - command: [x]\n    ${fields}\n`;

describe("a mistake in a task file", () => {
  it.each<[string, string, readonly (string | RegExp)[]]>([
    ["an unknown field of the run", "titel: x\ntasks: [{command: [x]}]\n", ["1:1 titel: unknown field; did you mean title?"]],
    [
      "an unknown field of a task",
      "tasks:\n  - comand: [x]\n    command: [x]\n",
      ["2:5 tasks[0].comand: unknown field; did you mean command?"],
    ],
    ["an unknown field without a likely meaning", task("colour: red"), ["3:5 tasks[0].colour: unknown field"]],
    ["an unknown limit", task("limits: {memmory: 1G}"), ["3:14 tasks[0].limits.memmory: unknown field; did you mean memory?"]],
    ["an unknown field of a mount", task("mounts: [{path: data, rw: true}]"), ["3:27 tasks[0].mounts[0].rw: unknown field"]],
    [
      "an unknown default",
      "defaults:\n  timeuot: 3s\ntasks: [{command: [x]}]\n",
      ["2:3 defaults.timeuot: unknown field; did you mean timeout?"],
    ],
    ["no tasks", "title: x\n", ["1:1 tasks: is required"]],
    ["an empty list of tasks", "tasks: []\n", ["1:8 tasks: needs at least 1"]],
    ["an empty file", "", ["1:1 : expected a mapping, not nothing"]],
    ["a list in place of a mapping", "- command: [x]\n", ["1:1 : expected a mapping, not a list"]],
    ["a task without a command", "tasks:\n  - title: a\n", ["2:5 tasks[0].command: is required"]],
    ["an empty command", "tasks:\n  - command: []\n", ["2:14 tasks[0].command: needs at least 1"]],
    [
      "a string without shell",
      "tasks:\n  - command: ls -l\n",
      ["2:14 tasks[0].command: is one string: write a list of words, or add shell: true"],
    ],
    [
      "a list with shell",
      "tasks:\n  - command: [ls]\n    shell: true\n",
      ["2:14 tasks[0].command: is a list: with shell: true it must be one string"],
    ],
    ["a mapping in a command", "tasks:\n  - command: [a, {b: 1}]\n", ["2:18 tasks[0].command[1]: expected text, not a mapping"]],
    ["a size", task("limits: {memory: lots}"), [/^3:22 tasks\[0\]\.limits\.memory: expected a size such as 512MiB/]],
    ["a size of nothing", task("limits: {disk: 0}"), ["3:20 tasks[0].limits.disk: must be more than 0"]],
    ["a size beyond reason", task("limits: {disk: 100000T}"), ["3:20 tasks[0].limits.disk: is too much"]],
    ["a duration", task("timeout: soon"), [/^3:14 tasks\[0\]\.timeout: expected a duration such as 30s/]],
    ["cores", task("limits: {cpu: many}"), [/^3:19 tasks\[0\]\.limits\.cpu: expected cores such as 0\.5/]],
    ["too few processes", task("limits: {processes: 1}"), ["3:25 tasks[0].limits.processes: must be at least 2"]],
    ["a fraction of a retry", task("retries: 1.5"), ["3:14 tasks[0].retries: expected a whole number, not 1.5"]],
    ["a truth value that is text", task('idempotent: "yes"'), ['3:17 tasks[0].idempotent: expected true or false, not "yes"']],
    [
      "a choice that does not exist",
      "halt: sonn\ntasks: [{command: [x]}]\n",
      ['1:7 halt: expected never, soon, now, not "sonn"; did you mean soon?'],
    ],
    ["a halt without sense", "halt: {when: now, failures: 0}\ntasks: [{command: [x]}]\n", ["1:29 halt.failures: must be at least 1"]],
    ["a name of a variable", task("env: {a-b: c}"), ["3:11 tasks[0].env.a-b: is no variable name"]],
    ["a variable without text", task("env: {A: [1]}"), ["3:14 tasks[0].env.A: expected text, not a list"]],
    ["a mount that is not there", task("mounts: [nope]"), [/^3:14 tasks\[0\]\.mounts\[0\]: .*\/nope does not exist$/]],
    [
      "a mount that is not there, in full",
      task("mounts: [{path: nope, as: x}]"),
      [/^3:21 tasks\[0\]\.mounts\[0\]\.path: .*\/nope does not exist$/],
    ],
    ["two mounts of one name", task("mounts: [data, {path: ., as: data}]"), [/^3:20 tasks\[0\]\.mounts\[1\]: ~\/mnt\/data is taken by /]],
    [
      "a mode",
      task("mounts: [{path: data, mode: w}]"),
      ['3:33 tasks[0].mounts[0].mode: expected ro, rw, staged, not "w"; did you mean rw?'],
    ],
    ["a key twice", "title: a\ntitle: b\ntasks: [{command: [x]}]\n", [/^2:1 : Map keys must be unique/]],
    ["broken YAML", "tasks:\n  - command: [x\n", [/^\d+:\d+ : /]],
    ["a tag of YAML", "tasks:\n  - command: !!js/function x\n", [/^2:14 : Unresolved tag/]],
    ["two documents", "tasks: [{command: [x]}]\n---\na: 1\n", [/^2:1 : /]],
    [
      "a mistake in JSON",
      '{\n  "tasks": [\n    { "command": ["x"], "limits": { "memory": true } }\n  ]\n}\n',
      [/^3:47 tasks\[0\]\.limits\.memory: expected a size/],
    ],
  ])("%s is named with its place", (_, text, expected) => {
    const found = problems(text);
    expect(found.length).toBe(expected.length);
    for (const [at, one] of expected.entries()) {
      if (typeof one === "string") expect(found[at]).toBe(one);
      else expect(found[at]).toMatch(one);
    }
  });

  it("is told with all the others, in the order of the file", () => {
    const text = "jbos: 3\ntasks:\n  - command: [x]\n    tmeout: 1s\n  - command: [y]\n    retries: -1\n    limits: {memory: 0, cpu: x}\n";
    expect(problems(text).map((one) => one.split(" ")[0])).toEqual(["1:1", "4:5", "6:14", "7:22", "7:30"]);
  });

  it("is told twenty times at most, and counted beyond", () => {
    const text = `tasks:\n${"  - command: []\n".repeat(50)}`;
    expect(() => parse(text)).toThrow(/50 problems\n {2}t\.yaml:2:14 {2}tasks\[0\]\.command: needs at least 1\n[^]*… and 30 more/);
  });

  it("cannot make the message break a terminal", () => {
    expect(() => parse('"\\e[2Jx": 1\ntasks: [{command: [x]}]\n')).toThrow(/t\.yaml:1:1 {2}␛\[2Jx: unknown field/);
  });

  it("does not explode", () => {
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${["b", "c", "d", "e", "f", "g"].map((name, at) => `${name}: &${name} [${Array(9).fill(`*${"abcdef"[at]}`).join(",")}]`).join("\n")}\ntasks: *g\n`;
    expect(problems(bomb).length).toBeGreaterThan(0);
  });
});

describe("a good task file", () => {
  it("becomes a run in the units of the protocol", () => {
    const spec = parse(`
title: nightly
jobs: 8
deadline: 1h
halt: {when: now, failures: 3}
defaults:
  timeout: 30
  env: {LANG: C.UTF-8, A: 1}
  mounts: [link]
  limits: {memory: 256MiB, cpu: 2 cores}
tasks:
  - title: one
    command: [sleep, 5, 1.10, true]
    env: {VERSION: 1.10, A: 2}
    limits: {cpu: 0.5, disk: 1G, tmp: 8M, inodes: 100, processes: 9, openFiles: 64, output: 1k, collect: 2k, files: 3}
    retries: 2
    idempotent: true
    stdin: "in"
    cwd: mnt/link
  - command: grep -c x *.txt | sort
    shell: true
    timeout: 2m
    mounts: [{path: data, as: out, mode: rw}]
`);
    const link = { path: join(base, "data"), as: "link", mode: "ro" };
    expect(spec).toEqual({
      title: "nightly",
      jobs: 8,
      deadlineMs: 3_600_000,
      halt: { when: "now", failures: 3 },
      tasks: [
        {
          title: "one",
          command: ["sleep", "5", "1.10", "true"],
          env: { LANG: "C.UTF-8", A: "2", VERSION: "1.10" },
          mounts: [link],
          timeoutMs: 30_000,
          retries: 2,
          idempotent: true,
          stdin: "in",
          cwd: "mnt/link",
          limits: {
            memoryBytes: 256 * 1024 ** 2,
            cpuPermille: 500,
            diskBytes: 1024 ** 3,
            tmpBytes: 8 * 1024 ** 2,
            diskInodes: 100,
            pidsMax: 9,
            openFilesMax: 64,
            outputBytes: 1024,
            outBytes: 2048,
            outFiles: 3,
          },
        },
        {
          title: "grep -c x *.txt | sort",
          command: ["/bin/sh", "-c", "grep -c x *.txt | sort"],
          env: { LANG: "C.UTF-8", A: "1" },
          mounts: [link, { path: join(base, "data"), as: "out", mode: "rw" }],
          timeoutMs: 120_000,
          retries: 0,
          idempotent: false,
          limits: { memoryBytes: 256 * 1024 ** 2, cpuPermille: 2000 },
        },
      ],
    });
    expect(runSpecSchema.safeParse(spec).success).toBe(true);
  });

  it("answers what its tasks may ask for, in the order in which it stands there; a no is for both names of a link, and for what is not there yet", () => {
    const answers = (text: string): unknown => parse(`preAnswers: ${text}\ntasks: [{command: [x]}]\n`).preAnswers;
    expect(
      answers(
        "[{path: link, decision: deny}, {path: data, decision: approve, mode: staged, ttl: 2h}, {path: later/x, decision: deny, mode: rw}]",
      ),
    ).toEqual([
      { path: join(base, "link"), mode: "ro", decision: "deny" },
      { path: join(base, "data"), mode: "ro", decision: "deny" },
      { path: join(base, "data"), mode: "staged", decision: "approve", ttlMs: 7_200_000 },
      { path: join(base, "later/x"), mode: "rw", decision: "deny" },
    ]);
    expect(
      problems("preAnswers: [{path: later, decision: approve}, {path: data, decision: maybe}]\ntasks: [{command: [x]}]\n"),
    ).toHaveLength(1);
    expect(problems("preAnswers: [{path: later, decision: approve}]\ntasks: [{command: [x]}]\n")).toEqual([
      expect.stringMatching(/^1:21 preAnswers\[0\]\.path: .*later does not exist$/),
    ]);
    expect(parse("tasks: [{command: [x]}]\n").preAnswers).toBeUndefined();
  });

  it("may be JSON, may use anchors and merge keys", () => {
    expect(parse('{"tasks": [{"command": ["a", 1]}], "$schema": "x"}').tasks).toMatchObject([{ command: ["a", "1"] }]);
    expect(parse("tasks:\n  - &t {command: [a], retries: 3}\n  - {<<: *t, title: b}\n").tasks).toMatchObject([
      { retries: 3 },
      { title: "b", command: ["a"], retries: 3 },
    ]);
  });

  it("is read from a file, whose directory its paths are relative to", async () => {
    const file = join(base, "tasks.yaml");
    writeFileSync(file, "tasks: [{command: [x], mounts: [./data]}]\n");
    expect(await loadTaskFile(file)).toMatchObject({
      title: "tasks.yaml",
      tasks: [{ mounts: [{ path: join(base, "data"), as: "data", mode: "ro" }] }],
    });
    await expect(loadTaskFile(join(base, "absent.yaml"))).rejects.toMatchObject({ code: "TASK_FILE_UNREADABLE" });
  });

  it("is never a run that the supervisor would refuse, whatever stands in it (fuzz)", () => {
    const scalar = fc.oneof(
      fc.constantFrom(0, 1, -1, 1.5, 2 ** 60, "", "x", "1G", "30s", "2 cores", "never", true, null, "a\0b", "data", "..", "/"),
      fc.string({ maxLength: 8 }),
    );
    const value = fc.oneof(
      scalar,
      fc.array(scalar, { maxLength: 3 }),
      fc.dictionary(fc.constantFrom("path", "as", "mode", "memory", "cpu", "when", "failures", "A", "a-b"), scalar, { maxKeys: 3 }),
    );
    const taskValue = fc.dictionary(
      fc.constantFrom("title", "command", "env", "stdin", "cwd", "mounts", "limits", "timeout", "retries", "idempotent", "shell"),
      value,
      { maxKeys: 4 },
    );
    const file = fc.dictionary(fc.constantFrom("title", "jobs", "deadline", "halt", "defaults"), fc.oneof(value, taskValue), {
      maxKeys: 2,
    });
    const good = fc.record({ command: fc.array(fc.constantFrom("x", 1, ""), { minLength: 1, maxLength: 3 }) });
    let accepted = 0;
    fc.assert(
      fc.property(file, fc.array(fc.oneof(good, taskValue), { maxLength: 3 }), (head, tasks) => {
        try {
          const spec = parse(JSON.stringify({ ...head, tasks }));
          const checked = runSpecSchema.safeParse(spec);
          expect(checked.success ? [] : checked.error.issues).toEqual([]);
          accepted += 1;
        } catch (error) {
          if (!(error instanceof TaskFileError)) throw error;
          expect(error.problems.length).toBeGreaterThan(0);
          expect(error.problems.every((one) => one.line >= 1 && one.column >= 1 && one.message !== "")).toBe(true);
        }
      }),
      { numRuns: 400 },
    );
    expect(accepted).toBeGreaterThan(5);
  });

  it("answers text that is no task file with problems, never with a fault (fuzz)", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 80 }), (text) => {
        try {
          parse(text);
        } catch (error) {
          if (!(error instanceof TaskFileError)) throw error;
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("help for those who write one", () => {
  // COHORT_WRITE_SCHEMA=1 npx vitest run test/cli/task-file.test.ts writes it anew.
  it("has a JSON Schema that is up to date", () => {
    const file = new URL("../../docs/schema/tasks.schema.json", import.meta.url);
    const text = `${JSON.stringify(taskFileJsonSchema(), null, 2)}\n`;
    if (process.env["COHORT_WRITE_SCHEMA"] === "1") writeFileSync(file, text);
    expect(readFileSync(file, "utf8")).toBe(text);
  });

  it("guesses near misses and leaves the others alone", () => {
    const known = ["timeout", "title", "command", "retries"];
    expect(["tmieout", "comand", "Title", "retrys", "xyz", "t"].map((word) => suggest(word, known))).toEqual([
      "timeout",
      "command",
      "title",
      "retries",
      null,
      null,
    ]);
  });
});
