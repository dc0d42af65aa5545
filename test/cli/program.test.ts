/** The program itself, started as a person starts it: what it says about wrong use, without any supervisor. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseTaskFile, resolverFor } from "../../app/cli/task-file/load.ts";

const main = new URL("../../app/cli/main.ts", import.meta.url).pathname;
let base = "";
beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), "cohort-program-"));
  writeFileSync(join(base, "bad.yaml"), "tasks:\n  - comand: [x]\n");
  writeFileSync(join(base, "good.yaml"), "tasks:\n  - command: [x]\n");
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

function cohort(args: readonly string[], input = ""): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    cwd: base,
    input,
    encoding: "utf8",
    timeout: 20_000,
    env: { PATH: process.env["PATH"], COHORT_HOME: join(base, "home") },
  });
  return { status, stdout, stderr };
}

describe("the program", () => {
  it("tells wrong use with status 255, which counts no tasks, a sentence and a hint, and starts nothing", () => {
    const wrong: readonly (readonly [readonly string[], RegExp])[] = [
      [["mpa"], /unknown command 'mpa'[^]*Did you mean map\?[^]*hint: /],
      [["map", "--jbos", "3", "--", "echo"], /unknown option '--jbos'[^]*Did you mean --jobs\?/],
      [["map"], /no command is given\n {2}hint: cohort map/],
      [["map", "-j", "many", "--", "echo", ":::", "a"], /--jobs many\n {2}hint: a number/],
      [["map", "--in", "nope", "--", "echo", ":::", "a"], /--in nope: .* does not exist/],
      [["run"], /missing required argument 'file'/],
      [["vm", "sideways"], /Allowed choices are up, down, status/],
      [["logs", "x", "--attempt", "0"], /a number from 1/],
      [["help", "mpa"], /^cohort: unknown command 'mpa'\n {2}hint: [^\n]*\n$/],
    ];
    for (const [args, expected] of wrong) {
      const told = cohort(args);
      expect([told.status, told.stdout]).toEqual([255, ""]);
      expect(told.stderr).toMatch(/^cohort: /);
      expect(told.stderr).toMatch(expected);
    }
    expect(readdirSync(base)).not.toContain("home");
  });

  it("tells a bad task file with its place and status 255, and as JSON for programs", () => {
    const told = cohort(["run", "bad.yaml"]);
    expect(told.status).toBe(255);
    expect(told.stderr).toBe(
      "cohort: the task file is not valid: 2 problems\n  bad.yaml:2:5  tasks[0].command: is required\n  bad.yaml:2:5  tasks[0].comand: unknown field; did you mean command?\n  hint: nothing was run; docs/task-file.md lists every field\n",
    );
    const json = JSON.parse(cohort(["run", "bad.yaml", "--json"]).stdout) as { error: { code: string; problems: readonly object[] } };
    expect([json.error.code, json.error.problems[0]]).toEqual([
      "TASK_FILE_INVALID",
      { line: 2, column: 5, field: "tasks[0].command", message: "is required" },
    ]);
    expect(cohort(["run", "absent.yaml"])).toMatchObject({
      status: 255,
      stderr: expect.stringMatching(/^cohort: the task file cannot be read: .*absent\.yaml/) as string,
    });
    expect(cohort(["run", "-", "--check"], '{"tasks":[{"command":["x"]}]}')).toMatchObject({
      status: 0,
      stderr: "cohort: 1 task, no problem found\n",
    });
    expect(cohort(["nonsense", "--json"])).toMatchObject({
      status: 255,
      stdout: expect.stringMatching(/^\{"type":"error","error":\{"code":"USAGE"/) as string,
    });
  });

  it("shows with --dry-run what it would run, for items from everywhere", () => {
    expect(cohort(["map", "--dry-run", "--", "cp", "{}", "{/.}.bak", ":::", "a b/c.txt", "$(id)"]).stdout).toBe(
      "cp 'a b/c.txt' c.bak\ncp '$(id)' '$(id).bak'\n",
    );
    expect(cohort(["map", "--dry-run", "echo", "{1}-{2}", ":::", "a", "b", ":::", "x"]).stdout).toBe("echo a-x\necho b-x\n");
    expect(cohort(["map", "-0", "--dry-run", "echo"], "a\nb\0c\0").stdout).toBe("echo 'a␊b'\necho c\n");
    writeFileSync(join(base, "items"), "one\ntwo\n");
    expect(cohort(["map", "-a", "items", "--dry-run", "--shell", "--", "echo {} | wc"]).stdout).toBe("echo one | wc\necho two | wc\n");
    expect(cohort(["map", "--", "echo"])).toEqual({ status: 0, stdout: "", stderr: "cohort: there are no items: nothing was run\n" });
  });

  it("has help for each command, its version, and completion that its shell accepts", () => {
    expect(cohort(["--version"]).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    const commands = [
      "run",
      "map",
      "ps",
      "logs",
      "results",
      "cancel",
      "resume",
      "shell",
      "approvals",
      "approve",
      "deny",
      "grant",
      "grants",
      "revoke",
      "freeze",
      "thaw",
      "diff",
      "apply",
      "discard",
      "undo",
      "doctor",
      "vm",
      "daemon",
      "completion",
    ];
    const help = cohort(["--help"]);
    expect([help.status, commands.filter((command) => !help.stdout.includes(`  ${command} `))]).toEqual([0, []]);
    expect(cohort([]).status).toBe(255);
    const script = cohort(["completion", "bash"]).stdout;
    expect(spawnSync("bash", ["-n"], { input: script }).status).toBe(0);
    const completed = spawnSync(
      "bash",
      [
        "-c",
        `${script}\nCOMP_WORDS=(cohort map --ke); COMP_CWORD=2; _cohort; echo "\${COMPREPLY[@]}"; COMP_WORDS=(cohort vm u); _cohort; echo "\${COMPREPLY[@]}"`,
      ],
      { encoding: "utf8" },
    );
    expect(completed.stdout).toBe("--keep-order\nup\n");
    for (const shell of ["zsh", "fish"]) expect(cohort(["completion", shell]).stdout).toContain("complete-names runs");
  });
});

describe("the documents", () => {
  it("show a task file that is right", () => {
    const [, example = ""] = /```yaml\n([^]*?)```/.exec(readFileSync(new URL("../../docs/task-file.md", import.meta.url), "utf8")) ?? [];
    expect(parseTaskFile(example.replace("[../src]", "[.]"), "t", "t", resolverFor(base, undefined)).tasks.length).toBe(3);
  });

  it("name every option of map and every field of the task file", () => {
    const cli = readFileSync(new URL("../../docs/cli.md", import.meta.url), "utf8");
    const options = [...cohort(["map", "--help"]).stdout.matchAll(/^ {2}(?:-., )?(--[a-z-]+)/gm)].map((match) => match[1] ?? "");
    expect(options.length).toBeGreaterThan(25);
    const undocumented = options.filter((option) => !cli.includes(option) && !["--help", "--null", "--arg-file"].includes(option));
    expect(undocumented).toEqual([]);
    const schema = JSON.parse(readFileSync(new URL("../../docs/schema/tasks.schema.json", import.meta.url), "utf8")) as {
      properties: Record<string, { items?: { properties: Record<string, { properties?: object }> } }>;
    };
    const task = schema.properties["tasks"]?.items?.properties ?? {};
    const fields = [...Object.keys(schema.properties), ...Object.keys(task), ...Object.keys(task["limits"]?.properties ?? {})].filter(
      (field) => field !== "$schema",
    );
    expect(fields.length).toBeGreaterThan(20);
    const text = readFileSync(new URL("../../docs/task-file.md", import.meta.url), "utf8");
    expect(fields.filter((field) => !text.includes(`\`${field}\``))).toEqual([]);
  });
});
