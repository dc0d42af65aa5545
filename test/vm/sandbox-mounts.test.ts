/** Directories of the person in a sandbox, and the limits of what a child may use. */
import { chownSync, chmodSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { isCohortError } from "../../runtime/kernel/error.ts";
import { SandboxBench } from "./sandbox-bench.ts";
import { asPerson, PERSON_UID, wardenUnavailable } from "./warden-process.ts";

const TITLE = `the host backend${wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`}`;

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
    const path = bench.warden.personDirectory(`shared-${directories}`);
    asPerson(() => writeFileSync(join(path, "file"), "content\n", { mode: 0o600 }));
    return path;
  }

  async function refusal(source: string, target = "data"): Promise<string> {
    try {
      await bench.sandbox({ mounts: [{ source, target, mode: "ro" }] });
    } catch (error) {
      if (isCohortError(error, "MOUNT_REFUSED")) return /MOUNT_[A-Z_]+/.exec(error.message)?.[0] ?? error.message;
      return String(error);
    }
    return "mounted";
  }

  describe("a mount", () => {
    test("shows the person's files as the child's own, also those that only the person may read", async () => {
      const source = shared();
      const name = await bench.sandbox({ mounts: [{ source, target: "data", mode: "ro" }] });
      const { stdout } = await bench.sh(name, "cat mnt/data/file; test -O mnt/data/file && echo mine; id -u; stat -c %u mnt/data/file");
      const [content, mine, uid, owner] = stdout.trimEnd().split("\n");
      expect([content, mine, owner]).toEqual(["content", "mine", uid]);
    });

    test("for reading refuses every write", async () => {
      const source = shared();
      const name = await bench.sandbox({ mounts: [{ source, target: "data", mode: "ro" }] });
      const { stdout } = await bench.sh(
        name,
        "for c in 'echo x > mnt/data/new' 'echo x >> mnt/data/file' 'rm mnt/data/file' 'chmod 777 mnt/data/file' 'mkdir mnt/data/d' 'touch mnt/data/file' 'mv mnt/data/file mnt/data/moved'; do sh -c \"$c\" 2>&1 | grep -c 'Read-only'; done",
      );
      expect(stdout).toBe("1\n".repeat(7));
      expect(readFileSync(join(source, "file"), "utf8")).toBe("content\n");
    });

    test("for writing makes files that belong to the person outside", async () => {
      const source = shared();
      const name = await bench.sandbox({ mounts: [{ source, target: "data", mode: "rw" }] });
      expect(
        (await bench.sh(name, "echo new > mnt/data/new && echo more >> mnt/data/file && mkdir mnt/data/d && mv mnt/data/new mnt/data/d/"))
          .exit.code,
      ).toBe(0);
      expect(readFileSync(join(source, "file"), "utf8")).toBe("content\nmore\n");
      expect([statSync(join(source, "d/new")).uid, statSync(join(source, "d")).uid]).toEqual([PERSON_UID, PERSON_UID]);
    });

    test("sees what the person writes later, and two sandboxes share it", async () => {
      const source = shared();
      const mounts = [{ source, target: "data", mode: "rw" as const }];
      const [first, second] = [await bench.sandbox({ mounts }), await bench.sandbox({ mounts })];
      asPerson(() => writeFileSync(join(source, "later"), "later\n"));
      await bench.sh(first, "cat mnt/data/later > mnt/data/copy");
      expect((await bench.sh(second, "cat mnt/data/copy")).stdout).toBe("later\n");
    });

    test("may be a single file", async () => {
      const source = shared();
      const name = await bench.sandbox({ mounts: [{ source: join(source, "file"), target: "file", mode: "ro" }] });
      expect((await bench.sh(name, "cat mnt/file; ls mnt")).stdout).toBe("content\nfile\n");
    });

    test("of root's files shows them as nobody's, with what others may do", async () => {
      const source = shared();
      writeFileSync(join(source, "of-root"), "secret\n", { mode: 0o600 });
      writeFileSync(join(source, "of-root-open"), "open\n", { mode: 0o644 });
      const name = await bench.sandbox({ mounts: [{ source, target: "data", mode: "rw" }] });
      const { stdout } = await bench.sh(
        name,
        "cat mnt/data/of-root-open; cat mnt/data/of-root 2>&1; echo x 2>&1 >> mnt/data/of-root-open; stat -c %u mnt/data/of-root",
      );
      expect(stdout).toContain("open\n");
      expect(stdout).not.toContain("secret");
      expect(stdout).toContain("65534");
      expect(readFileSync(join(source, "of-root-open"), "utf8")).toBe("open\n");
    });

    test("gives no setuid program a right, whoever made it", async () => {
      const source = shared();
      execFileSync("cp", ["/usr/bin/id", join(source, "suid-id")]);
      chownSync(join(source, "suid-id"), 0, 0);
      chmodSync(join(source, "suid-id"), 0o6755);
      const name = await bench.sandbox({ mounts: [{ source, target: "data", mode: "ro" }] });
      const { stdout } = await bench.sh(name, "mnt/data/suid-id -u; id -u; cat /proc/self/mountinfo | grep -c 'mnt/data.*nosuid.*nodev'");
      const [effective, own, marked] = stdout.trimEnd().split("\n");
      expect([effective, marked]).toEqual([own, "1"]);
    });

    test("cannot be a directory that the person cannot read", async () => {
      const closed = shared();
      chownSync(closed, 0, 0);
      chmodSync(closed, 0o700);
      expect(await refusal(closed)).toBe("MOUNT_SOURCE_UNREADABLE");
      expect(await refusal(join(closed, "file"))).toBe("MOUNT_SOURCE_UNREADABLE");
      expect(await refusal("/etc/shadow")).toBe("MOUNT_SOURCE_UNREADABLE");
      expect(await refusal("/root")).toBe("MOUNT_SOURCE_UNREADABLE");
      expect(await refusal("/no/such/directory")).toMatch(/^MOUNT_SOURCE_/);
    });

    test("cannot go through a symbolic link, as its last component or before", async () => {
      const source = shared();
      symlinkSync(source, `${source}-link`);
      mkdirSync(join(source, "inner"));
      expect(await refusal(`${source}-link`)).toBe("MOUNT_SOURCE_LINK");
      expect(await refusal(`${source}-link/inner`)).toBe("MOUNT_SOURCE_LINK");
      expect(await refusal(`${source}/../${source.split("/").at(-1) ?? ""}`)).toMatch(/^(MOUNT_SOURCE_|mounted)/);
    });

    test("cannot be a device, a FIFO or a kernel file system", async () => {
      const source = shared();
      execFileSync("mkfifo", [join(source, "pipe")]);
      chmodSync(join(source, "pipe"), 0o666);
      expect(await refusal("/dev/null")).toMatch(/^MOUNT_(SOURCE_TYPE|FS_UNSUPPORTED)$/);
      expect(await refusal(join(source, "pipe"))).toBe("MOUNT_SOURCE_TYPE");
      expect(await refusal("/proc")).toMatch(/^MOUNT_/);
      expect(await refusal("/sys")).toMatch(/^MOUNT_/);
    });

    test("cannot have other mounts below it", async () => {
      const source = shared();
      const inner = join(source, "inner");
      mkdirSync(inner);
      execFileSync("mount", ["-t", "tmpfs", "tmpfs", inner]);
      try {
        expect(await refusal(source)).toBe("MOUNT_SOURCE_SUBMOUNTS");
      } finally {
        execFileSync("umount", [inner]);
      }
    });

    test.each(["..", ".", "", "a/b", "x".repeat(200)])("cannot stand at %j", async (target) => {
      expect(await refusal(shared(), target)).toBe("MOUNT_TARGET_INVALID");
    });

    test("cannot stand at a name twice", async () => {
      const source = shared();
      const mounts = [
        { source, target: "same", mode: "ro" as const },
        { source, target: "same", mode: "rw" as const },
      ];
      await expect(bench.sandbox({ mounts })).rejects.toMatchObject({ code: "MOUNT_REFUSED" });
    });

    test("that is refused leaves no sandbox behind", async () => {
      await refusal("/etc/shadow");
      expect((await bench.vm.list()).filter(({ state }) => state !== "dead")).toEqual([]);
    });
  });

  describe("a limit", () => {
    test("of memory kills what goes over it, and says so; the sandbox lives on or dies of it", async () => {
      const name = await bench.sandbox({ limits: { memoryBytes: 32 * 1024 * 1024, diskBytes: 1024 * 1024, tmpBytes: 1024 * 1024 } });
      const { exit } = await bench.sh(name, "head -c 200000000 /dev/zero | tail -c 199999999 > /dev/null");
      expect(exit.oomKilled).toBe(true);
    });

    test("of processes refuses the next one, and is told", async () => {
      const name = await bench.sandbox({ limits: { pidsMax: 12 } });
      const { exit, stderr } = await bench.sh(name, "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do sleep 5 & done; wait");
      expect(stderr).toMatch(/[Cc]annot fork/);
      expect(exit.pidsLimitHit).toBe(true);
      expect((await bench.vm.stats(name)).pidsRefused).toBeGreaterThan(0);
    });

    test("of the session disk and of /tmp is ENOSPC at its size, not an out-of-memory kill", async () => {
      const name = await bench.sandbox({
        limits: { memoryBytes: 16 * 1024 * 1024, diskBytes: 8 * 1024 * 1024, tmpBytes: 4 * 1024 * 1024 },
      });
      const { stdout, exit } = await bench.sh(
        name,
        "for d in . /tmp; do head -c 20000000 /dev/zero > $d/big 2>/dev/null; stat -c %s $d/big; done",
      );
      const [disk, tmp] = stdout.trimEnd().split("\n").map(Number);
      expect(disk).toBeGreaterThan(7_000_000);
      expect(disk).toBeLessThanOrEqual(8 * 1024 * 1024);
      expect(tmp).toBeLessThanOrEqual(4 * 1024 * 1024);
      expect(exit).toMatchObject({ oomKilled: false, cause: "exited" });
    });

    test("of inodes is ENOSPC", async () => {
      const name = await bench.sandbox({ limits: { diskInodes: 100 } });
      const { stdout } = await bench.sh(name, "i=0; while [ $i -lt 300 ] && touch f$i 2>/dev/null; do i=$((i+1)); done; ls | wc -l");
      expect(Number(stdout)).toBeGreaterThan(20);
      expect(Number(stdout)).toBeLessThanOrEqual(100);
    });

    test("of open files holds", async () => {
      const name = await bench.sandbox({ limits: { openFilesMax: 64 } });
      expect((await bench.sh(name, "ulimit -n; ulimit -Hn")).stdout).toBe("64\n64\n");
    });

    test("of processor time throttles", async () => {
      const name = await bench.sandbox({ limits: { cpuPermille: 100 } });
      const { exit } = await bench.sh(name, "i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done");
      expect(exit.wallUs).toBeGreaterThan((exit.userUs + exit.systemUs) * 2);
      expect((await bench.vm.stats(name)).throttledUs).toBeGreaterThan(0);
    });
  });
});
