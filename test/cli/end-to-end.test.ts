/** The command line over the real supervisor, warden and children. */
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RunSummary, TaskResult } from "../../machines/messages/result.ts";
import { eventually, OwnHome, ownHomeUnavailable } from "../daemon/own-home.ts";
import { CohortProcess, cohortWords, processesOf, type Ended, type StartOptions } from "./cohort-process.ts";

if (ownHomeUnavailable !== null) console.log(`skipped: ${ownHomeUnavailable}`);

describe.skipIf(ownHomeUnavailable !== null)("cohort, end to end", { timeout: 90_000 }, () => {
  let home: OwnHome;
  let work = "";

  beforeAll(() => {
    home = OwnHome.make();
    const directory = home.personDirectory();
    chmodSync(directory, 0o755);
    work = join(directory, "work");
    mkdirSync(work);
    chownSync(work, home.account.uid, home.account.gid);
    for (const name of ["a", "b", "c"]) writeFileSync(join(work, `${name}.txt`), `${name}\n`.repeat(name.charCodeAt(0) - 96));
  });
  afterAll(() => home.end(), 60_000);

  const start = (args: readonly string[], options: Partial<StartOptions> = {}): CohortProcess =>
    new CohortProcess(args, { home: home.directory, cwd: work, ...options });
  const cohort = (args: readonly string[], options: Partial<StartOptions> = {}): Promise<Ended> => start(args, options).ended();
  const json = async (args: readonly string[]): Promise<unknown> => JSON.parse((await cohort(args)).stdout) as unknown;
  const newestRun = async (): Promise<RunSummary> => {
    const { runs } = (await json(["ps", "--all", "--json"])) as { runs: readonly RunSummary[] };
    const [newest] = runs.toSorted((left, right) => right.createdAtMs - left.createdAtMs);
    if (newest === undefined) throw new Error("there is no run");
    return newest;
  };
  const nothingLeft = async (words: readonly string[]): Promise<void> => {
    expect(processesOf(words)).toEqual([]);
    expect(await json(["ps", "--json"])).toEqual({ runs: [], children: [] });
  };

  it("maps a command over the files of the working directory, in order, with items from everywhere", async () => {
    const mapped = await cohort(["map", "-k", "--", "wc", "-l", "{}", ":::", "a.txt", "b.txt", "c.txt"]);
    expect([mapped.status, mapped.stdout]).toEqual([0, "1 a.txt\n2 b.txt\n3 c.txt\n"]);
    expect(mapped.stderr).toMatch(/^cohort: run [a-z0-9]+: wc -l \{\}: 3 tasks, \d+ at once\n/);
    expect(mapped.stderr).toMatch(/cohort: ok 2 c\.txt [\d.]+m?s\n/);
    expect(mapped.stderr).toMatch(/cohort: all 3 succeeded, in [\d.]+m?s {2}run [a-z0-9]+\n$/);
    const tagged = await cohort(["map", "-k", "--tag", "-q", "-0", "--", "cat"], { input: "b.txt\0a.txt\0" });
    expect(tagged).toEqual({ status: 0, stdout: "b.txt\tb\nb.txt\tb\na.txt\ta\n", stderr: "" });
    const environment = await cohort(
      ["map", "-q", "--env", "A=1", "--shell", "--no-cwd", "--", 'echo {#} "$A" "${SECRET-none}"; pwd; ls mnt', ":::", "x"],
      { env: { SECRET: "s" } },
    );
    expect(environment.stdout).toMatch(/^1 1 none\n\/sessions\/[a-z0-9-]+\n$/);
  });

  it("writes collected files and the log nowhere else, though a task may change the directory that they go to", async () => {
    const outside = home.personDirectory();
    const hostile = `cd ~/mnt/work; ln -sfn ${outside} out; ln -sfn ${outside}/log log2; echo evil > "$COHORT_OUT/authorized_keys"`;
    const words = ["--write", ".", "--out", "out", "--shell", "--", hostile, ":::", "x"];
    const first = await cohort(["map", "-q", ...words]);
    expect([first.status, first.stderr]).toEqual([255, "cohort: task 0: authorized_keys: out is not a directory\n"]);
    const again = await cohort(["map", "-q", "--joblog", "log2", ...words]);
    expect([again.status, again.stderr]).toEqual([255, expect.stringContaining("--joblog: ELOOP")]);
    expect(readdirSync(outside)).toEqual([]);
  });

  it("tells once why a command did not start, and names no log where there is none", async () => {
    const { status, stderr } = await cohort(["map", "-q", "--", "no-such-program", ":::", "x"]);
    expect([status, stderr]).toEqual([1, ""]);
    expect((await cohort(["map", "--", "no-such-program", ":::", "x"])).stderr).toMatch(
      /\n {2}✗ x {2}could not be started: cannot execute no-such-program: No such file or directory; is it [^\n]*\n {2}to run again/,
    );
  });

  it("counts failures in its exit status, tells their last words and how to see more", async () => {
    const failing = await cohort([
      "map",
      "--joblog",
      "log",
      "--shell",
      "--",
      "echo out; echo 'boom {}' >&2; exit {}",
      ":::",
      "0",
      "3",
      "0",
      "4",
    ]);
    expect(failing.status).toBe(2);
    expect(failing.stderr).toMatch(/cohort: 2 of 4 succeeded, 2 failed/);
    expect(failing.stderr).toMatch(/✗ 3 {2}exit 3: boom 3\n {4}cohort logs [a-z0-9]+\/1\n/);
    expect(failing.stderr).toMatch(/to run again what did not succeed: cohort resume [a-z0-9]+\n$/);
    const log = readFileSync(join(work, "log"), "utf8")
      .split("\n")
      .slice(1, -1)
      .map((line) => line.split("\t"))
      .toSorted((left, right) => Number(left[0]) - Number(right[0]));
    expect(log.map((columns) => [columns[0], columns[1], columns[5], columns[6], columns[7], columns[8]])).toEqual(
      ["0", "3", "0", "4"].map((item, at) => [String(at + 1), ":", "4", item, "0", `echo out; echo 'boom ${item}' >&2; exit ${item}`]),
    );
    const halted = await cohort(["map", "-q", "-j1", "--halt", "soon,fail=1", "--shell", "--", "exit {}", ":::", "0", "7", "0", "0"]);
    expect(halted.status).toBe(7);
    const absent = await cohort(["map", "--", "no-such-command", ":::", "x"]);
    expect([absent.status, absent.stderr.includes("could not be started 0 x")]).toEqual([1, true]);
  });

  it("collects files, and copies them where they are wanted", async () => {
    const made = await cohort([
      "map",
      "--out",
      "made",
      "--shell",
      "--",
      "mkdir $COHORT_OUT/d; sort -r {} > $COHORT_OUT/d/{/}",
      ":::",
      "a.txt",
      "b.txt",
    ]);
    expect(made).toMatchObject({ status: 0 });
    expect(readdirSync(join(work, "made/d")).toSorted()).toEqual(["a.txt", "b.txt"]);
    expect(readFileSync(join(work, "made/d/b.txt"), "utf8")).toBe("b\nb\n");
    const clash = await cohort(["map", "--out", "clash", "--shell", "--", "echo {} > $COHORT_OUT/same", ":::", "a", "b"]);
    expect([clash.status, clash.stderr.includes("wrote this file, too; use --out 'DIR/{#}'")]).toEqual([255, true]);
    expect((await cohort(["results", "@/0"])).stdout).toMatch(/files in \/.*\n {2}[0-9a-f]{64} +2 B {2}same\n/);
  });

  it("gives programs every event and byte, and people's terminals no control of theirs", async () => {
    const { status, stdout } = await cohort([
      "map",
      "--json",
      "--shell",
      "--",
      "printf '\\033[2Jé\\n\\377'; head -c 100000 /dev/zero | tr '\\0' x >&2; : {}",
      ":::",
      "x",
    ]);
    expect(status).toBe(0);
    const lines = stdout
      .trim()
      .split("\n")
      .map(
        (line) =>
          JSON.parse(Buffer.from(line, "latin1").toString()) as {
            type: string;
            stream?: string;
            text?: string;
            base64?: string;
            event?: { type: string; result?: TaskResult };
          },
      );
    expect(lines.filter((line) => line.type === "event").map((line) => line.event?.type)).toEqual([
      "run-started",
      "task-started",
      "task-finished",
      "run-finished",
    ]);
    const bytes = (stream: string): Buffer =>
      Buffer.concat(
        lines
          .filter((line) => line.stream === stream)
          .map((line) => (line.text === undefined ? Buffer.from(line.base64 ?? "", "base64") : Buffer.from(line.text))),
      );
    expect(bytes("stdout")).toEqual(Buffer.concat([Buffer.from("\x1b[2Jé\n"), Buffer.from([0xff])]));
    expect(bytes("stderr")).toEqual(Buffer.from("x".repeat(100_000)));
    const command = [...cohortWords, "map", "--shell", "--", String.raw`'printf "\033]0;evil\007\033[31mred\r\n"'`, ":::", "x"].join(" ");
    const seen = await cohort(["-qec", command, "/dev/null"], { words: ["script"], env: { TERM: "xterm", COLUMNS: "80" } });
    expect(Buffer.from(seen.stdout, "latin1").toString()).toContain("␛]0;evil␇red␍\r\n");
    expect(seen.stdout).not.toContain("\x1b]0;");
    expect([seen.stdout.includes("\x1b[?25l"), seen.stdout.lastIndexOf("\x1b[?25h") > seen.stdout.lastIndexOf("\x1b[?25l")]).toEqual([
      true,
      true,
    ]);
  });

  it("runs a task file, and one from standard input", async () => {
    writeFileSync(
      join(work, "tasks.yaml"),
      "title: two\ndefaults: {mounts: [.]}\ntasks:\n  - command: [cat, mnt/work/b.txt]\n  - {command: 'cat; exit 5', shell: true, stdin: hi}\n",
    );
    const ran = await cohort(["run", "-k", "tasks.yaml"]);
    expect([ran.status, ran.stdout]).toEqual([1, "b\nb\nhi"]);
    expect(await newestRun()).toMatchObject({ title: "two", status: "completed", counts: { succeeded: 1, failed: 1 } });
    expect((await cohort(["results", "@", "--failed", "--json"])).stdout).toMatch(/^\{[^\n]*"index":1[^\n]*"exitCode":5[^\n]*\}\n$/);
    expect((await cohort(["results", "@"])).stdout).toMatch(/TASK +END [^\n]*\n +0 +ok [^\n]*\n +1 +exit 5 /);
    expect((await cohort(["logs", "@"])).stdout.split("").toSorted().join("")).toBe("\n\nbbhi");
    expect((await cohort(["logs", "last/1"])).stdout).toBe("hi");
    expect(await cohort(["run", "-q", "-"], { input: '{"tasks":[{"command":["echo", 1.10]}]}' })).toEqual({
      status: 0,
      stdout: "1.10\n",
      stderr: "",
    });
  });

  it("with a run key starts once and shows it again; resume runs what did not succeed", async () => {
    const args = [
      "map",
      "-k",
      "-q",
      "--run-key",
      "night",
      "--write",
      ".",
      "--shell",
      "--",
      "echo x >> ran-{}; test -e fixed-{} || exit 1; echo {}",
      ":::",
      "p",
      "q",
    ];
    writeFileSync(join(work, "fixed-p"), "");
    expect(await cohort(args)).toEqual({ status: 1, stdout: "p\n", stderr: "" });
    expect(await cohort(args)).toEqual({ status: 1, stdout: "p\n", stderr: "" });
    expect([readFileSync(join(work, "ran-p"), "utf8"), readFileSync(join(work, "ran-q"), "utf8")]).toEqual(["x\n", "x\n"]);
    expect((await cohort(args.filter((word) => word !== "-q"))).stderr).toMatch(
      /^cohort: run [a-z0-9]+ was started earlier under this key: /,
    );
    writeFileSync(join(work, "fixed-q"), "");
    expect(await cohort(["resume", "@", "-q"])).toEqual({ status: 0, stdout: "q\n", stderr: "" });
    expect(readFileSync(join(work, "ran-p"), "utf8")).toBe("x\n");
  });

  it("on Ctrl-C cancels with grace, keeps what was done, and leaves nothing", async () => {
    const running = start([
      "map",
      "-j3",
      "--shell",
      "--",
      "trap 'echo {} was asked; exit' TERM; echo {} began; sleep 61.25 & wait",
      ":::",
      "1",
      "2",
      "3",
      "4",
      "5",
    ]);
    await eventually(() => processesOf(["sleep", "61.25"]).length === 3, "three tasks run", 20_000);
    running.signal("SIGINT");
    const ended = await running.ended();
    expect(ended.status).toBe(130);
    expect(ended.stdout).toMatch(/^(\d began\n\d was asked\n){3}$/);
    expect(ended.stderr).toMatch(/cancelling: children are asked to end and get their grace; once more kills them\n/);
    expect(ended.stderr).toMatch(/cohort: cancelled; 0 of 5 succeeded/);
    await nothingLeft(["sleep", "61.25"]);
    expect(await newestRun()).toMatchObject({ status: "cancelled" });
  });

  it("on Ctrl-C twice kills at once, and leaves nothing", async () => {
    const running = start(["map", "-j2", "--shell", "--", "trap '' TERM; sleep 62.25; : {}", ":::", "1", "2", "3"]);
    await eventually(() => processesOf(["sleep", "62.25"]).length === 2, "two tasks run", 20_000);
    const startedMs = Date.now();
    running.signal("SIGINT");
    await eventually(() => running.stderr.includes("once more kills"), "it says so");
    running.signal("SIGINT");
    const ended = await running.ended();
    expect([ended.status, Date.now() - startedMs < 4000]).toEqual([130, true]);
    expect(ended.stderr).toMatch(/killing: waiting for the proof that nothing is left\n/);
    await nothingLeft(["sleep", "62.25"]);
  });

  it("cancels when nobody reads its output, when it is terminated, and from another terminal", async () => {
    const unread = start([
      "map",
      "-q",
      "-j2",
      "--shell",
      "--",
      "yes | head -c 3000000; test {} -lt 2 || sleep 63.25",
      ":::",
      ...Array.from({ length: 8 }, (_, at) => String(at)),
    ]);
    await eventually(() => unread.stdout.length > 0, "it writes", 20_000);
    unread.stopReading();
    expect((await unread.ended()).status).toBe(141);
    const terminated = start(["map", "-q", "--shell", "--", "sleep 63.25; : {}", ":::", "a"]);
    await eventually(() => processesOf(["sleep", "63.25"]).length === 1, "it runs", 20_000);
    terminated.signal("SIGTERM");
    expect((await terminated.ended()).status).toBe(143);
    const other = start(["map", "-q", "--shell", "--", "sleep 63.25; : {}", ":::", "a"]);
    await eventually(() => processesOf(["sleep", "63.25"]).length === 1, "it runs", 20_000);
    const cancelled = await cohort(["cancel", "@"]);
    expect(cancelled.status).toBe(0);
    expect(cancelled.stderr).toMatch(
      /^cohort: run [a-z0-9]+: 1 child is asked to end, and killed after a grace; 0 tasks will not start\ncohort: run [a-z0-9]+: cancelled: /,
    );
    expect((await other.ended()).status).toBe(255);
    await nothingLeft(["sleep", "63.25"]);
  });

  it("follows the output of one task while it runs", async () => {
    const running = start([
      "map",
      "-q",
      "--no-output",
      "--shell",
      "--",
      "for i in 1 2 3 4 5 6; do echo line $i; sleep 0.5; done; echo {}",
      ":::",
      "end",
    ]);
    await eventually(
      async () => ((await json(["ps", "--json"])) as { children: readonly object[] }).children.length === 1,
      "it runs",
      20_000,
    );
    const following = start(["logs", "@/0", "-f"]);
    await eventually(() => following.stdout.includes("line 1\n"), "the first line comes", 10_000);
    expect(following.stdout).not.toContain("end");
    expect((await following.ended()).stdout).toBe("line 1\nline 2\nline 3\nline 4\nline 5\nline 6\nend\n");
    expect((await running.ended()).status).toBe(0);
  });

  it("opens a shell in a child: with a terminal and without, with its exit status", async () => {
    const running = start(["map", "-q", "--shell", "--", "echo here > ~/mark; sleep 64.25; : {}", ":::", "x"]);
    await eventually(() => processesOf(["sleep", "64.25"]).length === 1, "it runs", 20_000);
    const { children } = (await json(["ps", "--json"])) as { children: readonly { readonly child: string }[] };
    const child = children[0]?.child ?? "";
    expect(
      await cohort(["shell", child, "--", "/bin/sh", "-c", "cat ~/mark; cat; echo err >&2; exit 7"], { input: "from me\n" }),
    ).toMatchObject({ status: 7, stderr: "err\n" });
    const inside = `${cohortWords.join(" ")} shell ${child.slice(0, -1)} -- /bin/sh -c 'test -t 0 && test -t 1 && stty size; exit 9'`;
    const seen = await cohort(
      ["-qec", `stty rows 31 cols 97; ${inside}; echo status $?; stty -a | tr ' ' '\\n' | grep -xE -- '-?(icanon|echo);?'`, "/dev/null"],
      { words: ["script"], env: { TERM: "xterm" } },
    );
    expect(seen.stdout).toContain("31 97\r\r\n");
    expect(seen.stdout).toContain("status 9\r\n");
    expect(seen.stdout.slice(seen.stdout.indexOf("status 9"))).toMatch(/icanon\r\necho\r\n/);
    const page = Buffer.from((await cohort(["doctor", child])).stdout, "latin1").toString();
    expect(page).toMatch(/^layers of [a-z-]+ +inside {2}outside\n {2}✓ uid +✓ +✓$/m);
    expect((await cohort(["cancel", "@", "--kill"])).status).toBe(0);
    expect((await running.ended()).status).toBe(255);
    await nothingLeft(["sleep", "64.25"]);
  });

  it("tells what does not exist", async () => {
    expect(await cohort(["logs", "zzzz"])).toMatchObject({
      status: 255,
      stderr: "cohort: no such run: zzzz\n  hint: list them: cohort ps --all\n",
    });
    expect(await cohort(["shell", "nobody"])).toMatchObject({
      status: 255,
      stderr: "cohort: no such child: nobody\n  hint: list them: cohort ps\n",
    });
    for (const command of ["logs", "results"])
      expect(await cohort([command, "@/99"])).toMatchObject({
        status: 255,
        stderr: expect.stringMatching(/no such task: .* are 0 to \d+, not 99\n/),
      });
    expect(await cohort(["daemon", "status"])).toMatchObject({ status: 0, stdout: "cohortd runs, with 0 runs and 0 children\n" });
    expect(await cohort(["vm", "status"])).toMatchObject({
      status: 0,
      stdout: `the warden of ${home.account.name} runs: ${home.paths.wardenSocket}\n`,
    });
    expect(await json(["vm", "up", "--json"])).toEqual({ user: home.account.name, socket: home.paths.wardenSocket, running: true });
    expect(await cohort(["vm", "up", "--user", "no-such-user"])).toMatchObject({
      status: 255,
      stderr: expect.stringMatching(/no ordinary user no-such-user\n {2}hint: a name or a uid/),
    });
  });
});
