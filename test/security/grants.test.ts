/** What a child tries to keep of a grant whose end has come, and what is tried while one begins. */
import { execFileSync, spawn } from "node:child_process";
import { copyFileSync, chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { isCohortError } from "../../runtime/kernel/error.ts";
import type { GrantPlan } from "../../vm/backend.ts";
import { asPerson, PERSON_UID, wardenUnavailable } from "../vm/warden-process.ts";
import { EscapeBench } from "./escape-bench.ts";

const TITLE = `after its end, of a grant${wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`}`;
const MIB = 1024 * 1024;

describe.skipIf(wardenUnavailable !== null)(TITLE, () => {
  let escapes: EscapeBench;

  beforeAll(async () => {
    escapes = await EscapeBench.start();
  });

  afterEach(async () => {
    for (const { name } of await escapes.bench.vm.list()) await escapes.bench.destroy(name);
  });

  afterAll(async () => {
    await escapes?.stop();
  });

  let directories = 0;
  function shared(): string {
    directories += 1;
    const path = escapes.bench.warden.personDirectory(`kept-${directories}`);
    asPerson(() => writeFileSync(join(path, "file"), "before\n".padEnd(4096, "\0")));
    return path;
  }

  function plan(source: string, changes: Partial<GrantPlan> = {}): GrantPlan {
    const mode = changes.mode ?? "rw";
    return { grantId: 17, source, target: "data", mode, ttlMs: 0, stagedBytes: mode === "staged" ? 4 * MIB : 0, ...changes };
  }

  /** Starts `hold WAY` and waits until it holds. */
  async function hold(name: string, way: string, directory = `/sessions/${name}/mnt/data`): Promise<number> {
    const { bench } = escapes;
    const execId = await bench.start(name, [`/sessions/${name}/mnt/tools/hold`, way, directory]);
    await bench.events.until(`${way} to hold`, () => bench.events.bytesOf(name, execId, "stdout").toString().includes("held\n"));
    return execId;
  }

  /** Nothing in the directory changes any more: not the file, and nothing is made in it. */
  async function staysUntouched(source: string): Promise<void> {
    asPerson(() => {
      writeFileSync(join(source, "file"), "reset\n".padEnd(4096, "\0"));
      if (existsSync(join(source, "made"))) execFileSync("rm", [join(source, "made")]);
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(readFileSync(join(source, "file"), "latin1").slice(0, 6)).toBe("reset\n");
    expect(existsSync(join(source, "made"))).toBe(false);
  }

  async function granted(name: string, grant: GrantPlan): Promise<"granted" | "refused"> {
    try {
      await escapes.bench.vm.grant(name, grant);
      return "granted";
    } catch (error) {
      if (isCohortError(error, "MOUNT_REFUSED")) return "refused";
      throw error;
    }
  }

  const ways = ["cwd", "read", "write", "dirfd", "map", "thread", "late"] as const;

  test.each(ways)("a process that holds it by %s is killed, alone, and can do nothing", async (way) => {
    const source = shared();
    const name = await escapes.sandbox();
    await escapes.bench.vm.grant(name, plan(source));
    const bystander = await escapes.bench.start(name, ["/bin/sh", "-c", "sleep 0.4; echo alive"]);
    const holder = await hold(name, way);
    const revoked = await escapes.bench.vm.revoke(name, 17);
    await staysUntouched(source);
    // One that opens and closes is seen with it open, or not at all.
    if (way === "late") expect(revoked.childKilled).toBe(false);
    else expect(revoked).toEqual({ processesKilled: 1, childKilled: false });
    if (way !== "late") expect((await escapes.bench.outcome(name, holder)).exit).toMatchObject({ cause: "signaled", signal: 9 });
    expect((await escapes.bench.outcome(name, bystander)).stdout).toBe("alive\n");
  });

  test("a program that is executed from it is killed", async () => {
    const source = shared();
    copyFileSync(escapes.tool("hold"), join(source, "program"));
    chmodSync(join(source, "program"), 0o755);
    const name = await escapes.sandbox();
    await escapes.bench.vm.grant(name, plan(source, { mode: "ro" }));
    const holder = await escapes.bench.start(name, [`/sessions/${name}/mnt/data/program`, "asleep"]);
    await escapes.bench.events.until("it to run", () => escapes.bench.events.bytesOf(name, holder, "stdout").length > 0);
    expect(await escapes.bench.vm.revoke(name, 17)).toEqual({ processesKilled: 1, childKilled: false });
    expect((await escapes.bench.outcome(name, holder)).exit).toMatchObject({ cause: "signaled", signal: 9 });
  });

  test("a descriptor in flight between sockets ends the whole child, since no process shows it", async () => {
    const source = shared();
    const name = await escapes.sandbox();
    await escapes.bench.vm.grant(name, plan(source));
    const holder = await hold(name, "flight");
    expect(await escapes.bench.vm.revoke(name, 17)).toEqual({ processesKilled: 0, childKilled: true });
    await staysUntouched(source);
    expect((await escapes.bench.outcome(name, holder)).exit.cause).toMatch(/sandbox-died|signaled/);
    const death = await escapes.bench.events.until("its death", () => escapes.bench.events.deaths.find((one) => one.name === name));
    expect(death.reason).toBe("revocation");
    expect(escapes.bench.events.grantEnds).toContainEqual({ name, grantId: 17, reason: "revoked", processesKilled: 0, childKilled: true });
  });

  test("a process that forks without end while it is searched is gone, with all its like", async () => {
    const source = shared();
    const name = await escapes.sandbox();
    await escapes.bench.vm.grant(name, plan(source));
    await hold(name, "forks");
    await escapes.bench.vm.revoke(name, 17);
    await staysUntouched(source);
  });

  test("twenty processes that hold it in every way are all gone, in one answer", async () => {
    const source = shared();
    const name = await escapes.sandbox();
    await escapes.bench.vm.grant(name, plan(source));
    for (let at = 0; at < 20; at += 1) await hold(name, ways[at % 6] ?? "cwd");
    expect(await escapes.bench.vm.revoke(name, 17)).toEqual({ processesKilled: 20, childKilled: false });
    await staysUntouched(source);
  });

  test.each(["write", "map", "cwd"])("a staged one is cut on the overlay itself, from who holds it by %s", async (way) => {
    const source = shared();
    const name = await escapes.sandbox();
    await escapes.bench.vm.grant(name, plan(source, { mode: "staged" }));
    await hold(name, way);
    expect(await escapes.bench.vm.revoke(name, 17)).toEqual({ processesKilled: 1, childKilled: false });
    expect((await escapes.bench.sh(name, "ls -A mnt/.staged; grep -c mnt/data /proc/self/mountinfo")).stdout).toBe("0\n");
    expect(readFileSync(join(source, "file"), "latin1").slice(0, 7)).toBe("before\n");
  });

  test("a child that is frozen loses it too, and stays frozen", async () => {
    const source = shared();
    const name = await escapes.sandbox();
    await escapes.bench.vm.grant(name, plan(source));
    const holder = await hold(name, "write");
    const ticking = await escapes.bench.start(name, ["/bin/sh", "-c", "while :; do echo tick; sleep 0.02; done"]);
    await escapes.bench.vm.freeze(name);
    expect(await escapes.bench.vm.revoke(name, 17)).toEqual({ processesKilled: 1, childKilled: false });
    await staysUntouched(source);
    const ticks = (): number => escapes.bench.events.bytesOf(name, ticking, "stdout").length;
    await new Promise((resolve) => setTimeout(resolve, 100));
    const before = ticks();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(ticks()).toBe(before);
    await escapes.bench.vm.thaw(name);
    await escapes.bench.events.until("a tick", () => ticks() > before);
    expect((await escapes.bench.outcome(name, holder)).exit).toMatchObject({ cause: "signaled", signal: 9 });
  });

  test("one that expires while a process writes through it is cut without anybody's word", async () => {
    const source = shared();
    const name = await escapes.sandbox();
    await escapes.bench.vm.grant(name, plan(source, { ttlMs: 400 }));
    await hold(name, "write");
    const end = await escapes.bench.events.until("its end", () => escapes.bench.events.grantEnds.find((one) => one.name === name));
    expect(end).toEqual({ name, grantId: 17, reason: "expired", processesKilled: 1, childKilled: false });
    await staysUntouched(source);
  });

  test("others are served while a revocation waits", async () => {
    const [name, other] = [await escapes.sandbox(), await escapes.sandbox()];
    await escapes.bench.vm.grant(name, plan(shared()));
    await hold(name, "flight");
    const revoking = escapes.bench.vm.revoke(name, 17);
    const order: string[] = [];
    await Promise.all([revoking.then(() => order.push("revoked")), escapes.bench.vm.stats(other).then(() => order.push("served"))]);
    expect(order).toEqual(["served", "revoked"]);
  });

  describe("while it begins", () => {
    test(
      "swapping the source for a link, ten thousand times and more, never mounts what the link leads to",
      { timeout: 60_000 },
      async () => {
        const place = escapes.bench.warden.personDirectory("raced");
        const forbidden = escapes.bench.warden.personDirectory("forbidden");
        asPerson(() => {
          mkdirSync(join(place, "source"));
          writeFileSync(join(place, "source/harmless"), "");
          writeFileSync(join(forbidden, "secret"), "");
          symlinkSync(forbidden, join(place, "link"));
        });
        const swap = spawn(escapes.tool("swap"), [join(place, "source"), join(place, "link"), "50"], { uid: PERSON_UID, gid: PERSON_UID });
        const counted = text(swap.stdout);
        const name = await escapes.sandbox();
        const outcomes = new Set<string>();
        try {
          for (let grantId = 17; grantId < 317; grantId += 1) {
            const outcome = await granted(name, plan(join(place, "source"), { grantId, mode: "ro" }));
            outcomes.add(outcome);
            if (outcome === "granted") {
              outcomes.add((await escapes.bench.sh(name, "ls mnt/data")).stdout);
              await escapes.bench.vm.revoke(name, grantId);
            }
          }
        } finally {
          swap.kill("SIGTERM");
        }
        expect([...outcomes].toSorted()).toEqual(["granted", "harmless\n", "refused"]);
        expect(Number(await counted)).toBeGreaterThan(10_000);
      },
    );

    test.skipIf(!existsSync("/dev/fuse"))(
      "(needs /dev/fuse) a file system that a process answers is copied, and one that never answers delays nobody else",
      { timeout: 30_000 },
      async () => {
        const { bench } = escapes;
        const name = await escapes.sandbox();
        for (const how of ["answer", "hang"]) {
          const directory = bench.warden.personDirectory(how);
          const server = spawn(escapes.tool("fuse-server"), [directory, `${PERSON_UID}`, how], { stdio: ["ignore", "pipe", "inherit"] });
          try {
            await once(server.stdout, "data");
            const grant = bench.vm.grant(name, plan(directory, { mode: "ro", grantId: how === "hang" ? 18 : 17, target: how }));
            if (how === "answer") {
              expect(await grant).toMatchObject({ copied: true, copyPartial: false });
              expect((await bench.sh(name, "cat mnt/answer/file")).stdout).toBe("from a process\n");
              await expect(bench.vm.grant(name, plan(directory, { grantId: 19, target: "w" }))).rejects.toMatchObject({
                code: "GRANT_FS_UNSUPPORTED",
              });
              continue;
            }
            const refused = expect(grant).rejects.toMatchObject({ code: "MOUNT_REFUSED" });
            await bench.vm.grant(name, plan(shared(), { grantId: 20, target: "meanwhile" }));
            expect((await bench.sh(name, "ls mnt/meanwhile")).stdout).toBe("file\n");
            await refused;
          } finally {
            execFileSync("umount", ["--lazy", directory]);
            server.kill("SIGKILL");
          }
        }
      },
    );

    test("renaming ~/mnt, or putting a link in its place, is refused, and the next grant is where it belongs", async () => {
      const name = await escapes.sandbox();
      const tries = ["mv mnt other", "rmdir mnt", "rm -rf mnt", "ln -sfn /tmp mnt", "mkdir mnt/data", "touch mnt/data", "mv out mnt/data"];
      for (const one of tries) await escapes.bench.sh(name, one);
      expect((await escapes.bench.sh(name, "stat -c '%F %u' mnt; ls /tmp; ls -d mnt")).stdout).toBe("directory 0\nmnt\n");
      await escapes.bench.vm.grant(name, plan(shared(), { mode: "ro" }));
      expect((await escapes.bench.sh(name, "stat -c %F mnt/data/file; ls -A /tmp")).stdout).toBe("regular file\n");
    });

    test("an ACL's entry for another user gives the child nothing, and one for the person what it says", async () => {
      const source = shared();
      // Version 2, then tag, permissions and id, little-endian: the owner rw, uid 12345 or 54321 r, the group none, the mask r, others none.
      const acl = (uid: number): string => {
        const entry = (tag: number, mode: number, id = 0xffff_ffff): Buffer => {
          const bytes = Buffer.alloc(8);
          bytes.writeUInt16LE(tag, 0);
          bytes.writeUInt16LE(mode, 2);
          bytes.writeUInt32LE(id, 4);
          return bytes;
        };
        const head = Buffer.from([2, 0, 0, 0]);
        return Buffer.concat([head, entry(1, 6), entry(2, 4, uid), entry(4, 0), entry(16, 4), entry(32, 0)]).toString("hex");
      };
      for (const [file, uid] of [
        ["for-person", 12_345],
        ["for-other", 54_321],
      ] as const) {
        writeFileSync(join(source, file), `${file}\n`, { mode: 0o600 });
        const set = execFileSync(escapes.tool("attempt"), [
          `setxattr|s=${join(source, file)}|s=system.posix_acl_access|x=${acl(uid)}|44|0`,
        ]);
        expect(set.toString()).toContain("OK 0");
      }
      const name = await escapes.sandbox();
      await escapes.bench.vm.grant(name, plan(source));
      const { stdout, stderr } = await escapes.bench.sh(name, "cat mnt/data/for-person; cat mnt/data/for-other");
      expect(stdout).toBe("for-person\n");
      expect(stderr).toContain("Permission denied");
    });
  });
});
