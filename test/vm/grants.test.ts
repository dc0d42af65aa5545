/** Grants to a sandbox that stands: attached, ended with proof, staged, copied. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { isCohortError } from "../../runtime/kernel/error.ts";
import type { GrantPlan } from "../../vm/backend.ts";
import { limits, SandboxBench } from "./sandbox-bench.ts";
import { asPerson, PERSON_UID, wardenUnavailable } from "./warden-process.ts";

const TITLE = `a grant${wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`}`;
const MIB = 1024 * 1024;
const nobody = { processesKilled: 0, childKilled: false };

describe.skipIf(wardenUnavailable !== null)(TITLE, () => {
  let bench: SandboxBench;

  beforeAll(async () => {
    bench = await SandboxBench.start();
  });

  afterEach(async () => {
    for (const { name } of await bench.vm.list()) await bench.destroy(name);
  });

  afterAll(async () => {
    await bench?.stop();
  });

  let directories = 0;
  /** Of the person, with one file in it. */
  function shared(): string {
    directories += 1;
    const path = bench.warden.personDirectory(`granted-${directories}`);
    asPerson(() => writeFileSync(join(path, "file"), "content\n"));
    return path;
  }

  function plan(source: string, changes: Partial<GrantPlan> = {}): GrantPlan {
    const mode = changes.mode ?? "ro";
    return { grantId: 17, source, target: "data", mode, ttlMs: 0, stagedBytes: mode === "staged" ? 4 * MIB : 0, ...changes };
  }

  async function refusal(action: Promise<unknown>): Promise<string> {
    try {
      await action;
    } catch (error) {
      if (!isCohortError(error)) throw error;
      return /(MOUNT|LIMIT|SANDBOX|NAME|SETUP)_[A-Z_]+/.exec(error.message)?.[0] ?? error.code;
    }
    return "granted";
  }

  describe("for reading", () => {
    test("appears in a running child, as the child's own, and cannot be written", async () => {
      const source = shared();
      const name = await bench.sandbox();
      expect((await bench.sh(name, "ls mnt")).stdout).toBe("");
      const granted = await bench.vm.grant(name, plan(source));
      expect(granted).toMatchObject({ copied: false, protectionPartial: false });
      const seen = await bench.sh(name, "cat mnt/data/file; test -O mnt/data/file && echo mine; echo x > mnt/data/file");
      expect(seen.stdout).toBe("content\nmine\n");
      expect(seen.stderr).toContain("Read-only");
    });

    test("is answered as the first time when it is asked for again, and attached once", async () => {
      const source = shared();
      const name = await bench.sandbox();
      const first = await bench.vm.grant(name, plan(source));
      renameSync(source, `${source}-moved`);
      expect(await bench.vm.grant(name, plan(source))).toEqual(first);
      const both = await Promise.all([18, 18].map((grantId) => bench.vm.grant(name, plan(shared(), { grantId, target: "twice" }))));
      expect(both[0]).toEqual(both[1]);
      expect((await bench.sh(name, "grep -c /mnt/ /proc/self/mountinfo; ls mnt")).stdout).toBe("2\ndata\ntwice\n");
    });

    test("is gone with its mount point after its end, which is told, and is not brought back by its id", async () => {
      const source = shared();
      const name = await bench.sandbox();
      await bench.vm.grant(name, plan(source));
      expect(await bench.vm.revoke(name, 17)).toEqual(nobody);
      expect((await bench.sh(name, "ls -A mnt; grep -c /mnt/ /proc/self/mountinfo")).stdout).toBe("0\n");
      expect(bench.events.grantEnds).toContainEqual({ name, grantId: 17, reason: "revoked", ...nobody });
      expect(await bench.vm.revoke(name, 17)).toEqual(nobody);
      expect(await refusal(bench.vm.grant(name, plan(source)))).toBe("GRANT_ENDED");
      await bench.vm.grant(name, plan(source, { grantId: 18 }));
      expect((await bench.sh(name, "cat mnt/data/file")).stdout).toBe("content\n");
    });

    test("may be a file", async () => {
      const source = shared();
      const name = await bench.sandbox();
      await bench.vm.grant(name, plan(join(source, "file"), { target: "one" }));
      expect((await bench.sh(name, "cat mnt/one; ls mnt")).stdout).toBe("content\none\n");
      expect(await bench.vm.revoke(name, 17)).toEqual(nobody);
      expect((await bench.sh(name, "ls mnt")).stdout).toBe("");
    });
  });

  describe("that was never, or whose sandbox is dead", () => {
    test("is revoked without a word", async () => {
      const name = await bench.sandbox();
      expect(await bench.vm.revoke(name, 99)).toEqual(nobody);
      expect(await bench.vm.revoke("nobody-knows-me", 17)).toEqual(nobody);
      await bench.vm.grant(name, plan(shared()));
      await bench.vm.kill(name);
      await bench.events.until("its death", () => bench.events.deaths.some((death) => death.name === name));
      expect(await bench.vm.revoke(name, 17)).toEqual(nobody);
      expect(await refusal(bench.vm.grant(name, plan(shared(), { grantId: 18 })))).toMatch(/SANDBOX_DEAD|NAME_UNKNOWN/);
      expect(await refusal(bench.vm.grant("nobody-knows-me", plan(shared())))).toBe("NAME_UNKNOWN");
    });
  });

  describe("is refused", () => {
    test("when its target is taken or is no plain name, and then nothing of it is left", async () => {
      const name = await bench.sandbox();
      await bench.vm.grant(name, plan(shared()));
      for (const target of ["data", "../up", "a/b", ".hidden", ".staged"])
        expect([target, await refusal(bench.vm.grant(name, plan(shared(), { grantId: 18, target })))]).toEqual([
          target,
          "MOUNT_TARGET_INVALID",
        ]);
      expect(await refusal(bench.vm.grant(name, plan(shared(), { grantId: 18, mode: "staged" })))).toBe("MOUNT_TARGET_INVALID");
      expect((await bench.sh(name, "ls -A mnt")).stdout.split("\n")).toContain("data");
      expect((await bench.sh(name, "cat mnt/data/file")).stdout).toBe("content\n");
    });

    test("for what the person cannot open, for links, submounts and kernel file systems", async () => {
      const source = shared();
      const name = await bench.sandbox();
      mkdirSync(join(source, "private"), { mode: 0o700 });
      symlinkSync("/etc", join(source, "link"));
      const sources = [
        "/root",
        join(source, "private"),
        join(source, "missing"),
        join(source, "link"),
        join(source, "link/ssl"),
        "/",
        "/proc",
        "/dev/null",
      ];
      const refusals = await Promise.all(
        sources.map((path, at) => refusal(bench.vm.grant(name, plan(path, { grantId: 17 + at, target: `t${at}` })))),
      );
      expect(refusals).toEqual([
        "MOUNT_SOURCE_UNREADABLE",
        "MOUNT_SOURCE_UNREADABLE",
        "MOUNT_SOURCE_UNREADABLE",
        "MOUNT_SOURCE_LINK",
        "MOUNT_SOURCE_LINK",
        "MOUNT_SOURCE_SUBMOUNTS",
        expect.stringMatching(/^MOUNT_/),
        expect.stringMatching(/^MOUNT_SOURCE_(TYPE|UNREADABLE)/),
      ]);
      expect((await bench.sh(name, "ls -A mnt")).stdout).toBe("");
    });

    test("taken back before it arrived never arrives", async () => {
      const name = await bench.sandbox();
      const granted = refusal(bench.vm.grant(name, plan(shared())));
      expect(await bench.vm.revoke(name, 17)).toEqual(nobody);
      // Either it came first and was taken back, or it came too late.
      expect(["", "GRANT_ENDED"]).toContain(await granted);
      expect((await bench.sh(name, "ls mnt")).stdout).toBe("");
    });

    test("beyond 128 at a time; a hundred and more are possible", { timeout: 60_000 }, async () => {
      const source = shared();
      const name = await bench.sandbox();
      for (let at = 0; at < 128; at += 1) await bench.vm.grant(name, plan(source, { grantId: 17 + at, target: `t${at}` }));
      expect(await refusal(bench.vm.grant(name, plan(source, { grantId: 500, target: "more" })))).toBe("LIMIT_GRANTS");
      expect((await bench.sh(name, "cat mnt/t0/file mnt/t127/file; ls mnt | wc -l")).stdout).toBe("content\ncontent\n128\n");
      expect((await bench.vm.probe(name)).outside).toEqual(expect.arrayContaining(["no-setuid-gain", "root-read-only", "proc-masked"]));
      const ends = await Promise.all(Array.from({ length: 128 }, (_, at) => bench.vm.revoke(name, 17 + at)));
      expect(ends).toEqual(Array.from({ length: 128 }, () => nobody));
      expect((await bench.sh(name, "ls -A mnt")).stdout).toBe("");
      await bench.vm.grant(name, plan(source, { grantId: 501 }));
    });
  });

  describe("that expires", () => {
    test("ends by the warden's own clock, also while nobody is connected and while the child is frozen, and is told later", async () => {
      const source = shared();
      const name = await bench.sandbox();
      await bench.vm.grant(name, plan(source, { ttlMs: 300, mode: "rw" }));
      await bench.vm.freeze(name);
      const before = bench.events.grantEnds.length;
      bench.disconnect();
      await new Promise((resolve) => setTimeout(resolve, 900));
      await bench.connect();
      await bench.vm.list();
      const end = await bench.events.until("the end of the grant", () =>
        bench.events.grantEnds.slice(before).find((one) => one.name === name),
      );
      expect(end).toEqual({ name, grantId: 17, reason: "expired", ...nobody });
      await bench.vm.thaw(name);
      expect((await bench.sh(name, "ls mnt")).stdout).toBe("");
    });
  });

  describe("of the creation", () => {
    test("has its place in the plan as its id, and is revoked like any other", async () => {
      const [first, second] = [shared(), shared()];
      const name = await bench.sandbox({
        mounts: [
          { source: first, target: "first", mode: "ro" },
          { source: second, target: "second", mode: "staged", stagedBytes: MIB },
        ],
      });
      expect((await bench.sh(name, "echo x > mnt/second/new; ls mnt/first mnt/second")).stdout).toContain("new");
      expect(await bench.vm.revoke(name, 2)).toEqual(nobody);
      expect((await bench.sh(name, "ls mnt")).stdout).toBe("first\n");
      expect(await bench.vm.revoke(name, 1)).toEqual(nobody);
    });

    test("covers the protected names of each", async () => {
      const sources = [shared(), shared()];
      for (const source of sources) asPerson(() => mkdirSync(join(source, ".git")));
      const name = await bench.sandbox({ mounts: sources.map((source, at) => ({ source, target: `t${at}`, mode: "rw" as const })) });
      const { stdout } = await bench.sh(name, "for t in t0 t1; do echo x > mnt/$t/new; echo x > mnt/$t/.git/config || echo no; done");
      expect(stdout).toBe("no\nno\n");
      expect(sources.map((source) => [existsSync(join(source, "new")), existsSync(join(source, ".git/config"))])).toEqual([
        [true, false],
        [true, false],
      ]);
    });
  });

  describe("for writing", () => {
    test("keeps the protected names that exist as they are, wherever they stand and however its parents are renamed", async () => {
      const source = shared();
      asPerson(() => {
        mkdirSync(join(source, "a/b/.git/hooks"), { recursive: true });
        mkdirSync(join(source, ".VSCode"));
        writeFileSync(join(source, ".bashrc"), "# mine\n");
        writeFileSync(join(source, "a/b/.git/config"), "[core]\n");
      });
      const name = await bench.sandbox();
      expect(await bench.vm.grant(name, plan(source, { mode: "rw" }))).toMatchObject({ protectionPartial: false });
      const attempts = [
        "echo x > mnt/data/.bashrc",
        "echo x > mnt/data/.VSCode/tasks.json",
        "echo x > mnt/data/a/b/.git/hooks/post-commit",
        "echo x > mnt/data/a/b/.git/config",
        "mv mnt/data/a/b/.git mnt/data/a/b/git",
        "rm -rf mnt/data/a/b/.git",
        "mv mnt/data/a mnt/data/z && echo x > mnt/data/z/b/.git/config",
        "rm mnt/data/.bashrc",
        "mv mnt/data/file mnt/data/.bashrc",
      ];
      for (const attempt of attempts) expect([attempt, (await bench.sh(name, attempt)).exit.code === 0]).toEqual([attempt, false]);
      expect(readFileSync(join(source, "z/b/.git/config"), "utf8")).toBe("[core]\n");
      expect(readFileSync(join(source, ".bashrc"), "utf8")).toBe("# mine\n");
      expect((await bench.sh(name, "echo y > mnt/data/z/b/other")).exit.code).toBe(0);
      expect(await bench.vm.revoke(name, 17)).toEqual(nobody);
      expect((await bench.sh(name, "ls -A mnt; grep -c /mnt/ /proc/self/mountinfo")).stdout).toBe("0\n");
    });

    test("says when it could not cover every protected name", async () => {
      const source = shared();
      asPerson(() => symlinkSync("file", join(source, ".npmrc")));
      const name = await bench.sandbox();
      expect(await bench.vm.grant(name, plan(source, { mode: "rw" }))).toMatchObject({ protectionPartial: true });
    });

    test("of directories with a set-group-id bit, hard links and several owners gives what is the person's own, and never more", async () => {
      const source = shared();
      for (const [directory, gid] of [
        ["own", PERSON_UID],
        ["team", 54_321],
      ] as const) {
        mkdirSync(join(source, directory));
        chownSync(join(source, directory), PERSON_UID, gid);
        chmodSync(join(source, directory), 0o2775);
      }
      writeFileSync(join(source, "of-root"), "secret\n", { mode: 0o600 });
      asPerson(() => linkSync(join(source, "file"), join(source, "linked")));
      const name = await bench.sandbox();
      await bench.vm.grant(name, plan(source, { mode: "rw" }));
      const script =
        "cd mnt/data; echo a > own/new; mkdir own/sub; stat -c %a own/sub; echo b > team/new; cat of-root; ln of-root taken; echo more >> linked; stat -c '%u %g' of-root";
      const { stdout } = await bench.sh(name, script);
      expect(stdout).toBe("2755\n65534 65534\n");
      // The kernel writes nothing whose owner or group the mount does not map: what belongs to a team is for reading only.
      expect([existsSync(join(source, "own/new")), existsSync(join(source, "team/new")), existsSync(join(source, "taken"))]).toEqual([
        true,
        false,
        false,
      ]);
      expect([statSync(join(source, "own/new")).uid, statSync(join(source, "own/new")).gid]).toEqual([PERSON_UID, PERSON_UID]);
      expect(readFileSync(join(source, "file"), "utf8")).toBe("content\nmore\n");
    });
  });

  describe("that is nested in another", () => {
    test("is a mount of its own: the end of one, or of its parent's, leaves the other", async () => {
      const source = shared();
      asPerson(() => mkdirSync(join(source, "inner")));
      const name = await bench.sandbox();
      await bench.vm.grant(name, plan(source, { target: "outer", mode: "ro" }));
      await bench.vm.grant(name, plan(join(source, "inner"), { grantId: 18, target: "inner", mode: "rw" }));
      await bench.vm.grant(name, plan(source, { grantId: 19, target: "again", mode: "rw" }));
      expect((await bench.sh(name, "echo x > mnt/inner/new && cat mnt/outer/inner/new; echo y > mnt/outer/inner/no")).stdout).toBe("x\n");
      await bench.start(name, ["/bin/sh", "-c", "cd mnt/inner && exec sleep 60"]);
      expect(await bench.vm.revoke(name, 17)).toEqual(nobody);
      expect(await bench.vm.revoke(name, 19)).toEqual(nobody);
      expect((await bench.sh(name, "ls mnt/inner")).stdout).toBe("new\n");
      expect(await bench.vm.revoke(name, 18)).toEqual({ processesKilled: 1, childKilled: false });
    });
  });

  describe("that is staged", () => {
    test("keeps what the child does to itself, shows both layers read-only, and lets a directory be renamed", async () => {
      const source = shared();
      asPerson(() => mkdirSync(join(source, "dir/deep"), { recursive: true }));
      const name = await bench.sandbox();
      await bench.vm.grant(name, plan(source, { mode: "staged" }));
      const script =
        "cd mnt/data && echo changed > file && echo new > new && mv dir moved && test -O file && cat file ../.staged/data/lower/file ../.staged/data/upper/file";
      expect((await bench.sh(name, script)).stdout).toBe("changed\ncontent\nchanged\n");
      const views = await bench.sh(
        name,
        "echo x > mnt/.staged/data/lower/file; echo x > mnt/.staged/data/upper/file; ls mnt/.staged/data; ls mnt/.staged/data/upper",
      );
      expect(views.stdout).toBe("lower\nupper\ndir\nfile\nmoved\nnew\n");
      expect(views.stderr.match(/Read-only/g)).toHaveLength(2);
      expect(readFileSync(join(source, "file"), "utf8")).toBe("content\n");
      expect(existsSync(join(source, "new"))).toBe(false);
    });

    test("is full at its own size, with ENOSPC, and gives its memory back at its end", async () => {
      const name = await bench.sandbox({ limits: { ...limits, memoryBytes: 64 * MIB } });
      await bench.vm.grant(name, plan(shared(), { mode: "staged", stagedBytes: 32 * MIB }));
      const full = await bench.sh(name, "head -c 64M /dev/zero > mnt/data/big; ls -l mnt/data/big | cut -d' ' -f5");
      expect(full.stderr).toContain("No space left");
      expect(Number(full.stdout)).toBeGreaterThan(30 * MIB);
      expect(full.exit.oomKilled).toBe(false);
      const before = (await bench.vm.stats(name)).memoryBytes;
      expect(await bench.vm.revoke(name, 17)).toEqual(nobody);
      expect(before - (await bench.vm.stats(name)).memoryBytes).toBeGreaterThan(20 * MIB);
      expect((await bench.vm.probe(name)).outside).toContain("cgroup-limits");
      expect((await bench.sh(name, "ls -A mnt mnt/.staged; grep -c /mnt/ /proc/self/mountinfo")).stdout).toContain("\n0\n");
    });

    test("is cut on all of its three mounts at its end", async () => {
      const name = await bench.sandbox();
      await bench.vm.grant(name, plan(shared(), { mode: "staged" }));
      for (const where of ["mnt/data", "mnt/.staged/data/lower", "mnt/.staged/data/upper"])
        await bench.start(name, ["/bin/sh", "-c", `cd ${where} && exec sleep 60`]);
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(await bench.vm.revoke(name, 17)).toEqual({ processesKilled: 3, childKilled: false });
    });

    test("cannot be a file", async () => {
      const name = await bench.sandbox();
      expect(await refusal(bench.vm.grant(name, plan(join(shared(), "file"), { mode: "staged" })))).toBe("MOUNT_SOURCE_TYPE");
    });
  });

  describe("of a file system that cannot be idmapped", () => {
    let overlay = "";

    beforeAll(() => {
      const base = bench.warden.personDirectory("overlay");
      for (const part of ["lower", "upper", "work", "merged"]) asPerson(() => mkdirSync(join(base, part)));
      asPerson(() => {
        mkdirSync(join(base, "lower/dir"));
        writeFileSync(join(base, "lower/dir/file"), "content\n", { mode: 0o640 });
        symlinkSync("dir/file", join(base, "lower/link"));
      });
      writeFileSync(join(base, "lower/of-root"), "secret\n", { mode: 0o600 });
      overlay = join(base, "merged");
      execFileSync("mount", [
        "-t",
        "overlay",
        "overlay",
        "-o",
        `lowerdir=${base}/lower,upperdir=${base}/upper,workdir=${base}/work`,
        overlay,
      ]);
    });

    afterAll(() => {
      execFileSync("umount", [overlay]);
    });

    test("is a copy of what the person can read, and says so", async () => {
      const name = await bench.sandbox();
      expect(await bench.vm.grant(name, plan(overlay))).toMatchObject({ copied: true, copyPartial: true });
      const seen = await bench.sh(name, "cd mnt/data; ls; cat link; stat -c %a dir/file; test -O dir/file && echo mine; echo x > new");
      expect(seen.stdout).toBe("dir\nlink\ncontent\n640\nmine\n");
      expect(seen.stderr).toContain("Read-only");
      expect(await bench.vm.grant(name, plan(join(overlay, "dir/file"), { grantId: 18, target: "one" }))).toMatchObject({ copied: true });
      expect((await bench.sh(name, "cat mnt/one")).stdout).toBe("content\n");
      expect(await bench.vm.revoke(name, 17)).toEqual(nobody);
      expect(await bench.vm.revoke(name, 18)).toEqual(nobody);
    });

    test("can be staged over the copy, and is refused for writing", async () => {
      const name = await bench.sandbox();
      expect(await bench.vm.grant(name, plan(overlay, { mode: "staged" }))).toMatchObject({ copied: true });
      expect((await bench.sh(name, "echo changed > mnt/data/dir/file; cat mnt/data/link mnt/.staged/data/lower/link")).stdout).toBe(
        "changed\ncontent\n",
      );
      expect(await refusal(bench.vm.grant(name, plan(overlay, { mode: "rw", grantId: 18, target: "w" })))).toBe("GRANT_FS_UNSUPPORTED");
    });

    test("is charged with all other copies to a cgroup of their own, and refused when there is no room in it for one more", async () => {
      const [cgroup = ""] = execFileSync("find", [
        "/sys/fs/cgroup",
        "-type",
        "d",
        "-path",
        `*cohort.${bench.vm.identity.wardenId.slice(0, 16)}/copies`,
      ])
        .toString()
        .split("\n")
        .filter((path) => ["memory.limit_in_bytes", "memory.max"].some((file) => existsSync(join(path, file))));
      const file = (v1: string, v2: string): string => join(cgroup, existsSync(join(cgroup, v1)) ? v1 : v2);
      const used = (): number => Number(readFileSync(file("memory.usage_in_bytes", "memory.current"), "utf8"));
      asPerson(() => writeFileSync(join(overlay, "some"), Buffer.alloc(20 * MIB, 1)));
      const name = await bench.sandbox();
      await bench.vm.grant(name, plan(overlay));
      expect(used()).toBeGreaterThanOrEqual(20 * MIB);
      const memory = (await bench.vm.stats(name)).memoryBytes;
      expect(memory).toBeLessThan(20 * MIB);
      const limit = file("memory.limit_in_bytes", "memory.max");
      const before = readFileSync(limit, "utf8").trim();
      writeFileSync(limit, String(32 * MIB));
      try {
        await expect(bench.vm.grant(name, plan(overlay, { grantId: 18, target: "other" }))).rejects.toThrow(/no room for one copy more/);
        await bench.vm.revoke(name, 17);
        await bench.vm.grant(name, plan(overlay, { grantId: 19, target: "third" }));
      } finally {
        writeFileSync(limit, before);
        rmSync(join(overlay, "some"));
      }
      await bench.destroy(name);
      expect(used()).toBeLessThan(20 * MIB);
    });

    test("is refused when the copy would be beyond its bounds", async () => {
      asPerson(() => execFileSync("truncate", ["-s", "513M", join(overlay, "big")]));
      const name = await bench.sandbox();
      expect(await refusal(bench.vm.grant(name, plan(overlay)))).toBe("GRANT_FS_UNSUPPORTED");
      rmSync(join(overlay, "big"));
    });
  });
});
