import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { wardenUnavailable } from "../vm/warden-process.ts";
import { EscapeBench } from "./escape-bench.ts";

const TITLE = `a child's processes${wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`}`;

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

describe.skipIf(wardenUnavailable !== null)(TITLE, () => {
  let escapes: EscapeBench;

  beforeAll(async () => {
    escapes = await EscapeBench.start();
  });

  afterAll(async () => {
    await escapes?.stop();
  });

  test("have no capability in any set, no new privileges, a filter, one uid, no group but its own", async () => {
    const name = await escapes.sandbox();
    const { stdout } = await escapes.bench.sh(name, "cat /proc/self/status /proc/1/status");
    const status = stdout.split("\n").filter((line) => /^(Cap|NoNewPrivs|Seccomp:|Uid|Groups)/.test(line));
    const values = status.map((line) => line.replace(/\s+/g, " ").trim());
    expect(values.filter((line) => line.startsWith("Cap"))).toEqual(
      expect.arrayContaining([
        "CapInh: 0000000000000000",
        "CapPrm: 0000000000000000",
        "CapEff: 0000000000000000",
        "CapBnd: 0000000000000000",
        "CapAmb: 0000000000000000",
      ]),
    );
    expect(values.filter((line) => line.startsWith("Cap") && !line.endsWith("0000000000000000"))).toEqual([]);
    expect(values.filter((line) => line.startsWith("NoNewPrivs"))).toEqual(["NoNewPrivs: 1", "NoNewPrivs: 1"]);
    expect(values.filter((line) => line.startsWith("Seccomp:"))).toEqual(["Seccomp: 2", "Seccomp: 2"]);
    for (const line of values.filter((one) => one.startsWith("Uid"))) expect(new Set(line.split(" ").slice(1)).size).toBe(1);
    for (const line of values.filter((one) => one.startsWith("Uid"))) expect(line).not.toContain(" 0");
  });

  test("inherit no descriptor above 2, for a command and for a pty", async () => {
    const name = await escapes.sandbox();
    expect((await escapes.inside(name, "escape", ["descriptors"])).stdout).toBe("done\n");
    expect((await escapes.inside(name, "escape", ["descriptors"], { pty: { rows: 10, columns: 10 } })).stdout).toBe("done\r\n");
    expect((await escapes.inside(name, "escape", ["descriptors"], { stdin: Buffer.from("x") })).stdout).toBe("done\n");
  });

  test("that leave session and parent behind are dead after destroy, and write nothing more", async () => {
    const grant = escapes.bench.warden.personDirectory("heartbeat");
    const info = await escapes.bench.vm.create(
      escapes.bench.plan({ mounts: [escapes.toolsMount, { source: grant, target: "grant", mode: "rw" }] }),
    );
    await escapes.inside(info.name, "escape", ["daemonize", `/sessions/${info.name}/mnt/grant/beats`]);
    const beats = (): number => readFileSync(join(grant, "beats")).length;
    await expect.poll(() => beats(), { timeout: 5000 }).toBeGreaterThan(2);
    expect(processesOf(info.uid).length).toBeGreaterThan(1);
    await escapes.bench.destroy(info.name);
    expect(processesOf(info.uid)).toEqual([]);
    const after = beats();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(beats()).toBe(after);
  });

  test("control: outside, the same program outlives its parent", async () => {
    const directory = escapes.bench.warden.personDirectory("control");
    escapes.outside("escape", ["daemonize", join(directory, "beats")]);
    await expect.poll(() => readFileSync(join(directory, "beats")).length, { timeout: 5000 }).toBeGreaterThan(2);
    for (const pid of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
      try {
        if (readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(join(directory, "beats"))) process.kill(Number(pid), "SIGKILL");
      } catch (error) {
        if (!(error instanceof Error)) throw error;
      }
    }
  });

  test("that fork without end stay within their limit, and die at kill; a sibling does not notice", async () => {
    const info = await escapes.bench.vm.create(
      escapes.bench.plan({ mounts: [escapes.toolsMount], limits: { pidsMax: 100, cpuPermille: 500 } }),
    );
    const sibling = await escapes.sandbox();
    const bomb = await escapes.bench.start(info.name, [`/sessions/${info.name}/mnt/tools/escape`, "fork-bomb"]);
    await expect.poll(async () => (await escapes.bench.vm.stats(info.name)).pidsRefused, { timeout: 10_000 }).toBeGreaterThan(0);
    expect(processesOf(info.uid).length).toBeLessThanOrEqual(101);
    const started = performance.now();
    expect((await escapes.bench.run(sibling, ["/bin/echo", "alive"])).stdout).toBe("alive\n");
    expect(performance.now() - started).toBeLessThan(5000);
    await escapes.bench.vm.kill(info.name);
    expect((await escapes.bench.outcome(info.name, bomb)).exit.cause).toMatch(/^(sandbox-died|signaled)$/);
    await escapes.bench.destroy(info.name);
    expect(processesOf(info.uid)).toEqual([]);
  });

  test.each(["memory-bomb", "memfd-bomb"])("of a %s are killed at their limit; a sibling does not notice", async (mode) => {
    const name = await escapes.sandbox({ limits: { memoryBytes: 48 * 1024 * 1024, diskBytes: 1024 * 1024, tmpBytes: 1024 * 1024 } });
    const sibling = await escapes.sandbox();
    const { exit } = await escapes.inside(name, "escape", [mode], { deadlineMs: 30_000 });
    expect(exit.oomKilled).toBe(true);
    expect(exit.cause).not.toBe("exited");
    expect((await escapes.bench.run(sibling, ["/bin/echo", "alive"])).stdout).toBe("alive\n");
  });

  test("that open files without end stop at their limit", async () => {
    const name = await escapes.sandbox({ limits: { openFilesMax: 200 } });
    expect((await escapes.inside(name, "escape", ["open-files"])).stdout).toMatch(/^opened 19\d EMFILE\n$/);
  });

  test("that fill the disk, /tmp or /dev/shm stop at the limit, and the host's disk is unharmed", async () => {
    const name = await escapes.sandbox({ limits: { diskBytes: 8 * 1024 * 1024, tmpBytes: 4 * 1024 * 1024 } });
    for (const path of ["big", "/tmp/big", "/dev/shm/big", "/dev/big", "/big"]) {
      const { stdout } = await escapes.inside(name, "escape", ["fill", path]);
      expect(stdout).toMatch(/^(filled \d{1,7} ENOSPC|open E[A-Z]+)\n$/);
    }
    expect((await escapes.inside(name, "escape", ["fill", "big"])).stdout).toMatch(/^filled [78]\d{6} ENOSPC\n$/);
    expect((await escapes.inside(name, "escape", ["many-files", "."])).stdout).toMatch(/^made \d{1,4} ENOSPC\n$/);
  });

  test("that crash leave no core on the host and run no helper there", async () => {
    const name = await escapes.sandbox();
    const { exit, stdout } = await escapes.inside(name, "escape", ["crash"]);
    expect(stdout).toBe("core 1 1\n");
    expect(exit).toMatchObject({ cause: "signaled", signal: 11 });
    expect((await escapes.bench.sh(name, "ls")).stdout).not.toContain("core");
  });

  test("of one exec that outlive it cannot speak for the next", async () => {
    const name = await escapes.sandbox();
    const first = await escapes.bench.sh(name, "(sleep 0.3; echo late) & echo early");
    const second = await escapes.bench.sh(name, "sleep 0.6; echo second");
    expect([first.stdout, second.stdout]).toEqual(["early\n", "second\n"]);
  });

  test("that print what looks like the warden's own frames print only text", async () => {
    const name = await escapes.sandbox();
    const bytes = Buffer.concat([
      Buffer.from([0, 0, 0, 4, 0x94, 0x44, 0xa1, 0x61]),
      Buffer.from('{"type":"exit","code":0}\n\u001b]52;c;x\u0007'),
    ]);
    const { stdout, exit } = await escapes.bench.run(name, ["/bin/cat"], { stdin: bytes });
    expect(Buffer.from(stdout).equals(Buffer.from(bytes.toString()))).toBe(true);
    expect(exit.code).toBe(0);
  });

  test("write a line of 100 MB through a small window in bounded memory of the warden", async () => {
    const name = await escapes.sandbox();
    const before = residentKib(escapes.bench.warden.pid);
    let received = 0;
    const original = escapes.bench.events.output.bind(escapes.bench.events);
    escapes.bench.events.output = (chunk) => {
      received += chunk.bytes.length;
      escapes.bench.vm.ackOutput(chunk.name, chunk.execId, chunk.stream, chunk.offset + chunk.bytes.length);
    };
    try {
      const execId = await escapes.bench.start(name, ["/usr/bin/head", "-c", "100000000", "/dev/zero"]);
      await escapes.bench.events.until(
        "its exit",
        () => escapes.bench.events.exits.some((exit) => exit.name === name && exit.execId === execId),
        60_000,
      );
    } finally {
      escapes.bench.events.output = original;
    }
    expect(received).toBe(100_000_000);
    expect(residentKib(escapes.bench.warden.pid) - before).toBeLessThan(20_000);
  });

  test("cannot name or reach the host's processes", async () => {
    const name = await escapes.sandbox();
    const { stdout } = await escapes.bench.sh(name, `kill -0 ${process.pid} 2>/dev/null && echo reached; kill -9 -1 2>/dev/null; true`);
    expect(stdout).toBe("");
    expect(processesOf(process.getuid?.() ?? 0).length).toBeGreaterThan(0);
  });
});

function residentKib(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
    .trim()
    .split(" ")
    .filter((child) => child !== "");
  const own = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
  return (
    own + children.reduce((sum, child) => sum + Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${child}/status`, "utf8"))?.[1] ?? 0), 0)
  );
}
