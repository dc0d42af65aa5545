/** `cohort learn`: what a command missed, as a task file that shows no more than that. */
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, OwnHome, ownHomeUnavailable } from "../daemon/own-home.ts";
import { CohortProcess } from "./cohort-process.ts";
import { namedPaths } from "../../app/cli/learn/evidence.ts";
import { profileOf, type Machine } from "../../app/cli/learn/profile.ts";

const files: Readonly<Record<string, "file" | "directory">> = {
  "/": "directory",
  "/etc/hosts": "file",
  "/home": "directory",
  "/home/me": "directory",
  "/home/me/.bashrc": "file",
  "/home/me/.ssh/id_ed25519": "file",
  "/home/me/.aws": "directory",
  "/home/me/project": "directory",
  "/home/me/project/a/x.c": "file",
  "/home/me/project/b/y.c": "file",
  "/home/me/project/.env": "file",
  "/home/me/many/1/f": "file",
  "/home/me/many/2/f": "file",
  "/home/me/many/3/f": "file",
  "/home/me/many/4/f": "file",
  "/srv/data": "directory",
  "/srv/data/in": "directory",
};
const machine: Machine = { home: "/home/me", look: (path) => files[path] ?? null };

describe("what a command named", () => {
  it("is in its arguments, and in what it said of files that were missing or not writable", () => {
    const output = [
      "cat: /home/me/project/a/x.c: No such file or directory",
      "FileNotFoundError: [Errno 2] No such file or directory: '/srv/data/in'",
      "a path that was only printed: /home/me/elsewhere",
      "sh: 1: cannot create /srv/out: Read-only file system",
      "Error: ENOENT: no such file or directory, open '/home/me/b.json'",
    ].join("\n");
    expect(namedPaths(["tool", "--in=/srv/data", "/home/me/project", "relative/x"], output)).toEqual([
      { path: "/srv/data", access: "read" },
      { path: "/home/me/project", access: "read" },
      { path: "/home/me/project/a/x.c", access: "read" },
      { path: "/srv/data/in", access: "read" },
      { path: "/srv/out", access: "write" },
      { path: "/home/me/b.json", access: "read" },
    ]);
  });

  it("is read in bounded time from output that is hostile", () => {
    const output = `${"/".repeat(200_000)}: no such file\n${"'/a".repeat(100_000)} not found\n`.repeat(3);
    const beganAtMs = performance.now();
    expect(namedPaths([], output).length).toBeLessThanOrEqual(2000);
    expect(performance.now() - beganAtMs).toBeLessThan(1000);
  });
});

describe("the least profile", () => {
  const learn = (...paths: string[]) =>
    profileOf(
      paths.map((path) => ({ path, access: "read" as const })),
      machine,
    );

  it("shows the directories of what stands on this machine, each once", () => {
    expect(learn("/home/me/project/a/x.c", "/srv/data/in", "/srv/data", "/nowhere/at/all")).toEqual({
      mounts: [
        { path: "/home/me/project/a", mode: "ro" },
        { path: "/srv/data", mode: "ro" },
      ],
      withheld: [],
    });
  });

  it("stages what was to be written, and asks for nothing in place of it", () => {
    expect(
      profileOf(
        [
          { path: "/srv/data/in", access: "write" },
          { path: "/srv/data", access: "read" },
        ],
        machine,
      ).mounts,
    ).toEqual([{ path: "/srv/data", mode: "staged" }]);
  });

  it("shows one directory for many neighbours, but never the home directory, / or what contains them", () => {
    expect(learn("/home/me/many/1/f", "/home/me/many/2/f", "/home/me/many/3/f", "/home/me/many/4/f").mounts).toEqual([
      { path: "/home/me/many", mode: "ro" },
    ]);
    expect(learn("/home/me", "/home", "/", "/home/me/.bashrc")).toEqual({
      mounts: [{ path: "/home/me/.bashrc", mode: "ro" }],
      withheld: [
        { path: "/home/me", why: "too much" },
        { path: "/home", why: "too much" },
        { path: "/", why: "too much" },
      ],
    });
  });

  it("lists secrets and parts of the system, and proposes none", () => {
    expect(learn("/home/me/.ssh/id_ed25519", "/home/me/.aws", "/home/me/project/.env", "/etc/hosts")).toEqual({
      mounts: [],
      withheld: [
        { path: "/home/me/.ssh/id_ed25519", why: "secret" },
        { path: "/home/me/.aws", why: "secret" },
        { path: "/home/me/project/.env", why: "secret" },
        { path: "/etc/hosts", why: "system" },
      ],
    });
  });
});

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

describe.skipIf(ownHomeUnavailable !== null)("cohort learn", { timeout: 90_000 }, () => {
  let home: OwnHome;
  let work = "";
  let data = "";
  beforeAll(() => {
    home = OwnHome.make();
    const directory = home.personDirectory();
    chmodSync(directory, 0o755);
    [work = "", data = ""] = ["work", "data"].map((name) => join(directory, name));
    for (const one of [work, data]) {
      mkdirSync(one);
      chownSync(one, home.account.uid, home.account.gid);
    }
    writeFileSync(join(data, "input"), "x\n");
  });
  afterAll(() => home.end(), 60_000);
  const cohort = (args: readonly string[], input = ""): Promise<{ status: number | null; stdout: string; stderr: string }> =>
    new CohortProcess(args, { home: home.directory, cwd: work, input }).ended();

  it("proposes what a command missed as a task file that is valid, and that makes the command succeed", async () => {
    const script = `cat ${data}/input || cat ~/mnt/data/input; echo out > made; python3 -c "import socket; socket.socket()"`;
    const learned = await cohort(["learn", "--", "sh", "-c", script]);
    expect([learned.status, learned.stderr]).toEqual([0, expect.stringMatching(/^cohort: it ended as failed; cohort logs /u) as string]);
    expect(learned.stdout).toContain(`{ path: "${data}", as: "data", mode: ro }`);
    expect(learned.stdout).toContain(`{ path: "${work}", as: "work", mode: ro }`);
    expect(learned.stdout).toMatch(/# {3}1 .{1,2} socket\(AF_INET, SOCK_STREAM\) by python3\n/u);
    const checked = await cohort(["run", "-", "--check"], learned.stdout);
    expect([checked.status, checked.stderr]).toEqual([0, "cohort: 1 task, no problem found\n"]);
    const run = await cohort(["run", "-", "-q"], learned.stdout);
    expect(run.stdout).toBe("x\n");
    const again = await cohort(["learn", /cohort logs (?<run>\w+)/u.exec(learned.stderr)?.groups?.["run"] ?? ""]);
    expect(again.stdout).toContain(`{ path: "${data}", as: "data", mode: ro }`);
    expect((await cohort(["run", "-", "--check"], again.stdout)).status).toBe(0);
  });

  it("cancels what it runs on Ctrl-C, and ends when nothing of it runs any more", async () => {
    const sleeping = (): number =>
      readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && commandOf(pid) === ["sleep", "6271", ""].join("\0")).length;
    const learning = new CohortProcess(["learn", "--", "sleep", "6271"], { home: home.directory, cwd: work });
    await eventually(() => sleeping() === 1, "it runs", 30_000);
    learning.signal("SIGINT");
    const ended = await learning.ended();
    expect([ended.status, ended.stdout, sleeping()]).toEqual([130, "", 0]);
    expect(ended.stderr).toMatch(
      /^cohort: cancelling: .*\ncohort: it was cancelled, and nothing of it runs any more; cohort learn \w+ proposes from what it wrote\n$/,
    );
  });
});
