/** What a child says over its tools channel, however it says it: one answer to each question, bounded, and again after a restart. */
import { afterEach, describe, expect, test } from "vitest";
import { ToolsChannel } from "../../actors/tools-channel.ts";
import type { AskAnswer, DirectoryAsk } from "../../machines/messages/approval.ts";
import { SystemBench, origin, until } from "./system-bench.ts";

interface Waiting {
  readonly ask: DirectoryAsk;
  readonly answer: (answer: AskAnswer) => void;
}

class Child {
  readonly asked: Waiting[] = [];
  readonly acks: number[] = [];
  readonly reports: { readonly text: string; readonly fraction: number | null }[] = [];
  written = Buffer.alloc(0);
  sent = 0;
  readonly channel = new ToolsChannel({
    ask: (ask) => new Promise((resolve) => this.asked.push({ ask, answer: resolve })),
    progress: (report) => this.reports.push(report),
    ack: (offset) => this.acks.push(offset),
    write: (offset, bytes) => {
      if (offset > this.written.length) throw new Error("a gap");
      this.written = Buffer.concat([this.written.subarray(0, offset), bytes]);
    },
    failed: (error) => {
      throw error;
    },
  });

  says(text: string | Buffer, offset = this.sent): void {
    const bytes = Buffer.from(text);
    this.sent = offset + bytes.length;
    this.channel.received({ name: "a", execId: 1, offset, bytes, fin: false });
  }

  get answers(): Record<string, unknown>[] {
    return this.written
      .toString()
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  reads(): void {
    this.channel.acked(this.written.length);
  }
}

const question = (id: number, rest: object = {}): string => `${JSON.stringify({ id, ask: "directory", path: `/p${id}`, ...rest })}\n`;
const granted: AskAnswer = { answer: "granted", path: "/sessions/a/mnt/p", mode: "ro" };
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a tools channel", () => {
  test("asks what a line says, in pieces of any size, and answers with its id", async () => {
    const child = new Child();
    for (const byte of Buffer.from(question(7, { mode: "rw", why: "ü\u001b" }))) child.says(Buffer.from([byte]));
    expect(child.asked.map(({ ask }) => ask)).toEqual([{ path: "/p7", mode: "rw", why: "ü\u001b" }]);
    child.asked[0]?.answer(granted);
    await settled();
    expect(child.answers).toEqual([{ id: 7, ...granted }]);
  });

  test("acknowledges a question only when its answer reached the child, and those behind it not before", async () => {
    const child = new Child();
    child.says(question(1));
    child.says(question(2));
    child.asked[1]?.answer(granted);
    await settled();
    child.reads();
    expect(child.acks.at(-1)).toBe(0);
    child.asked[0]?.answer(granted);
    await settled();
    expect(child.acks.at(-1)).toBe(0);
    child.reads();
    expect(child.acks.at(-1)).toBe(child.sent);
  });

  test.each([
    ["no JSON", "print me", "this is no JSON", 0],
    ["an array", "[]", /the question: .*object/, 0],
    ["another question", '{"id":4,"ask":"root"}', /^ask: /, 4],
    ["a relative path", question(4, { path: "p" }).trim(), /^path: /, 4],
    ["a path with a NUL", question(4, { path: "/p\u0000" }).trim(), /^path: /, 4],
    ["another mode", question(4, { mode: "all" }).trim(), /^mode: /, 4],
    ["a field more", question(4, { "\u001b[2J": 1 }).trim(), /the question: /, 4],
    ["an id that is no number", '{"id":"x","ask":"directory","path":"/p"}', /^id: /, 0],
  ])("%s is denied and asked of nobody", (_, line, reason, id) => {
    const child = new Child();
    child.says(`${line}\n`);
    expect(child.answers).toEqual([{ id, answer: "denied", reason: typeof reason === "string" ? reason : expect.stringMatching(reason) }]);
    expect(child.asked).toEqual([]);
  });

  test("a line without an end is dropped, told once, and the next one is heard", () => {
    const child = new Child();
    for (let piece = 0; piece < 100; piece += 1) child.says(Buffer.alloc(10_000, "x"));
    expect(child.acks.at(-1)).toBeGreaterThan(900_000);
    child.says(`x\n${question(3)}`);
    expect(child.answers).toEqual([{ id: 0, answer: "denied", reason: "a line is longer than 65536 bytes" }]);
    expect(child.asked.map(({ ask }) => ask.path)).toEqual(["/p3"]);
  });

  test("more than 32 questions at once are denied, the same id twice is denied, and a flood waits", async () => {
    const child = new Child();
    for (let id = 1; id <= 36; id += 1) child.says(question(id));
    child.says(question(1));
    expect(child.asked.length).toBe(32);
    expect(child.answers.map(({ id }) => id)).toEqual([33, 34, 35, 36, 1]);
    for (let id = 100; id < 200; id += 1) child.says(question(id));
    expect(child.answers.length).toBe(8);
    await until(() => child.answers.length >= 10, "the flood goes on slowly");
    child.channel.close();
  });

  test("a child that reads no answer is not read either", () => {
    const child = new Child();
    const line = `{"id":1,"ask":"${"x".repeat(200)}"}\n`;
    for (let round = 0; round < 40; round += 1) child.says(line);
    expect(child.written.length).toBeLessThan(70_000);
    child.channel.close();
  });

  test("hears what a child says of its progress, answers nothing, and lets go of the line at once", () => {
    const child = new Child();
    child.says('{"progress":"compiling","fraction":0.25}\n');
    child.says('{"progress":"not the newest"}\n{"progress":"\\u001b[2J"}\n');
    expect(child.reports).toEqual([
      { text: "compiling", fraction: 0.25 },
      { text: "\u001b[2J", fraction: null },
    ]);
    expect(child.answers).toEqual([]);
    expect(child.acks.at(-1)).toBe(child.sent);
    child.says(`{"progress":"${"x".repeat(5000)}"}\n`);
    child.says('{"progress":"","fraction":2}\n');
    expect(child.reports[2]?.text.length).toBe(500);
    expect(child.answers).toEqual([{ id: 0, answer: "denied", reason: expect.stringMatching(/^fraction: /) }]);
  });

  test("of a flood of reports the newest is told, and so many bytes are read a second", async () => {
    const child = new Child();
    for (let count = 0; count < 1000; count += 1) child.says(`{"progress":"${count}"}\n`);
    expect(child.acks.at(-1)).toBe(child.sent);
    expect(child.reports.length).toBe(20);
    await until(() => child.reports.at(-1)?.text === "999", "the newest is told");
    expect(child.reports.length).toBeLessThan(40);
    const line = `{"progress":"${"x".repeat(980)}"}\n`;
    for (let count = 0; count < 1000; count += 1) child.says(line);
    expect(child.sent - (child.acks.at(-1) ?? 0)).toBeGreaterThan(600_000);
    await until(() => child.acks.at(-1) === child.sent, "all of it is read in the end");
    child.channel.close();
  });

  test("what nobody can read is dropped after a while, so that an exit behind it comes", async () => {
    const child = new Child();
    const line = `{"id":1,"ask":"${"x".repeat(200)}"}\n`;
    for (let round = 0; round < 1000; round += 1) child.says(line);
    expect(child.acks.at(-1)).toBeLessThan(child.sent / 2);
    await until(() => child.acks.at(-1) === child.sent, "the rest is dropped", 10_000);
    expect(child.written.length).toBeLessThan(70_000);
    child.channel.close();
  }, 15_000);

  test("a question that waits keeps only so much behind it from being let go of, and is answered all the same", async () => {
    const child = new Child();
    child.says(question(1));
    for (let count = 0; count < 100; count += 1) child.says(`{"progress":"${"x".repeat(400)}"}\n`);
    expect(child.acks.at(-1)).toBe(0);
    for (let count = 0; count < 100; count += 1) child.says(`{"progress":"${"x".repeat(400)}"}\n`);
    expect(child.acks.at(-1)).toBe(child.sent);
    child.asked[0]?.answer(granted);
    await settled();
    expect(child.answers).toEqual([{ id: 1, ...granted }]);
    child.channel.close();
  });

  test("a channel that is closed lets go of everything, also of what still comes", () => {
    const child = new Child();
    child.says(question(1) + "half a li");
    child.channel.close();
    expect(child.acks.at(-1)).toBe(child.sent);
    child.says("ne\n");
    expect([child.acks.at(-1), child.asked.length]).toEqual([child.sent, 1]);
  });

  test("after a lost connection answers go on where the warden says, and questions are asked once", async () => {
    const child = new Child();
    child.says(question(1) + question(2));
    child.asked[0]?.answer(granted);
    await settled();
    const first = child.written.length;
    child.channel.disconnected();
    child.asked[1]?.answer(granted);
    await settled();
    expect(child.written.length).toBe(first);
    // The warden wrote twenty bytes before; of the rest it knows nothing.
    child.written = child.written.subarray(0, 20);
    child.channel.acked(20);
    child.says(question(1) + question(2), 0);
    child.reads();
    expect(child.answers.map(({ id }) => id)).toEqual([1, 2]);
    expect(child.asked.length).toBe(2);
    expect(child.acks.at(-1)).toBe(child.sent);
  });

  test("a supervisor that comes later begins at the first question without an answer, and behind the bytes that were written", async () => {
    const child = new Child();
    child.written = Buffer.alloc(500, "\n");
    child.channel.acked(500);
    child.says(question(9), 1000);
    expect(child.asked.length).toBe(1);
    child.asked[0]?.answer(granted);
    await settled();
    expect(child.written.subarray(500).toString()).toBe(`${JSON.stringify({ id: 9, ...granted })}\n`);
    expect(child.acks.at(-1)).toBe(1000);
  });
});

describe("a task that asks", () => {
  let bench: SystemBench;
  afterEach(() => bench.close());

  const ask = (path: string): string[] => ["ask", JSON.stringify({ id: 5, ask: "directory", path, mode: "ro", why: "tests" })];

  test("waits for a person, is told where the directory stands, and goes on", async () => {
    bench = new SystemBench();
    await bench.open();
    const run = await bench.start([{ command: ask("/usr/share/doc") }]);
    await until(async () => (await bench.system.approvals.list({ answered: false, limit: 10 })).length === 1, "the approval");
    const [approval] = await bench.system.approvals.list({ answered: false, limit: 10 });
    expect(approval).toMatchObject({ path: "/usr/share/doc", mode: "ro", why: "tests", state: "pending" });
    if (approval === undefined) return;
    await bench.system.approvals.answer(
      { approval: approval.approval, decision: "approve", reason: "", acceptUnprotected: false, acceptHome: false },
      origin,
    );
    const [result] = await bench.results(run);
    expect(result?.status).toBe("succeeded");
    expect(JSON.parse(await bench.log(run, 0))).toEqual({
      id: 5,
      answer: "granted",
      path: expect.stringMatching(/\/mnt\/doc$/),
      mode: "ro",
    });
  });

  test("is still waiting after cohortd was started again, and hears the answer that is given then", async () => {
    bench = new SystemBench();
    await bench.open();
    const run = await bench.start([{ command: ask("/usr/share/doc") }]);
    await until(async () => (await bench.system.approvals.list({ answered: false, limit: 10 })).length === 1, "the approval");
    await bench.stop();
    await bench.open();
    const [approval, ...others] = await bench.system.approvals.list({ answered: false, limit: 10 });
    expect(others).toEqual([]);
    if (approval === undefined) throw new Error("the approval is gone");
    await bench.system.approvals.answer(
      { approval: approval.approval, decision: "deny", reason: "not today", acceptUnprotected: false, acceptHome: false },
      origin,
    );
    await bench.results(run);
    expect(JSON.parse(await bench.log(run, 0))).toEqual({ id: 5, answer: "denied", reason: "not today" });
  });
});
