/** Commands, streams and connections: what every backend promises. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { layerNames } from "../../vm/wire/layers.ts";
import { RecordedEvents } from "./recorded-events.ts";
import { SandboxBench } from "./sandbox-bench.ts";
import { wardenUnavailable } from "./warden-process.ts";

const HOST_BACKEND = `the host backend${wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`}`;

describe.skipIf(wardenUnavailable !== null)(HOST_BACKEND, () => {
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

  async function codeOf(promise: Promise<unknown>): Promise<string> {
    try {
      await promise;
    } catch (error) {
      return error instanceof Error && "code" in error ? String(error.code) : String(error);
    }
    return "resolved";
  }

  describe("creating", () => {
    test("tells who it is, with the hash of its binary", () => {
      expect(bench.vm.identity).toMatchObject({
        wardenId: expect.stringMatching(/^[0-9a-f]{32}$/),
        binarySha256: expect.stringMatching(/^[0-9a-f]{64}$/),
        sandboxesMax: 4096,
      });
    });

    test("answers a sandbox with every layer, its own uid and a living init", async () => {
      const plan = bench.plan();
      const info = await bench.vm.create(plan);
      expect(info).toEqual({ name: plan.name, uid: expect.any(Number), initPid: expect.any(Number), layers: layerNames });
      const other = await bench.vm.create(bench.plan());
      expect(other.uid).toBeGreaterThan(info.uid);
      expect(await bench.vm.probe(plan.name)).toEqual({
        inside: expect.arrayContaining(["uid", "seccomp", "landlock"]),
        outside: expect.arrayContaining(["cgroup-limits", "pid-ns"]),
      });
    });

    test("twice by one name answers the living sandbox", async () => {
      const plan = bench.plan();
      const [first, second] = await Promise.all([bench.vm.create(plan), bench.vm.create(plan)]);
      expect(second).toEqual(first);
      expect(await bench.vm.create(plan)).toEqual(first);
    });

    test("never gives a uid again, not even after destroy", async () => {
      const first = await bench.vm.create(bench.plan());
      await bench.destroy(first.name);
      const second = await bench.vm.create(bench.plan());
      expect(second.uid).toBeGreaterThan(first.uid);
    });

    test("with network proxied answers every layer too, twice the same sandbox, and ones without a network go on beside it", async () => {
      const plan = bench.plan({ network: "proxied" });
      const info = await bench.vm.create(plan);
      expect(info.layers).toEqual(layerNames);
      expect(await bench.vm.create(plan)).toEqual(info);
      const others = await Promise.all(
        Array.from({ length: 20 }, (_, index) => bench.vm.create(bench.plan({ network: index % 2 === 0 ? "proxied" : "none" }))),
      );
      expect(new Set(others.map(({ uid }) => uid)).size).toBe(20);
      // Interfaces, and who listens on port 3128.
      const seen = "tail -n +3 /proc/net/dev | wc -l; grep -c ':0C38 00000000:0000 0A' /proc/net/tcp";
      expect((await bench.sh(plan.name, seen)).stdout).toBe("1\n1\n");
      expect((await bench.sh(others[1]?.name ?? "", seen)).stdout).toBe("1\n0\n");
      await bench.destroy(plan.name);
      expect((await bench.vm.list()).map(({ name }) => name)).not.toContain(plan.name);
    });

    test("with network proxied and an endpoint that is no one's is refused, and leaves nothing", async () => {
      expect(await codeOf(bench.vm.create(bench.plan({ network: { type: "proxied", endpoint: "/no/such/endpoint" } })))).toBe(
        "SANDBOX_FAILED",
      );
      expect(await bench.vm.list()).toEqual([]);
    });

    test("fifty sandboxes at once gives fifty different uids", async () => {
      const infos = await Promise.all(Array.from({ length: 50 }, () => bench.vm.create(bench.plan())));
      expect(new Set(infos.map((info) => info.uid)).size).toBe(50);
      expect((await bench.vm.list()).length).toBe(50);
    });
  });

  describe("commands", () => {
    test("run in the home of the session, with the environment that was asked for and no other", async () => {
      const name = await bench.sandbox();
      const { exit, stdout, stderr } = await bench.run(name, ["/usr/bin/env"], { env: { GREETING: "hé llo", EMPTY: "" } });
      expect({ code: exit.code, cause: exit.cause, stderr }).toEqual({ code: 0, cause: "exited", stderr: "" });
      expect(stdout.trimEnd().split("\n").toSorted()).toEqual(["EMPTY=", "GREETING=hé llo", "PATH=/usr/local/bin:/usr/bin:/bin"]);
      expect((await bench.sh(name, "pwd; echo err >&2; exit 7")).stdout).toBe(`/sessions/${name}\n`);
    });

    test("keep stdout and stderr apart and tell how they ended", async () => {
      const name = await bench.sandbox();
      const { exit, stdout, stderr } = await bench.sh(name, "echo out; echo err >&2; exit 7");
      expect({ stdout, stderr }).toEqual({ stdout: "out\n", stderr: "err\n" });
      expect(exit).toMatchObject({
        cause: "exited",
        code: 7,
        signal: 0,
        oomKilled: false,
        deadlineHit: false,
        leaseExpired: false,
        stdoutBytes: 4,
        stderrBytes: 4,
      });
      expect(exit.wallUs).toBeGreaterThan(0);
      expect(exit.maxRssKib).toBeGreaterThan(0);
      expect((await bench.sh(name, "kill -KILL $$")).exit).toMatchObject({ cause: "signaled", signal: 9 });
    });

    test("may be sent right behind create, and run once it stands", async () => {
      const plan = bench.plan();
      const created = bench.vm.create(plan);
      const exec = bench.execPlan(["/bin/echo", "hello"], { cwd: `/sessions/${plan.name}` });
      await Promise.all([created, bench.vm.exec(plan.name, exec)]);
      expect((await bench.outcome(plan.name, exec.execId)).stdout).toBe("hello\n");
    });

    test("with an id that ran are answered and not run again", async () => {
      const name = await bench.sandbox();
      const plan = bench.execPlan(["/bin/sh", "-c", "echo run >> runs"], { cwd: `/sessions/${name}` });
      await Promise.all([bench.vm.exec(name, plan), bench.vm.exec(name, plan)]);
      await bench.outcome(name, plan.execId);
      expect((await bench.sh(name, "cat runs")).stdout).toBe("run\n");
    });

    test("that cannot be started are told as such and harm nothing", async () => {
      const name = await bench.sandbox();
      expect(await codeOf(bench.start(name, ["/no/such/program"]))).toBe("EXEC_FAILED");
      expect(await codeOf(bench.start(name, ["/etc/passwd"]))).toBe("EXEC_FAILED");
      expect(await codeOf(bench.start(name, ["/bin/true"], { cwd: "/no/such/directory" }))).toBe("EXEC_FAILED");
      expect(await codeOf(bench.start("no-such-sandbox", ["/bin/true"]))).toBe("WARDEN_REFUSED");
      expect((await bench.run(name, ["/bin/true"])).exit.code).toBe(0);
    });

    test("are found through PATH", async () => {
      const name = await bench.sandbox();
      expect((await bench.run(name, ["echo", "found"])).stdout).toBe("found\n");
    });

    test("run several at a time in one sandbox and see each other", async () => {
      const name = await bench.sandbox();
      const sleeping = await bench.start(name, ["/bin/sleep", "30"]);
      expect((await bench.sh(name, "kill -0 -1; cat /proc/[0-9]*/comm | grep -c sleep")).stdout).toBe("1\n");
      await bench.vm.signal(name, sleeping, 15);
      expect((await bench.outcome(name, sleeping)).exit).toMatchObject({ cause: "signaled", signal: 15 });
    });

    test("end when the command ends, though a grandchild holds its output", async () => {
      const name = await bench.sandbox();
      const { exit, stdout } = await bench.sh(name, "sleep 30 & echo done", { deadlineMs: 5000 });
      expect({ code: exit.code, stdout }).toEqual({ code: 0, stdout: "done\n" });
    });

    test("take ten thousand arguments' worth of bytes, and more than fits is refused alone", async () => {
      const name = await bench.sandbox();
      const { stdout } = await bench.run(name, ["/bin/sh", "-c", "echo $#", "sh", ...Array.from({ length: 5000 }, () => "x".repeat(20))]);
      expect(stdout).toBe("5000\n");
      expect(await codeOf(bench.start(name, ["/bin/echo", ...Array.from({ length: 1100 }, () => "x".repeat(1000))]))).not.toBe("resolved");
      expect((await bench.run(name, ["/bin/true"])).exit.code).toBe(0);
    });
  });

  describe("stdin", () => {
    test("is an end of file when none is asked for", async () => {
      const name = await bench.sandbox();
      expect((await bench.run(name, ["/bin/cat"])).exit).toMatchObject({ cause: "exited", code: 0 });
    });

    test("of 300 KB arrives whole and is acknowledged as it is read", async () => {
      const name = await bench.sandbox();
      const bytes = Buffer.alloc(300_000, "0123456789\n");
      const { stdout } = await bench.run(name, ["/usr/bin/md5sum"], { stdin: bytes });
      const hash = (await import("node:crypto")).createHash("md5").update(bytes).digest("hex");
      expect(stdout).toBe(`${hash}  -\n`);
      await bench.events.until("the ack of all stdin", () =>
        bench.events.stdin.some(([session, , offset]) => session === name && offset === bytes.length),
      );
    });

    test("sent twice from one offset is taken once", async () => {
      const name = await bench.sandbox();
      const execId = await bench.start(name, ["/bin/cat"], { stdin: Buffer.alloc(0) }).catch(() => 0);
      expect((await bench.outcome(name, execId)).stdout).toBe("");
      const plan = { ...bench.execPlan(["/bin/cat"], { cwd: `/sessions/${name}` }), stdin: "stream" as const };
      await bench.vm.exec(name, plan);
      bench.vm.writeStdin(name, plan.execId, 0, Buffer.from("abc"), false);
      bench.vm.writeStdin(name, plan.execId, 0, Buffer.from("abcdef"), false);
      bench.vm.writeStdin(name, plan.execId, 6, Buffer.from("g"), true);
      expect((await bench.outcome(name, plan.execId)).stdout).toBe("abcdefg");
    });

    test("that nobody reads harms nothing when the command ends", async () => {
      const name = await bench.sandbox();
      const { exit } = await bench.run(name, ["/bin/true"], { stdin: Buffer.alloc(500_000) });
      expect(exit.code).toBe(0);
      expect((await bench.run(name, ["/bin/true"])).exit.code).toBe(0);
    });
  });

  describe("a pty", () => {
    test("is a terminal of the asked size, echoes, and follows a resize", async () => {
      const name = await bench.sandbox();
      const plan = {
        ...bench.execPlan(["/bin/sh", "-c", "stty size; read line; stty size; tty -s && echo terminal"], {
          cwd: `/sessions/${name}`,
          pty: { rows: 20, columns: 70 },
        }),
        stdin: "stream" as const,
      };
      await bench.vm.exec(name, plan);
      await bench.events.until("the first size", () => bench.events.bytesOf(name, plan.execId, "stdout").includes("20 70"));
      await bench.vm.resize(name, plan.execId, 30, 90);
      bench.vm.writeStdin(name, plan.execId, 0, Buffer.from("go\n"), false);
      const { stdout, exit } = await bench.outcome(name, plan.execId);
      expect(stdout).toBe("20 70\r\ngo\r\n30 90\r\nterminal\r\n");
      expect(exit.code).toBe(0);
    });

    test("turns Ctrl-C into SIGINT for its foreground process", async () => {
      const name = await bench.sandbox();
      const plan = {
        ...bench.execPlan(["/bin/sh", "-c", "echo ready; exec sleep 30"], { pty: { rows: 20, columns: 70 }, cwd: `/sessions/${name}` }),
        stdin: "stream" as const,
      };
      await bench.vm.exec(name, plan);
      await bench.events.until("ready", () => bench.events.bytesOf(name, plan.execId, "stdout").includes("ready"));
      await new Promise((resolve) => setTimeout(resolve, 100));
      bench.vm.writeStdin(name, plan.execId, 0, Buffer.from("\x03"), false);
      expect((await bench.outcome(name, plan.execId)).exit).toMatchObject({ cause: "signaled", signal: 2 });
    });
  });

  describe("output", () => {
    const numbered = (bytes: number): string =>
      `i=0; while [ $i -lt ${Math.floor(bytes / 64)} ]; do printf '%063d\\n' $i; i=$((i+1)); done`;
    const expected = (bytes: number): string =>
      Array.from({ length: Math.floor(bytes / 64) }, (_, index) => `${String(index).padStart(63, "0")}\n`).join("");

    test("of 1 MB passes a window of 64 KiB whole and in order", async () => {
      const name = await bench.sandbox();
      const { stdout, exit } = await bench.sh(name, numbered(1_000_000), { windowBytes: 65_536 });
      expect(stdout === expected(1_000_000)).toBe(true);
      expect(exit.stdoutBytes).toBe(stdout.length);
    });

    test("that nobody acknowledges stops at the window and blocks the child; the ack lets it go on", async () => {
      const name = await bench.sandbox();
      bench.acknowledges = false;
      const execId = await bench.start(name, ["/bin/sh", "-c", "head -c 400000 /dev/zero; echo done > finished"], { windowBytes: 65_536 });
      const produced = (): number => bench.events.bytesOf(name, execId, "stdout").length;
      await bench.events.until("a full window", () => produced() >= 65_536);
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(produced()).toBe(65_536);
      expect((await bench.vm.list())[0]?.execs[0]).toMatchObject({ state: "running", stdout: { acked: 0, produced: 65_536 } });
      bench.acknowledges = true;
      bench.vm.ackOutput(name, execId, "stdout", produced());
      const { stdout, exit } = await bench.outcome(name, execId);
      expect([stdout.length, exit.code]).toEqual([400_000, 0]);
    });

    test("window can be widened while it runs", async () => {
      const name = await bench.sandbox();
      bench.acknowledges = false;
      const execId = await bench.start(name, ["/usr/bin/head", "-c", "200000", "/dev/zero"], { windowBytes: 4096 });
      const produced = (): number => bench.events.bytesOf(name, execId, "stdout").length;
      await bench.events.until("the small window", () => produced() >= 4096);
      bench.vm.setWindow(name, execId, "stdout", 500_000);
      await bench.events.until("the rest", () => produced() === 200_000);
      bench.acknowledges = true;
      bench.vm.ackOutput(name, execId, "stdout", 200_000);
      expect((await bench.outcome(name, execId)).exit.code).toBe(0);
    });

    test("ends each stream with one fin", async () => {
      const name = await bench.sandbox();
      const { exit } = await bench.sh(name, "echo out");
      const fins = bench.events.chunks.filter((chunk) => chunk.name === name && chunk.execId === exit.execId && chunk.fin);
      expect(fins.map((chunk) => `${chunk.stream} ${chunk.offset + chunk.bytes.length}`).toSorted()).toEqual(["stderr 0", "stdout 4"]);
    });

    test("is bytes: every value comes back", async () => {
      const name = await bench.sandbox();
      const execId = await bench.start(name, ["/bin/cat"], { stdin: Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)) });
      await bench.outcome(name, execId);
      expect([...bench.events.bytesOf(name, execId, "stdout")]).toEqual(Array.from({ length: 256 }, (_, byte) => byte));
    });

    test("survives reconnecting in the middle: nothing missing, nothing doubled, one exit", async () => {
      const name = await bench.sandbox();
      const bytes = 2_000_000;
      const execId = await bench.start(name, ["/bin/sh", "-c", numbered(bytes)], { windowBytes: 65_536 });
      for (let round = 1; round <= 4; round += 1) {
        await bench.events.until("some output", () => bench.events.bytesOf(name, execId, "stdout").length > round * 200_000);
        bench.disconnect();
        await bench.connect();
      }
      const { stdout, exit } = await bench.outcome(name, execId);
      expect(stdout === expected(bytes)).toBe(true);
      expect(exit).toMatchObject({ cause: "exited", code: 0, stdoutBytes: stdout.length });
    });

    test("that ended while nobody was connected is all there, with its exit, until both are acknowledged", async () => {
      const name = await bench.sandbox();
      const execId = await bench.start(name, ["/bin/sh", "-c", "sleep 0.3; echo late; exit 3"]);
      bench.disconnect();
      await new Promise((resolve) => setTimeout(resolve, 800));
      for (let round = 0; round < 2; round += 1) {
        bench.events = new RecordedEvents();
        bench.acknowledges = false;
        await bench.connect();
        await bench.vm.list();
        expect(await bench.outcome(name, execId)).toMatchObject({ stdout: "late\n", exit: { code: 3 } });
        if (round === 0) bench.disconnect();
      }
      bench.acknowledges = true;
      bench.vm.ackOutput(name, execId, "stdout", 5);
      bench.vm.ackOutput(name, execId, "stderr", 0);
      bench.vm.ackExit(name, execId);
      bench.disconnect();
      bench.events = new RecordedEvents();
      await bench.connect();
      await bench.vm.list();
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(bench.events.exits).toEqual([]);
    });
  });
});
