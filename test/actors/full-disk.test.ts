/** What a person takes back or ends while the disk of the state directory is full: real actors, real warden, a small tmpfs. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { grantCreateSchema, type GrantSummary } from "../../machines/messages/grant.ts";
import { PERSON_UID, WardenProcess, wardenUnavailable } from "../vm/warden-process.ts";
import { origin, SystemBench, until } from "./system-bench.ts";

const TITLE = `on a full state disk${wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`}`;
const DISK_MIB = 48;

describe.skipIf(wardenUnavailable !== null)(TITLE, () => {
  let warden: WardenProcess;
  let bench: SystemBench;
  let place: string;
  beforeAll(async () => {
    place = realpathSync(mkdtempSync(join(tmpdir(), "cohort-full-disk-")));
    chmodSync(place, 0o755);
    warden = await WardenProcess.start();
    bench = new SystemBench((events) => warden.connect(events));
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_MIB}m,mode=0700`, "tmpfs", bench.directory]);
    await bench.open();
  }, 60_000);
  afterAll(async () => {
    await bench.stop();
    execFileSync("umount", [bench.directory]);
    await bench.close();
    await warden.stop();
    rmSync(place, { recursive: true, force: true });
  });

  function directory(name: string): string {
    const path = join(place, name);
    mkdirSync(path);
    writeFileSync(join(path, "file"), "given\n");
    for (const one of [path, join(path, "file")]) chownSync(one, PERSON_UID, PERSON_UID);
    return path;
  }

  function give(child: string, path: string, mode: "ro" | "staged"): Promise<GrantSummary> {
    return bench.system.grants.create(grantCreateSchema.parse({ child, path, mode }), origin);
  }

  const ballast = (): string => join(bench.directory, "ballast");

  function fill(): void {
    for (const pieceBytes of [1024 ** 2, 4096]) {
      try {
        for (;;) writeFileSync(ballast(), Buffer.alloc(pieceBytes), { flag: "a" });
      } catch (error) {
        expect(error).toMatchObject({ code: "ENOSPC" });
      }
    }
    expect(statfsSync(bench.directory).bavail).toBe(0);
  }

  const sleepers = (): number =>
    readdirSync("/proc").filter((pid) => {
      try {
        return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8") === ["sleep", "6161", ""].join("\0");
      } catch {
        return false;
      }
    }).length;

  it("takes grants back, ends children, and refuses new work; with space again nothing that was accepted is lost", async () => {
    const [read, thrown, kept] = [directory("read"), directory("thrown"), directory("kept")];
    const inside =
      "(cd mnt/read; exec sleep 6161) & until test -e mnt/thrown/file && test -e mnt/kept/file; do sleep 0.02; done; echo changed | tee mnt/thrown/file > mnt/kept/file; echo ready; wait; sleep 6161";
    const run = await bench.start([{ command: ["/bin/sh", "-c", `until test -e mnt/read/file; do sleep 0.02; done; ${inside}`] }]);
    await until(async () => (await bench.system.children()).some(({ state }) => state === "running"), "it runs");
    const [{ child } = { child: "" }] = await bench.system.children();
    const [reading, throwing, keeping] = [
      await give(child, read, "ro"),
      await give(child, thrown, "staged"),
      await give(child, kept, "staged"),
    ];
    await until(async () => (await bench.log(run, 0)).includes("ready"), "it is ready");
    expect(sleepers()).toBe(1);

    fill();
    await until(async () => {
      const refusal: unknown = await bench.start([{ command: ["true"] }]).catch((error: unknown) => error);
      return (
        typeof refusal === "object" &&
        refusal !== null &&
        "code" in refusal &&
        (refusal.code === "JOURNAL_FULL" || refusal.code === "ENOSPC")
      );
    }, "new work is refused");

    expect(await bench.system.grants.revoke(reading.grant, false, origin)).toMatchObject({
      state: "ended",
      end: "revoked",
      processesKilled: 1,
    });
    expect(await bench.system.grants.discard(throwing.grant, origin)).toMatchObject({ state: "ended", end: "revoked" });
    await bench.system.cancelRun(run, "kill", "", origin);
    await until(() => sleepers() === 0, "nothing of it runs");
    rmSync(ballast());
    const [result] = await bench.results(run);
    expect(result).toMatchObject({ status: "cancelled", child });
    expect(await bench.system.grants.list({ run, ended: true, limit: 9 })).toMatchObject([
      { grant: keeping.grant, end: "child-ended", staged: "held" },
      { grant: throwing.grant, staged: "discarded" },
      { grant: reading.grant, end: "revoked" },
    ]);
  }, 60_000);
});
