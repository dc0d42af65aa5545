/** The tools channel as the codec carries it: both directions, their windows and resends, and what a child does to it. */
import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
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

function start(): CodecProcess {
  codec = new CodecProcess(program);
  return codec;
}

const withTools = { tools: "stream" } as const;
const python = (text: string): string => `exec python3 -c '${text}'`;

test("a program asks over descriptor 3 and reads the answer there, and its output is apart from it", async () => {
  const { vm, events } = await start().connect();
  await vm.create(sandboxPlan("a"));
  await vm.exec("a", shellPlan(1, "echo ask >&3; read answer <&3; echo $answer", withTools));
  await events.until("the question", () => events.bytesOf("a", 1, "tools").toString() === "ask\n");
  vm.ackOutput("a", 1, "tools", 4);
  vm.writeTools("a", 1, 0, Buffer.from("granted\n"), false);
  const exit = await events.until("the exit", () => events.exits[0]);
  expect(exit).toMatchObject({ cause: "exited", code: 0, stdoutBytes: 8, stderrBytes: 0 });
  expect(events.bytesOf("a", 1, "stdout").toString()).toBe("granted\n");
  expect(events.toolsChunks.at(-1)).toMatchObject({ offset: 4, fin: true });
  expect(events.toolsAcks.at(-1)).toEqual(["a", 1, 8]);
});

test("both directions of large data come whole, across reconnects, and the fin of the supervisor is an end of file", async () => {
  const process = start();
  const first = await process.connect();
  const text = randomBytes(700_000);
  await first.vm.create(sandboxPlan("a"));
  await first.vm.exec("a", shellPlan(1, "cat <&3 >&3", { ...withTools, windowBytes: 40_000 }));
  let sent = 0;
  let acked = 0;
  let { vm, events } = first;
  const heard: Buffer[] = [];
  for (let round = 0; acked < text.length; round += 1) {
    sent = Math.min(text.length, acked + 300_000);
    // What was sent or acknowledged over the last connection may not have arrived.
    vm.ackOutput("a", 1, "tools", acked);
    vm.writeTools("a", 1, 0, text.subarray(0, sent), sent === text.length);
    const chunk = await events.until("an echo", () =>
      events.toolsChunks.find((each) => each.offset <= acked && each.offset + each.bytes.length > acked),
    );
    heard.push(Buffer.from(chunk.bytes.subarray(acked - chunk.offset)));
    acked = chunk.offset + chunk.bytes.length;
    if (round % 7 === 6) ({ vm, events } = await process.connect());
    expect(round).toBeLessThan(400);
  }
  expect(Buffer.concat(heard).equals(text)).toBe(true);
  expect(await events.until("the exit", () => events.exits[0])).toMatchObject({ cause: "exited", code: 0 });
});

test("a flood stops at its window and blocks the program: nothing is dropped, and credit lets it go on", async () => {
  const { vm, events } = await start().connect();
  await vm.create(sandboxPlan("a"));
  await vm.exec("a", shellPlan(1, "head -c 3000000 /dev/zero >&3; echo done", { ...withTools, windowBytes: 30_000 }));
  await events.until("a full window", () => events.bytesOf("a", 1, "tools").length === 30_000);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(events.bytesOf("a", 1, "tools").length).toBe(30_000);
  expect(events.bytesOf("a", 1, "stdout").length).toBe(0);
  vm.setWindow("a", 1, "tools", 4_000_000);
  await events.until("the rest", () => events.bytesOf("a", 1, "tools").length === 3_000_000);
  await events.until("the exit", () => events.exits[0]);
});

test.each([
  ["closes it", "exec 3>&-; echo fine"],
  ["leaves it to a grandchild", "sleep 60 & echo fine"],
  ["never reads what comes", "echo ask >&3; echo fine; sleep 0.1"],
  [
    "sends a byte out of band",
    python('import socket; s=socket.socket(fileno=3); s.send(b"a"); s.send(b"b", socket.MSG_OOB); print("fine")'),
  ],
  ["ends its half", python('import socket; s=socket.socket(fileno=3); s.send(b"a"); s.shutdown(1); print("fine")')],
])("a program that %s ends as any other", async (_, script) => {
  const { vm, events } = await start().connect();
  await vm.create(sandboxPlan("a"));
  await vm.exec("a", shellPlan(1, script, withTools));
  vm.writeTools("a", 1, 0, Buffer.alloc(900_000), false);
  const exit = await events.until("the exit", () => events.exits[0]);
  expect(exit).toMatchObject({ cause: "exited", code: 0, stdoutBytes: 5 });
  vm.ackExit("a", 1);
  expect((await vm.list())[0]?.execs).toEqual([]);
});

test("an answer still reaches a program that ended its own half", async () => {
  const { vm, events } = await start().connect();
  await vm.create(sandboxPlan("a"));
  const script = python('import socket; s=socket.socket(fileno=3); s.send(b"ask"); s.shutdown(1); print(s.recv(9).decode())');
  await vm.exec("a", shellPlan(1, script, withTools));
  await events.until("the question", () => events.bytesOf("a", 1, "tools").length === 3);
  vm.writeTools("a", 1, 0, Buffer.from("yes"), false);
  await events.until("the exit", () => events.exits[0]);
  expect(events.bytesOf("a", 1, "stdout").toString()).toBe("yes\n");
});

test("a descriptor that is sent along reaches nobody, and what stands behind it still comes", async () => {
  const { vm, events } = await start().connect();
  await vm.create(sandboxPlan("a"));
  // Refused at the sender where the kernel can (6.16), else dropped where it is read.
  const script = python(`
import socket, array
s = socket.socket(fileno=3)
for round in range(200):
    try:
        s.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 3]))])
    except PermissionError:
        s.send(b"x")
print("sent")`);
  await vm.exec("a", shellPlan(1, script, withTools));
  await events.until("the exit", () => events.exits[0]);
  expect(events.bytesOf("a", 1, "tools").length).toBe(200);
  expect(events.bytesOf("a", 1, "stdout").toString()).toBe("sent\n");
});

test("bytes for a program without a tools channel are refused by an event, and its descriptor 3 is closed", async () => {
  const { vm, events } = await start().connect();
  await vm.create(sandboxPlan("a"));
  await vm.exec("a", shellPlan(1, "if (: >&3) 2>/dev/null; then echo open; else echo closed; fi; sleep 0.1"));
  vm.writeTools("a", 1, 0, Buffer.from("x"), false);
  await events.until("the event", () =>
    events.notices.some(([, kind, detail]) => kind === "stdin-refused" && detail.includes("tools channel")),
  );
  await events.until("the exit", () => events.exits[0]);
  expect(events.bytesOf("a", 1, "stdout").toString()).toBe("closed\n");
});

test("a gap closes the connection and no child", async () => {
  const process = start();
  const { vm, events } = await process.connect();
  await vm.create(sandboxPlan("a"));
  await vm.exec("a", shellPlan(1, "head -c 5 <&3", withTools));
  vm.writeTools("a", 1, 5, Buffer.from("x"), false);
  await events.until("the end", () => events.closedBy);
  const next = await process.connect();
  next.vm.writeTools("a", 1, 0, Buffer.from("whole"), false);
  await next.events.until("the exit", () => next.events.exits[0]);
  expect(next.events.bytesOf("a", 1, "stdout").toString()).toBe("whole");
});
