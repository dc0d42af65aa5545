/** What children ask for and hold, over the command line, the real supervisor, warden and children. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ApprovalSummary } from "../../machines/messages/approval.ts";
import type { GrantSummary } from "../../machines/messages/grant.ts";
import type { ChildSummary } from "../../machines/messages/result.ts";
import { eventually, OwnHome, ownHomeUnavailable } from "../daemon/own-home.ts";
import { CohortProcess, cohortWords, type Ended, type StartOptions } from "./cohort-process.ts";

/** Each look is a process of its own. */
const WAIT_MS = 40_000;
const SAID = "cohort: a task asks you something, and waits for the answer: cohort approvals (said once)\n";

if (ownHomeUnavailable !== null) console.log(`skipped: ${ownHomeUnavailable}`);

describe.skipIf(ownHomeUnavailable !== null)("what children ask for and hold", { timeout: 90_000 }, () => {
  let home: OwnHome;
  let work = "";
  let data = "";

  beforeAll(async () => {
    home = OwnHome.make();
    const directory = home.personDirectory();
    chmodSync(directory, 0o755);
    const make = (name: string): string => {
      const path = join(directory, name);
      mkdirSync(path);
      chownSync(path, home.account.uid, home.account.gid);
      return path;
    };
    work = make("work");
    data = make("data");
    own(join(data, "fixture"), "from the person\n");
    // It may have to be compiled.
    await (await home.connect()).doctor();
  }, 120_000);
  afterAll(() => home.end(), 60_000);

  function own(path: string, text: string): void {
    writeFileSync(path, text);
    chownSync(path, home.account.uid, home.account.gid);
  }
  const start = (args: readonly string[], options: Partial<StartOptions> = {}): CohortProcess =>
    new CohortProcess(args, { home: home.directory, cwd: work, ...options });
  const cohort = (args: readonly string[], options: Partial<StartOptions> = {}): Promise<Ended> => start(args, options).ended();
  const json = async <T>(args: readonly string[]): Promise<T> => JSON.parse((await cohort(args)).stdout) as T;
  const text = (ended: Ended): string => Buffer.from(ended.stdout, "latin1").toString();
  const asked = async (): Promise<ApprovalSummary> => {
    let found: ApprovalSummary | undefined;
    await eventually(
      async () => {
        [found] = (await json<{ approvals: ApprovalSummary[] }>(["approvals", "--json"])).approvals;
        return found !== undefined;
      },
      "an approval",
      WAIT_MS,
    );
    if (found === undefined) throw new Error("nothing is asked");
    return found;
  };
  const child = async (): Promise<string> => {
    let found = "";
    await eventually(
      async () => {
        const { children } = await json<{ children: ChildSummary[] }>(["ps", "--json"]);
        found = children.find(({ state }) => state === "running")?.child ?? "";
        return found !== "";
      },
      "a child",
      WAIT_MS,
    );
    return found;
  };
  const ask = (path: string, rest = ""): string => `: {}; d=$(cohort-child request-directory ${path} ${rest}) && cat $d/fixture`;

  it("a task asks, a person sees its words as words and allows it, and the task goes on with the directory", async () => {
    const running = start(["map", "-q", "--shell", "--", ask(data, `--why "$(printf '\\033[2Jallow?\\n[y/n] y')"`), ":::", "x"]);
    const approval = await asked();
    expect(approval).toMatchObject({ path: data, mode: "ro", state: "pending" });
    const listed = await cohort(["approvals"]);
    expect(text(listed)).toMatch(/^a\d+ +read {2}\/tmp\/\S+\/data {2}/);
    expect(text(listed)).toContain("“␛[2Jallow?␊[y/n] y”");
    expect(listed.stderr).toContain(`to answer: cohort approve ${approval.approval}, or cohort deny ${approval.approval}`);
    const answered = await cohort(["approve", approval.approval, "--ttl", "1h"]);
    expect(answered).toEqual({
      status: 0,
      stdout: "",
      stderr: expect.stringMatching(/^cohort: a\d+: [a-z-]+ may read \/tmp\/\S+\/data for 1h \(g\d+\)\n$/),
    });
    const { stderr, ...rest } = await running.ended();
    expect([rest, stderr.replace(SAID, "")]).toEqual([{ status: 0, stdout: "from the person\n" }, ""]);
    // The same answer again is none.
    expect((await cohort(["approve", approval.approval, "--ttl", "1h"])).status).toBe(0);
    expect(await cohort(["deny", approval.approval])).toMatchObject({ status: 255, stderr: expect.stringContaining(approval.approval) });
    expect(text(await cohort(["approvals"]))).toBe("");
  });

  it("what is denied is told with its reason, and --grant and --deny answer without a question", async () => {
    const running = start(["map", "-q", "--shell", "--", ask(data), ":::", "x"]);
    const { approval } = await asked();
    await cohort(["deny", approval, "--reason", "not today"]);
    const { stderr, ...rest } = await running.ended();
    expect([rest, stderr.replace(SAID, "")]).toEqual([{ status: 1, stdout: "" }, "cohort-child: denied: not today\n"]);
    const granted = await cohort(["map", "-q", "--grant", data, "--shell", "--", ask(data), ":::", "x"]);
    expect(granted).toEqual({ status: 0, stdout: "from the person\n", stderr: "" });
    const denied = await cohort(["map", "-q", "--grant", data, "--deny", data, "--shell", "--", ask(data), ":::", "x"]);
    expect([denied.status, denied.stderr]).toEqual([1, expect.stringContaining("cohort-child: denied")]);
    expect(await cohort(["map", "--grant", "nowhere:rw", "--", "true", ":::", "x"])).toMatchObject({
      status: 255,
      stderr: expect.stringMatching(/--grant nowhere:rw: .*nowhere does not exist/),
    });
  });

  it("a living child is given a directory, and loses it: whoever holds on to it is killed, and told of", async () => {
    const script =
      ": {}; until [ -e ~/mnt/data/fixture ]; do sleep 0.05; done; exec 9< ~/mnt/data/fixture; echo held > $COHORT_OUT/held; sleep 60";
    const running = start(["map", "-q", "--no-output", "--shell", "--", script, ":::", "x"]);
    const name = await child();
    const given = await cohort(["grant", name.slice(0, -1), data, "--ttl", "10m", "--reason", "a look"]);
    const grant = given.stdout.trim();
    expect([given.status, given.stderr]).toEqual([0, expect.stringContaining(`may read ${data} for 10m, as ~/mnt/data`)]);
    const table = text(await cohort(["grants"]));
    expect(table).toMatch(/^GRANT +MODE +STATE +LEFT +CHILD +PATH\n/);
    expect(table).toMatch(new RegExp(`${grant} +ro +active +(9m5\\ds|10m00s) +${name} +${data}`));
    await eventually(
      async () => (await cohort(["shell", name, "--", "/bin/sh", "-c", "cat out/held"])).stdout === "held\n",
      "a holder",
      WAIT_MS,
    );
    const revoked = await cohort(["revoke", grant]);
    expect(revoked.stderr).toContain(`${grant}: taking ${data} from ${name}: a process that holds on to it is killed`);
    expect(revoked.stderr).toMatch(new RegExp(`${grant}: taken back; (\\d+ process|its child)`));
    expect((await cohort(["revoke", grant])).stderr).toContain("had ended already: revoked");
    expect((await json<{ grants: GrantSummary[] }>(["grants", "--all", "--json"])).grants[0]).toMatchObject({ grant, end: "revoked" });
    await cohort(["cancel", "@", "--kill"]);
    await running.ended();
  });

  it("what a child changed in a staged directory is shown, tried, applied in part and whole, or thrown away", async () => {
    mkdirSync(join(data, ".git"));
    chownSync(join(data, ".git"), home.account.uid, home.account.gid);
    own(join(data, "old"), "old\n");
    const script = ": {}; cd ~/mnt/data; echo changed > fixture; rm old; mkdir new; echo n > new/file; echo x > .git/config";
    expect((await cohort(["map", "-q", "--no-cwd", "--staged", data, "--shell", "--", script, ":::", "x"])).status).toBe(0);
    const shown = text(await cohort(["diff", "@"]));
    expect(shown).toContain(`${data}: `);
    expect(shown).toMatch(/~ +8 B {2}fixture\n/);
    expect(shown).toMatch(/- +old\n/);
    expect(shown).toMatch(/\.git\/config {2}\(protected\)/);
    expect(text(await cohort(["diff", "@", "--patch"]))).toContain("+changed");
    const tried = await cohort(["apply", "@", "--dry-run"]);
    expect([tried.status, tried.stderr]).toEqual([
      1,
      expect.stringMatching(
        /^cohort: \S+: 4 changes would be applied to \S+ \(nothing was written\); 1 change left out:\n.*✗ \.git\/config: protected/,
      ),
    ]);
    expect(readFileSync(join(data, "fixture"), "utf8")).toBe("from the person\n");
    // What the trial says is what happens then.
    for (const only of ["new", "./new/", join(data, "new")]) {
      const part = await cohort(["apply", "@", "--only", only, "--dry-run"]);
      expect([part.status, text(part).match(/new(\/file)?$/gm)]).toEqual([0, ["new/file"]]);
      expect(part.stderr).toMatch(/^cohort: \S+: 2 changes would be applied to \S+ \(nothing was written\)\n$/);
    }
    for (const rest of [["--dry-run"], []])
      expect(await cohort(["apply", "@", "--only", "absent", ...rest])).toMatchObject({
        status: 255,
        stderr: expect.stringContaining('nothing changed at "absent"'),
      });
    const part = await cohort(["apply", "@", "--only", "new"]);
    expect([part.status, part.stderr]).toEqual([0, expect.stringMatching(/: 2 changes applied to \S+\n$/)]);
    expect([existsSync(join(data, "new/file")), existsSync(join(data, "old"))]).toEqual([true, true]);
    const applied = await cohort(["apply", "@"]);
    expect(applied.status).toBe(1);
    expect(applied.stderr).toMatch(/✗ \.git\/config: protected/);
    expect(readFileSync(join(data, "fixture"), "utf8")).toBe("changed\n");
    expect([existsSync(join(data, "old")), existsSync(join(data, ".git/config"))]).toEqual([false, false]);
    await cohort(["map", "-q", "--no-cwd", "--staged", data, "--shell", "--", ": {}; echo bad > ~/mnt/data/fixture", ":::", "x"]);
    const { grants } = await json<{ grants: GrantSummary[] }>(["grants", "--all", "--json"]);
    const grant = grants.find(({ staged }) => staged === "held")?.grant ?? "";
    const discarded = await cohort(["discard", grant]);
    expect(discarded.stderr).toMatch(/throwing away what the child changed \(1 modified\); .* stays as it is\n.*discarded\n$/);
    expect(readFileSync(join(data, "fixture"), "utf8")).toBe("changed\n");
  });

  it("several grants are taken back each for itself: a bad one keeps none of the others, and ends with 255", async () => {
    const running = start(["map", "-q", "--shell", "--", ": {}; while [ ! -e ~/go ]; do sleep 0.05; done", ":::", "x"]);
    const name = await child();
    const [one, other] = [text(await cohort(["grant", name, data])).trim(), text(await cohort(["grant", name, work, "--as", "w"])).trim()];
    const words = [...cohortWords, "grants"].map((word) => `'${word}'`).join(" ");
    const listed = execFileSync("script", ["-qec", `stty cols 80; ${words}`, "/dev/null"], {
      env: { PATH: process.env["PATH"], HOME: home.directory, COHORT_HOME: home.directory, TERM: "xterm", LANG: "C.UTF-8" },
    })
      .toString()
      .replaceAll("\r", "");
    expect(listed.split("\n").filter((line) => line.length > 80)).toEqual([]);
    expect(listed).toMatch(new RegExp(`^${one} +ro +active +\\S+ +[a-z0-9]{8}/0 +/tmp/.*data$`, "m"));
    const revoked = await cohort(["revoke", "g999999", one, "nonsense!", other]);
    expect(revoked.status).toBe(255);
    expect(revoked.stderr).toContain("no such grant: g999999");
    expect(revoked.stderr).toContain("expected the id of a grant, as g17");
    expect(revoked.stderr).not.toContain("/^");
    expect(revoked.stderr).toMatch(new RegExp(`${one}: taken back\n[^]*${other}: taken back\n$`));
    await cohort(["cancel", "@"]);
    await running.ended();
  });

  it("a run that is followed quietly says once that it waits for an answer", async () => {
    const running = start(["map", "-q", "--shell", "--", ask(data, "--why tests"), ":::", "x"]);
    const { approval } = await asked();
    await eventually(() => running.stderr.includes(SAID), "it says that it waits");
    await cohort(["deny", approval]);
    const ended = await running.ended();
    expect(ended.stderr.split(SAID)).toHaveLength(2);
  });

  it("the logs of a run hold what living tasks wrote so far", async () => {
    const script = "echo from {}; [ {} = 1 ] || { while [ ! -e ~/go ]; do sleep 0.05; done; }";
    const running = start(["map", "-q", "-j2", "--shell", "--", script, ":::", "1", "2"]);
    await eventually(async () => text(await cohort(["logs", "@"])) === "from 1\nfrom 2\n", "both are there", WAIT_MS);
    expect((await cohort(["logs", "@"])).stderr).toMatch(/^cohort: .* goes on; so far it wrote:\n$/);
    await cohort(["cancel", "@"]);
    await running.ended();
  });

  it("a frozen child stands still until it is thawed", async () => {
    const running = start(["map", "-q", "--shell", "--", ": {}; while [ ! -e ~/go ]; do sleep 0.05; done; echo went", ":::", "x"]);
    const name = await child();
    expect((await cohort(["freeze", name])).stderr).toContain(`${name} stands still`);
    expect(text(await cohort(["ps"]))).toMatch(new RegExp(`${name} .* frozen `));
    expect(await cohort(["shell", name, "--", "true"])).toMatchObject({
      status: 255,
      stderr: expect.stringMatching(/the child stands still, and starts nothing.*\n {2}hint: let it go on: cohort thaw CHILD\n/),
    });
    expect((await cohort(["thaw", name])).stderr).toBe(`cohort: ${name} goes on\n`);
    await cohort(["shell", name, "--", "/bin/sh", "-c", "touch ~/go"]);
    expect((await running.ended()).stdout).toBe("went\n");
  });

  it("on a terminal one key answers, and a child that prints a question of its own is asked nothing", async () => {
    const forged = `echo '── a9 ── allow everything? y allow · n deny'; ${ask(data, "--why tests")}`;
    const words = [...cohortWords, "map", "--shell", "--", forged, ":::", "x"].map((word) => `'${word.replaceAll("'", "'\\''")}'`);
    const terminal = spawn("script", ["-qec", `stty rows 30 cols 80; exec ${words.join(" ")}`, "/dev/null"], {
      cwd: work,
      env: { PATH: process.env["PATH"], HOME: home.directory, COHORT_HOME: home.directory, TERM: "xterm", LANG: "C.UTF-8" },
      stdio: ["pipe", "pipe", "ignore"],
    });
    let seen = "";
    terminal.stdout.on("data", (bytes: Buffer) => (seen += bytes.toString()));
    try {
      await eventually(() => seen.includes("y allow · n deny · d details · l later"), "the question", 30_000);
      // Under the finger: too early to be meant.
      terminal.stdin.write("n");
      await new Promise((resolve) => setTimeout(resolve, 800));
      terminal.stdin.write("y");
      await once(terminal, "close", { signal: AbortSignal.timeout(30_000) });
    } finally {
      terminal.kill("SIGKILL");
    }
    expect(terminal.exitCode).toBe(0);
    expect(seen).toMatch(/cohort: a\d+: [a-z-]+ may read \/tmp\/\S+ for 30m \(g\d+\)/);
    expect(seen).toMatch(/(changed|from the person)\r\n/);
    expect(seen).toMatch(/─ a\d+ ──/);
  });
});
