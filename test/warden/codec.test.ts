import { randomBytes } from "node:crypto";
import { accessSync, constants } from "node:fs";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { encodeFrame } from "../../runtime/kernel/frame-codec.ts";
import { CodecProcess, sandboxPlan, shellPlan } from "./codec-process.ts";
import { codecSources, SanitizedBuild } from "./sanitized-build.ts";

const build = new SanitizedBuild();
let program = "";
let codec: CodecProcess | null = null;

beforeAll(async () => {
  program = await build.compile("codec-stub", ["codec-stub.c"], codecSources);
});
afterAll(() => build.remove());
afterEach(async () => {
  await codec?.stop();
  codec = null;
});

function start(options: ConstructorParameters<typeof CodecProcess>[1] = {}): CodecProcess {
  codec = new CodecProcess(program, options);
  return codec;
}

const hello = encodeFrame([1, 2, "test", 60_000, 120_000]);

test("a command's output and exit come back, and nothing is listed after its acknowledgement and destruction", async () => {
  const { vm, events } = await start().connect();
  const created = vm.create(sandboxPlan("calm-warm-noether"));
  const started = vm.exec("calm-warm-noether", shellPlan(1, "printf out; printf err >&2; exit 3"));
  expect((await created).uid).toBe(1000);
  await started;
  const exit = await events.until("the exit", () => events.exits[0]);
  expect(exit).toMatchObject({ cause: "exited", code: 3, stdoutBytes: 3, stderrBytes: 3, oomKilled: false });
  expect(events.bytesOf("calm-warm-noether", 1, "stdout").toString()).toBe("out");
  expect(events.bytesOf("calm-warm-noether", 1, "stderr").toString()).toBe("err");
  expect((await vm.list())[0]?.execs).toEqual([
    { execId: 1, state: "exited", stdout: { acked: 0, produced: 3 }, stderr: { acked: 0, produced: 3 } },
  ]);
  vm.ackExit("calm-warm-noether", 1);
  await vm.destroy("calm-warm-noether");
  await vm.destroy("calm-warm-noether");
  expect(await vm.list()).toEqual([]);
});

test("CREATE and EXEC are idempotent, before and after the sandbox stands and after the exit was acknowledged", async () => {
  const { vm, events } = await start().connect();
  const both = await Promise.all([vm.create(sandboxPlan("a")), vm.create(sandboxPlan("a"))]);
  expect(both[0]).toEqual(both[1]);
  await Promise.all([vm.exec("a", shellPlan(1, "echo once")), vm.exec("a", shellPlan(1, "echo once"))]);
  await events.until("the exit", () => events.exits[0]);
  await vm.exec("a", shellPlan(1, "echo once"));
  vm.ackExit("a", 1);
  await vm.exec("a", shellPlan(1, "echo once"));
  expect(events.bytesOf("a", 1, "stdout").toString()).toBe("once\n");
  expect(events.exits.length).toBe(1);
  expect((await vm.list())[0]?.execs).toEqual([]);
});

test("output stops at its window, goes on with each ack, and comes whole and once across reconnects", async () => {
  const process = start();
  const total = 1_000_000;
  const first = await process.connect();
  await first.vm.create(sandboxPlan("a"));
  await first.vm.exec("a", shellPlan(1, `head -c ${total} /dev/zero | tr '\\0' x; exit 0`, { windowBytes: 50_000 }));
  await first.events.until("a full window", () => first.events.bytesOf("a", 1, "stdout").length === 50_000);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect((await first.vm.list())[0]?.execs[0]?.stdout).toEqual({ acked: 0, produced: 50_000 });
  let acked = 0;
  for (let round = 0; acked < total; round += 1) {
    const { vm, events } = await process.connect();
    const wanted = Math.min(total - acked, 50_000) / 2;
    const chunk = await events.until("output after a reconnect", () => events.chunks.find((each) => each.stream === "stdout"));
    expect(chunk.offset).toBe(acked);
    await events.until("half a window", () => events.chunks.reduce((sum, each) => sum + each.bytes.length, 0) >= wanted);
    for (let step = 0; step < 8 && acked < total; step += 1) {
      await events.until("more output", () =>
        events.chunks.some((each) => each.stream === "stdout" && each.offset + each.bytes.length > acked),
      );
      acked = Math.max(...events.chunks.filter((each) => each.stream === "stdout").map((each) => each.offset + each.bytes.length));
      vm.ackOutput("a", 1, "stdout", acked);
    }
    vm.close();
    expect(round).toBeLessThan(200);
  }
  const last = await process.connect();
  const exit = await last.events.until("the exit", () => last.events.exits[0]);
  expect(exit).toMatchObject({ cause: "exited", code: 0, stdoutBytes: total });
});

test("an exit is sent again on every connection until it is acknowledged", async () => {
  const process = start();
  const first = await process.connect();
  await first.vm.create(sandboxPlan("a"));
  await first.vm.exec("a", shellPlan(1, "echo hi"));
  const exit = await first.events.until("the exit", () => first.events.exits[0]);
  const second = await process.connect();
  await first.events.until("the end of the older connection", () => first.events.closedBy);
  expect(await second.events.until("the exit again", () => second.events.exits[0])).toEqual(exit);
  expect(second.events.bytesOf("a", 1, "stdout").toString()).toBe("hi\n");
  second.vm.ackExit("a", 1);
  expect((await second.vm.list())[0]?.execs).toEqual([]);
  const third = await process.connect();
  await third.vm.list();
  expect(third.events.exits).toEqual([]);
});

test("stdin arrives whole and in order, is acknowledged, and its end is the end", async () => {
  const { vm, events } = await start().connect();
  await vm.create(sandboxPlan("a"));
  const text = randomBytes(400_000);
  await vm.exec("a", shellPlan(1, "sleep 0.1; cat", { stdin: "stream" }));
  vm.writeStdin("a", 1, 0, text.subarray(0, 300_000), false);
  vm.writeStdin("a", 1, 100_000, text.subarray(100_000), true);
  await events.until("the exit", () => events.exits[0]);
  expect(events.bytesOf("a", 1, "stdout").equals(text)).toBe(true);
  expect(events.stdin.at(-1)).toEqual(["a", 1, 400_000]);
});

test("a gap in stdin closes the connection and no child", async () => {
  const process = start();
  const { vm, events } = await process.connect();
  await vm.create(sandboxPlan("a"));
  await vm.exec("a", shellPlan(1, "cat", { stdin: "stream" }));
  vm.writeStdin("a", 1, 5, Buffer.from("x"), false);
  await events.until("the end", () => events.closedBy);
  const next = await process.connect();
  next.vm.writeStdin("a", 1, 0, Buffer.from("whole"), true);
  await next.events.until("the exit", () => next.events.exits[0]);
  expect(next.events.bytesOf("a", 1, "stdout").toString()).toBe("whole");
});

test("a grandchild that holds the pipe does not hold back the exit", async () => {
  const { vm, events } = await start().connect();
  await vm.create(sandboxPlan("a"));
  await vm.exec("a", shellPlan(1, "echo before; sleep 60 & exit 0"));
  expect(await events.until("the exit", () => events.exits[0])).toMatchObject({ cause: "exited", code: 0, stdoutBytes: 7 });
});

test("what cannot be started is refused and recorded", async () => {
  const { vm, events } = await start().connect();
  await vm.create(sandboxPlan("a"));
  await expect(vm.exec("a", shellPlan(404, "true"))).rejects.toMatchObject({ code: "EXEC_FAILED" });
  expect(await events.until("the exit", () => events.exits[0])).toMatchObject({
    execId: 404,
    cause: "not-started",
    detail: "no such program",
  });
});

test("a refused sandbox refuses what was held for it, and a layer that is missing is named", async () => {
  const { vm } = await start().connect();
  const created = vm.create(sandboxPlan("refused"));
  const started = vm.exec("refused", shellPlan(1, "true"));
  await expect(created).rejects.toThrow(/no uid is left/);
  await expect(started).rejects.toThrow(/no uid is left/);
  await expect(vm.create(sandboxPlan("thin"))).rejects.toThrow(/seccomp/);
  expect(await vm.list()).toEqual([]);
});

test("the death of a sandbox gives each of its processes one exit", async () => {
  const { vm, events } = await start().connect();
  await vm.create(sandboxPlan("a"));
  await Promise.all([1, 2, 3].map((id) => vm.exec("a", shellPlan(id, `echo ${id}; sleep 60`))));
  await events.until("output", () => events.chunks.filter((chunk) => chunk.bytes.length > 0).length === 3);
  await vm.kill("a");
  await events.until("three exits", () => events.exits.length === 3);
  expect(events.exits.map(({ cause, stdoutBytes }) => ({ cause, stdoutBytes }))).toEqual(
    Array(3).fill({ cause: "sandbox-died", stdoutBytes: 2 }),
  );
  expect(events.deaths).toMatchObject([{ name: "a", reason: "asked" }]);
  await expect(vm.exec("a", shellPlan(4, "true"))).rejects.toThrow();
  await expect(vm.create(sandboxPlan("a"))).rejects.toThrow(/not destroyed/);
  await vm.destroy("a");
  await vm.create(sandboxPlan("a"));
});

test("an init that sends nonsense loses its own sandbox only", async () => {
  const { vm, events } = await start().connect();
  await Promise.all([vm.create(sandboxPlan("mad")), vm.create(sandboxPlan("sane"))]);
  await vm.exec("sane", shellPlan(1, "sleep 0.2; echo fine"));
  await vm.exec("mad", shellPlan(666, "sleep 60"));
  expect(await events.until("its death", () => events.deaths[0])).toMatchObject({ name: "mad", reason: "itself" });
  await events.until("two exits", () => events.exits.length === 2);
  expect(Object.fromEntries(events.exits.map(({ name, cause }) => [name, cause]))).toEqual({ mad: "sandbox-died", sane: "exited" });
});

test("an out-of-memory kill that the cgroup counted is in the exit", async () => {
  const { vm, events } = await start().connect();
  await vm.create(sandboxPlan("hungry"));
  await vm.exec("hungry", shellPlan(1, "kill -9 $$"));
  expect(await events.until("the exit", () => events.exits[0])).toMatchObject({ cause: "signaled", signal: 9, oomKilled: true });
});

/** The stub is not root, and some machines let only root make terminals in /dev/pts; the warden itself has an instance of its own. */
const terminalsUnavailable = canMakeTerminals() ? null : "needs a /dev/pts/ptmx that this user may open";

function canMakeTerminals(): boolean {
  try {
    accessSync("/dev/pts/ptmx", constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

test("a terminal echoes, knows its size, and ends with its process", async ({ skip }) => {
  skip(terminalsUnavailable !== null, terminalsUnavailable ?? "");
  const { vm, events } = await start().connect();
  await vm.create(sandboxPlan("a"));
  await vm.exec("a", shellPlan(1, "stty size; read line; stty size; echo got $line", { stdin: "stream", pty: { rows: 24, columns: 80 } }));
  await events.until("the size", () => events.bytesOf("a", 1, "stdout").includes("24 80"));
  await vm.resize("a", 1, 50, 132);
  vm.writeStdin("a", 1, 0, Buffer.from("hello\n"), false);
  expect(await events.until("the exit", () => events.exits[0])).toMatchObject({ cause: "exited", code: 0, stderrBytes: 0 });
  expect(events.bytesOf("a", 1, "stdout").toString()).toBe("24 80\r\nhello\r\n50 132\r\ngot hello\r\n");
});

test("signals, freeze, thaw, stats and probe are answered", async () => {
  const { vm, events } = await start().connect();
  await vm.create(sandboxPlan("a"));
  await vm.exec("a", shellPlan(1, "trap 'echo caught; exit 7' USR1; echo ready; while :; do sleep 0.05; done"));
  await events.until("its trap", () => events.bytesOf("a", 1, "stdout").includes("ready"));
  await vm.freeze("a");
  expect((await vm.list())[0]?.state).toBe("frozen");
  await vm.thaw("a");
  expect((await vm.stats("a")).memoryBytes).toBe(100);
  expect((await vm.probe("a")).inside.length).toBe(20);
  await vm.signal("a", 1, 10);
  expect(await events.until("the exit", () => events.exits[0])).toMatchObject({ cause: "exited", code: 7 });
  await expect(vm.signal("a", 9, 10)).rejects.toThrow(/no process 9/);
  await expect(vm.stats("nobody")).rejects.toThrow();
});

test("without its supervisor everything is frozen, then killed and destroyed; only the exit records wait", async () => {
  const process = start();
  const first = await process.connect({ freezeAfterMs: 200, killAfterMs: 400 });
  await first.vm.create(sandboxPlan("a"));
  await first.vm.create(sandboxPlan("b"));
  await first.vm.exec("a", shellPlan(1, "echo kept; sleep 60"));
  await first.events.until("output", () => first.events.chunks.length > 0);
  first.vm.close();
  await new Promise((resolve) => setTimeout(resolve, 800));
  expect(process.stderr).toContain("2 sandboxes are killed");
  const { vm, events } = await process.connect();
  expect(await vm.list()).toEqual([]);
  expect(await events.until("the exit", () => events.exits[0])).toMatchObject({
    name: "a",
    execId: 1,
    cause: "signaled",
    signal: 9,
    leaseExpired: true,
    stdoutBytes: 5,
  });
  expect(events.bytesOf("a", 1, "stdout").toString()).toBe("kept\n");
  vm.ackExit("a", 1);
});

test("a supervisor that comes back in time finds its sandboxes thawed", async () => {
  const process = start();
  const first = await process.connect({ freezeAfterMs: 100, killAfterMs: 60_000 });
  await first.vm.create(sandboxPlan("a"));
  await first.vm.exec("a", shellPlan(1, "sleep 0.4; echo awake"));
  first.vm.close();
  await new Promise((resolve) => setTimeout(resolve, 600));
  const { events } = await process.connect();
  expect(await events.until("the exit", () => events.exits[0])).toMatchObject({ cause: "exited", stdoutBytes: 6 });
});

test("it ends when it has been idle, and says so by status 0", async () => {
  const process = start({ exitWhenIdleMs: 300 });
  const { vm, events } = await process.connect();
  await vm.create(sandboxPlan("a"));
  await vm.exec("a", shellPlan(1, "true"));
  await events.until("the exit", () => events.exits[0]);
  await vm.destroy("a");
  vm.ackExit("a", 1);
  await new Promise((resolve) => setTimeout(resolve, 600));
  await vm.list();
  vm.close();
  expect(await process.ended()).toBe(0);
});

test("three hundred sandboxes at once give each output and each exit", async () => {
  const { vm, events } = await start().connect();
  const names = Array.from({ length: 300 }, (_, index) => `child-${index}`);
  const begun = Date.now();
  await Promise.all(names.flatMap((name) => [vm.create(sandboxPlan(name)), vm.exec(name, shellPlan(1, `echo ${name}`))]));
  await events.until("all exits", () => events.exits.length === names.length, 30_000);
  for (const name of names) {
    expect(events.bytesOf(name, 1, "stdout").toString()).toBe(`${name}\n`);
    vm.ackExit(name, 1);
  }
  await Promise.all(names.map((name) => vm.destroy(name)));
  expect(await vm.list()).toEqual([]);
  expect(Date.now() - begun).toBeLessThan(25_000);
});

test.each([
  ["a length of zero", Buffer.concat([hello, Buffer.from([0, 0, 0, 0])])],
  ["a length over the cap", Buffer.concat([hello, Buffer.from([0, 0x10, 0, 1])])],
  ["a map", Buffer.concat([hello, encodeFrame({ type: 1 })])],
  ["a field too many", Buffer.concat([hello, encodeFrame([16, 0])])],
  ["a field too few", Buffer.concat([hello, encodeFrame([13, 1])])],
  ["a float", Buffer.concat([hello, encodeFrame([14, 1.5])])],
  ["an unknown type", Buffer.concat([hello, encodeFrame([99, 1])])],
  ["a negative seq", Buffer.concat([hello, encodeFrame([14, -1])])],
  ["a string where bytes belong", Buffer.concat([hello, encodeFrame([4, "a", 1, 0, 0, "text", false])])],
  ["a second HELLO", Buffer.concat([hello, hello])],
  ["a first frame that is not HELLO", encodeFrame([14, 1])],
  ["noise", randomBytes(64)],
])("%s closes the connection", async (_, bytes) => {
  const process = start();
  const { vm } = await process.connect();
  vm.close();
  await process.raw(bytes);
  expect(process.stderr).toContain("connection closed");
});

test("grants are answered, refused and revoked once, and their ends told to every connection until the sandbox is gone", async () => {
  const process = start();
  const { vm, events } = await process.connect();
  await vm.create(sandboxPlan("given"));
  const plan = { grantId: 17, source: "/srv/data", target: "data", mode: "staged", ttlMs: 1000, stagedBytes: 4096 } as const;
  const first = await vm.grant("given", plan);
  expect(first).toEqual({ mountId: 1017, copied: false, copyPartial: false, protectionPartial: true });
  // Answered from its record: the stub would refuse this target.
  expect(await vm.grant("given", { ...plan, target: "refused" })).toEqual(first);
  await expect(vm.grant("given", { ...plan, grantId: 18, target: "refused" })).rejects.toMatchObject({ code: "MOUNT_REFUSED" });
  await expect(vm.grant("nobody", plan)).rejects.toMatchObject({ code: "WARDEN_REFUSED" });
  expect(await vm.revoke("given", 17)).toEqual({ processesKilled: 2, childKilled: false });
  expect(await vm.revoke("given", 99)).toEqual({ processesKilled: 0, childKilled: false });
  expect(await vm.revoke("nobody", 17)).toEqual({ processesKilled: 0, childKilled: false });
  await expect(vm.grant("given", plan)).rejects.toMatchObject({ code: "GRANT_ENDED" });
  const end = { name: "given", grantId: 17, reason: "revoked", processesKilled: 2, childKilled: false } as const;
  expect(events.grantEnds).toEqual([end]);
  vm.close();
  const again = await process.connect();
  await again.vm.list();
  await again.events.until("the end of the grant", () => again.events.grantEnds.length > 0);
  expect(again.events.grantEnds).toEqual([end]);
  await again.vm.destroy("given");
  await again.vm.list();
  expect(again.events.grantEnds).toHaveLength(1);
});

test.each([
  ["GRANT of an id that is a mount's of the creation", [19, 1, "a", 16, "/s", "t", 0, 0, 0]],
  ["GRANT of an unknown mode", [19, 1, "a", 17, "/s", "t", 3, 0, 0]],
  ["GRANT without its layer's size", [19, 1, "a", 17, "/s", "t", 2, 0]],
  ["REVOKE of grant 0", [20, 1, "a", 0]],
  ["REVOKE of two grants", [20, 1, "a", 17, 18]],
])("%s closes the connection", async (_, frame) => {
  const process = start();
  const { vm } = await process.connect();
  vm.close();
  await process.raw(Buffer.concat([hello, encodeFrame(frame)]));
  expect(process.stderr).toContain("connection closed: a frame breaks the protocol");
});

test("another version is refused by name, a bad session name by an ERROR that leaves the connection open", async () => {
  const process = start();
  const { vm } = await process.connect();
  vm.close();
  const refusal = await process.raw(encodeFrame([1, 1, "test", 1000, 2000]));
  expect(refusal.toString("latin1")).toContain("BAD_VERSION");
  const answers = await process.raw(Buffer.concat([hello, encodeFrame([13, 5, "Not A Name"]), encodeFrame([99])]));
  expect(answers.toString("latin1")).toContain("NAME_INVALID");
});
