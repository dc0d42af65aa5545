/** The process that takes a grant back may be held up by the kernel for as long as that likes; nobody but whoever asked waits for it. */
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmdirSync, writeFileSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EscapeBench } from "../security/escape-bench.ts";
import { asPerson, wardenUnavailable } from "./warden-process.ts";

/** What is frozen there does not even die of SIGKILL: like a process that the kernel keeps within a long unmount. */
const FREEZER = "/sys/fs/cgroup/freezer";
const unavailable = wardenUnavailable ?? (existsSync(join(FREEZER, "tasks")) ? null : "needs the freezer of cgroups v1");

function link(pid: string, namespace: string): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/${namespace}`);
  } catch {
    return "";
  }
}

/** In the sandbox's mounts, and not in its pid namespace. */
function revokerOf(initPid: string): string | undefined {
  const mounts = link(initPid, "mnt");
  return readdirSync("/proc").find((pid) => /^\d+$/.test(pid) && link(pid, "mnt") === mounts && link(pid, "pid") === link("self", "pid"));
}

function isZombie(pid: string): boolean {
  return /^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}

describe.skipIf(unavailable !== null)(`a revoker that cannot die${unavailable === null ? "" : ` (skipped: ${unavailable})`}`, () => {
  const freezer = join(FREEZER, `cohort-test-${process.pid}`);
  let escapes: EscapeBench;

  beforeAll(async () => {
    escapes = await EscapeBench.start();
    mkdirSync(freezer);
  });

  afterAll(async () => {
    writeFileSync(join(freezer, "freezer.state"), "THAWED");
    await escapes.stop();
    rmdirSync(freezer);
  });

  test("delays neither the end of its sandbox nor the beginning of another, and is reaped when it could die", async () => {
    const { bench } = escapes;
    const source = bench.warden.personDirectory("held");
    asPerson(() => writeFileSync(join(source, "file"), "before\n".padEnd(4096, "\0")));
    const name = await escapes.sandbox();
    await bench.vm.grant(name, { grantId: 17, source, target: "data", mode: "rw", ttlMs: 0, stagedBytes: 0 });
    const holder = await bench.start(name, [`/sessions/${name}/mnt/tools/hold`, "flight", `/sessions/${name}/mnt/data`]);
    await bench.events.until("it to hold", () => bench.events.bytesOf(name, holder, "stdout").toString().includes("held\n"));
    const uid = (await bench.vm.list()).find((one) => one.name === name)?.uid;
    const initPid = readdirSync("/proc").find((pid) => {
      if (!/^\d+$/.test(pid)) return false;
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      return new RegExp(`^Uid:\\t${uid}\\t`, "m").test(status) && /^Name:\tcohort-init$/m.test(status);
    });

    const revoked = bench.vm.revoke(name, 17);
    let revoker: string | undefined;
    const untilMs = performance.now() + 5000;
    while (revoker === undefined && performance.now() < untilMs) {
      await turn();
      revoker = revokerOf(initPid ?? "");
    }
    writeFileSync(join(freezer, "tasks"), revoker ?? "");
    writeFileSync(join(freezer, "freezer.state"), "FROZEN");

    const startedAtMs = performance.now();
    await bench.destroy(name);
    expect(await revoked).toMatchObject({ processesKilled: 0 });
    const other = await escapes.sandbox();
    expect((await bench.sh(other, "echo lives")).stdout).toBe("lives\n");
    expect(performance.now() - startedAtMs).toBeLessThan(5000);

    expect(existsSync(`/proc/${revoker}`) && !isZombie(revoker ?? "")).toBe(true);
    writeFileSync(join(freezer, "freezer.state"), "THAWED");
    await expect.poll(() => existsSync(`/proc/${revoker}`), { timeout: 5000 }).toBe(false);
  }, 30_000);
});
