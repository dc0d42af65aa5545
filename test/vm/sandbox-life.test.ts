/** Freezing, killing, destroying, deadlines, the lease, and the death of the warden: nothing outlives what it should not. */
import { readdirSync, readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CollectArchive, type CollectEvent } from "../../vm/collect-archive.ts";
import { RecordedEvents } from "./recorded-events.ts";
import { SandboxBench } from "./sandbox-bench.ts";
import { wardenUnavailable } from "./warden-process.ts";

const TITLE = `a sandbox of the host backend${wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`}`;

/** Processes of this machine whose real uid is this one. */
function processesOf(uid: number): readonly string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return new RegExp(`^Uid:\\t${uid}\\t`, "m").test(readFileSync(`/proc/${pid}/status`, "utf8"));
    } catch {
      return false;
    }
  });
}

/** Cgroup directories and mounts that carry the name of the sandbox. */
function tracesOf(name: string): readonly string[] {
  const cgroups = ["", ...readdirSync("/sys/fs/cgroup")].flatMap((controller) => {
    try {
      return readdirSync(`/sys/fs/cgroup/${controller}`, { recursive: true, encoding: "utf8" }).filter(
        (path) => path.split("/").at(-1) === name,
      );
    } catch {
      return [];
    }
  });
  return [
    ...cgroups,
    ...readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .filter((line) => line.includes(name)),
  ];
}

describe.skipIf(wardenUnavailable !== null)(TITLE, () => {
  let bench: SandboxBench;

  beforeEach(async () => {
    bench = await SandboxBench.start();
  });

  afterEach(async () => {
    await bench.stop();
  });

  /** One that ticks into its stdout until it is stopped. */
  async function ticking(
    changes: Parameters<SandboxBench["plan"]>[0] = {},
  ): Promise<{ name: string; uid: number; execId: number; ticks: () => number }> {
    const info = await bench.vm.create(bench.plan(changes));
    const execId = await bench.start(info.name, [
      "/bin/sh",
      "-c",
      "i=0; while [ $i -lt 3000 ]; do echo tick; sleep 0.01; i=$((i+1)); done",
    ]);
    const ticks = (): number => bench.events.bytesOf(info.name, execId, "stdout").length;
    await bench.events.until("a tick", () => ticks() > 0);
    return { name: info.name, uid: info.uid, execId, ticks };
  }

  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

  test("stands still while frozen and goes on when thawed", async () => {
    const { name, ticks } = await ticking();
    await bench.vm.freeze(name);
    await pause(50);
    const frozen = ticks();
    await pause(300);
    expect(ticks()).toBe(frozen);
    expect((await bench.vm.list())[0]?.state).toBe("frozen");
    await bench.vm.thaw(name);
    await bench.events.until("another tick", () => ticks() > frozen);
    expect((await bench.vm.list())[0]?.state).toBe("alive");
  });

  test("answers for itself while frozen, starts nothing, and is frozen again with what it began since", async () => {
    const { name, uid } = await ticking();
    await bench.vm.freeze(name);
    expect((await bench.vm.probe(name)).inside).toContain("seccomp");
    await expect(bench.start(name, ["/bin/true"])).rejects.toMatchObject({ code: "CHILD_FROZEN" });
    await bench.vm.thaw(name);
    const later = await bench.start(name, ["/bin/sh", "-c", "while :; do echo tick; sleep 0.01; done"]);
    const ticks = (): number => bench.events.bytesOf(name, later, "stdout").length;
    await bench.events.until("a tick", () => ticks() > 0);
    await bench.vm.freeze(name);
    await pause(50);
    const frozen = ticks();
    await pause(200);
    expect(ticks()).toBe(frozen);
    await bench.destroy(name);
    expect(processesOf(uid)).toEqual([]);
    expect(tracesOf(`s${uid}`)).toEqual([]);
  });

  test("is not frozen in the moment in which it starts its first program: its init waits for that", async () => {
    for (let round = 0; round < 40; round += 1) {
      const name = await bench.sandbox();
      const started = bench.start(name, ["/bin/true"]).catch(() => null);
      await pause(0.1 * (round % 10));
      const refusal = await bench.vm.freeze(name).catch((error: unknown) => error);
      if (refusal === undefined) {
        expect((await bench.vm.probe(name)).inside).toContain("seccomp");
        await bench.vm.thaw(name);
      } else {
        expect(refusal).toMatchObject({ code: "CHILD_BUSY" });
      }
      const execId = await started;
      if (execId !== null) expect((await bench.outcome(name, execId)).exit).toMatchObject({ cause: "exited", code: 0 });
      await bench.destroy(name);
    }
  });

  test("that was frozen by request stays so when the lease ends and comes back, and can be collected from again", async () => {
    bench.disconnect();
    await bench.connect({ freezeAfterMs: 300, killAfterMs: 30_000 });
    const { name, ticks } = await ticking();
    await bench.vm.freeze(name);
    bench.disconnect();
    await pause(600);
    await bench.connect();
    const before = ticks();
    expect((await bench.vm.probe(name)).inside).toContain("seccomp");
    await pause(200);
    expect(ticks()).toBe(before);
    await bench.vm.thaw(name);
    await bench.events.until("a tick", () => ticks() > before);
  });

  test("tells what it uses", async () => {
    const { name } = await ticking();
    const stats = await bench.vm.stats(name);
    expect(stats.memoryBytes).toBeGreaterThan(10_000);
    expect(stats.memoryPeakBytes).toBeGreaterThanOrEqual(stats.memoryBytes / 2);
    expect(stats.pids).toBeGreaterThanOrEqual(2);
    expect(stats).toMatchObject({ oomKills: 0, pidsRefused: 0 });
  });

  test("begins with counters and limits of its own, whatever those before it used, were refused and were killed for", async () => {
    const small = { memoryBytes: 24 * 1024 * 1024, diskBytes: 1024 * 1024, tmpBytes: 1024 * 1024, pidsMax: 8 };
    const bad = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const name = await bench.sandbox({ limits: small });
        await bench.sh(name, "for i in $(seq 20); do sleep 0.05 & done; wait");
        await bench.sh(name, "exec python3 -c 'x = bytearray(200 * 1024 * 1024)'");
        const { oomKills, pidsRefused } = await bench.vm.stats(name);
        await bench.destroy(name);
        return oomKills > 0 && pidsRefused > 0;
      }),
    );
    expect(bad).toEqual([true, true, true, true]);
    // More of them than stand prepared, so that some were made after the bad ones had ended.
    for (let round = 0; round < 40; round += 1) {
      const name = await bench.sandbox();
      expect((await bench.run(name, ["/bin/true"])).exit).toMatchObject({ cause: "exited", code: 0 });
      const { oomKills, pidsRefused, memoryPeakBytes, throttledUs } = await bench.vm.stats(name);
      expect({ oomKills, pidsRefused, throttledUs }).toEqual({ oomKills: 0, pidsRefused: 0, throttledUs: 0 });
      expect(memoryPeakBytes).toBeLessThan(16 * 1024 * 1024);
      expect((await bench.vm.probe(name)).outside).toContain("cgroup-limits");
      await bench.destroy(name);
    }
  });

  test("leaves, with dozens of others that end at once, no more cgroups than the few that serve the next", async () => {
    const record = readFileSync(`/run/cohort/instances/${bench.vm.identity.wardenId.slice(0, 16)}.lock`, "utf8");
    const cgroups = (): readonly number[] =>
      record
        .split("\n")
        .filter(Boolean)
        .map((path) => readdirSync(path).filter((name) => /^s(?:\d|pare)/u.test(name)).length);
    const names = await Promise.all(Array.from({ length: 60 }, () => bench.sandbox()));
    expect(Math.min(...cgroups())).toBeGreaterThanOrEqual(60);
    await Promise.all(names.map((name) => bench.destroy(name)));
    // At most sixteen stand prepared, and for sixteen more v1's are kept.
    const deadline = performance.now() + 10_000;
    while (Math.max(...cgroups()) > 32 && performance.now() < deadline) await pause(50);
    expect(Math.max(...cgroups())).toBeLessThanOrEqual(32);
  });

  test("is dead after kill, frozen or not, and every command of it has an exit", async () => {
    for (const frozen of [false, true]) {
      const { name, uid, execId } = await ticking();
      if (frozen) await bench.vm.freeze(name);
      await bench.vm.kill(name);
      expect((await bench.outcome(name, execId)).exit.cause).toMatch(/^(sandbox-died|signaled)$/);
      expect(await bench.events.until("its death", () => bench.events.deaths.find((death) => death.name === name))).toMatchObject({
        reason: "asked",
      });
      await bench.destroy(name);
      expect(processesOf(uid)).toEqual([]);
    }
  });

  test("leaves no process, cgroup or mount after destroy, whatever ran in it; destroying again is no error", async () => {
    const { name, uid } = await ticking();
    await bench.start(name, ["/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8; do setsid sleep 100 & done; wait"]);
    await bench.sh(name, "dd if=/dev/zero of=big bs=1M count=8 2>/dev/null; mkdir -p a/b/c");
    expect(processesOf(uid).length).toBeGreaterThan(3);
    await bench.destroy(name);
    expect(processesOf(uid)).toEqual([]);
    expect(tracesOf(name)).toEqual([]);
    await bench.destroy(name);
    await bench.destroy("never-was");
    expect(await bench.vm.list()).toEqual([]);
  });

  test("has another deadline when it was given one, or none", async () => {
    const { name, execId } = await ticking({ timeoutMs: 1000 });
    await bench.vm.setDeadline(name, 0);
    await pause(1500);
    expect((await bench.vm.list())[0]?.state).toBe("alive");
    await bench.vm.setDeadline(name, 300);
    expect((await bench.outcome(name, execId)).exit.deadlineHit).toBe(true);
    await expect(bench.vm.setDeadline(name, 300)).rejects.toThrow(/is dead/);
  });

  test("ends at the deadline of its plan, by the warden's own clock", async () => {
    const { name, execId } = await ticking({ timeoutMs: 700 });
    bench.disconnect();
    await pause(1000);
    await bench.connect();
    await bench.vm.list();
    const { exit } = await bench.outcome(name, execId);
    expect({ deadlineHit: exit.deadlineHit, ended: exit.cause !== "exited" }).toEqual({ deadlineHit: true, ended: true });
    expect((await bench.vm.list())[0]?.state).toBe("dead");
  });

  test("signals reach every process of it but its init", async () => {
    const { name, execId } = await ticking();
    const other = await bench.start(name, ["/bin/sleep", "100"]);
    await bench.vm.signal(name, 0, 9);
    for (const id of [execId, other]) expect((await bench.outcome(name, id)).exit).toMatchObject({ cause: "signaled", signal: 9 });
    expect((await bench.run(name, ["/bin/true"])).exit.code).toBe(0);
  });

  test("is frozen when the supervisor's lease ends, thawed when one comes, and killed when none does", async () => {
    bench.disconnect();
    await bench.connect({ freezeAfterMs: 500, killAfterMs: 3000 });
    const { name, uid, execId, ticks } = await ticking();
    bench.disconnect();
    await pause(900);
    await bench.connect({ freezeAfterMs: 500, killAfterMs: 3000 });
    await bench.events.until("going on", () => ticks() > 0);
    const before = ticks();
    await bench.events.until("another tick", () => ticks() > before);
    bench.disconnect();
    const deadline = Date.now() + 15_000;
    while (processesOf(uid).length > 0 && Date.now() < deadline) await pause(100);
    expect(processesOf(uid)).toEqual([]);
    bench.events = new RecordedEvents();
    await bench.connect();
    await bench.vm.list();
    const exit = await bench.events.until("its exit", () => bench.events.exits.find((one) => one.name === name && one.execId === execId));
    expect(exit).toMatchObject({ leaseExpired: true });
  });

  test("does not outlive the warden, and the next warden's sweep leaves nothing of it", async () => {
    const { name, uid } = await ticking();
    const closed = bench.events.until("the end of the connection", () => bench.events.closedBy);
    await bench.warden.killHard();
    await closed;
    const deadline = Date.now() + 10_000;
    while (processesOf(uid).length > 0 && Date.now() < deadline) await pause(50);
    expect(processesOf(uid)).toEqual([]);
    const before = bench.vm.identity.wardenId;
    bench.warden.restart();
    bench.events = new RecordedEvents();
    await bench.connect();
    expect(bench.vm.identity.wardenId).not.toBe(before);
    expect(await bench.vm.list()).toEqual([]);
    expect(tracesOf(name)).toEqual([]);
    expect((await bench.vm.create(bench.plan())).uid).toBeGreaterThan(uid);
  });

  test("is gone with shutdown, and so is the warden", async () => {
    const { uid } = await ticking();
    await bench.vm.shutdown();
    await bench.events.until("the end of the connection", () => bench.events.closedBy);
    const deadline = Date.now() + 10_000;
    while (processesOf(uid).length > 0 && Date.now() < deadline) await pause(50);
    expect(processesOf(uid)).toEqual([]);
  });

  test("whose init is killed is sandbox-died, never success", async () => {
    const info = await bench.vm.create(bench.plan());
    const execId = await bench.start(info.name, ["/bin/sleep", "100"]);
    process.kill(info.initPid, "SIGKILL");
    expect((await bench.outcome(info.name, execId)).exit.cause).toMatch(/^(sandbox-died|signaled)$/);
    expect(await bench.events.until("its death", () => bench.events.deaths.find((death) => death.name === info.name))).toMatchObject({
      reason: "itself",
    });
  });

  describe("collect", () => {
    async function collect(
      name: string,
      bytesMax: number,
      filesMax: number,
    ): Promise<{ files: Record<string, string>; skipped: CollectEvent[] }> {
      const plan = {
        ...bench.execPlan([`${bytesMax}`, `${filesMax}`], { cwd: `/sessions/${name}`, windowBytes: 65_536 }),
        kind: "collect" as const,
      };
      await bench.vm.exec(name, plan);
      await bench.outcome(name, plan.execId);
      const archive = new CollectArchive({ bytesMax, filesMax });
      const files: Record<string, string> = {};
      const skipped: CollectEvent[] = [];
      let open = "";
      for (const event of archive.push(bench.events.bytesOf(name, plan.execId, "stdout"))) {
        if (event.type === "file") files[(open = event.path)] = "";
        else if (event.type === "data") files[open] += Buffer.from(event.bytes).toString("latin1");
        else if (event.type === "skipped") skipped.push(event);
      }
      archive.end();
      return { files, skipped };
    }

    test("gives the files of ~/out and names what it left, and kills what still ran", async () => {
      const { name, uid } = await ticking();
      await bench.sh(
        name,
        "mkdir -p out/deep/er; echo hello > out/a; echo deep > out/deep/er/b; ln -s /etc/passwd out/link; mkfifo out/pipe; : > out/empty",
      );
      const { files, skipped } = await collect(name, 1_000_000, 100);
      expect(files).toEqual({ a: "hello\n", "deep/er/b": "deep\n", empty: "" });
      expect(skipped.map((event) => (event.type === "skipped" ? `${event.path} ${event.reason}` : "")).toSorted()).toEqual([
        "link not-a-file",
        "pipe not-a-file",
      ]);
      expect(processesOf(uid).length).toBe(1);
    });

    test("of 3 MB passes a window of 64 KiB", async () => {
      const name = await bench.sandbox();
      await bench.sh(name, "mkdir out; for i in 1 2 3; do head -c 1000000 /dev/zero | tr '\\0' $i > out/f$i; done");
      const { files } = await collect(name, 10_000_000, 100);
      expect(Object.entries(files).map(([path, content]) => [path, content.length])).toEqual(
        expect.arrayContaining([
          ["f1", 1_000_000],
          ["f2", 1_000_000],
          ["f3", 1_000_000],
        ]),
      );
    });

    test("keeps to its limits of bytes and files", async () => {
      const name = await bench.sandbox();
      await bench.sh(
        name,
        "mkdir out; for i in 1 2 3 4 5 6; do head -c 1000 /dev/zero > out/f$i; done; head -c 100000 /dev/zero > out/big",
      );
      const few = await collect(name, 50_000, 3);
      expect(Object.keys(few.files).length).toBe(3);
      expect(few.skipped.map((event) => event.type === "skipped" && event.reason)).toEqual(expect.arrayContaining(["over-max-files"]));
      const small = await collect(name, 50_000, 100);
      expect(Object.keys(small.files).length).toBe(6);
      expect(small.skipped).toEqual([{ type: "skipped", path: "big", reason: "over-max-bytes" }]);
    });

    test("of nothing, and of a name that is no UTF-8 and one with an escape code, are archives", async () => {
      const name = await bench.sandbox();
      expect(await collect(name, 1000, 10)).toEqual({ files: {}, skipped: [] });
      await bench.sh(name, "mkdir -p out; printf x > \"out/$(printf '\\377')\"; printf y > \"out/$(printf '\\033[31m')\"");
      expect((await collect(name, 1000, 10)).files).toEqual({ "\\xff": "x", "\u001b[31m": "y" });
    });
  });
});
