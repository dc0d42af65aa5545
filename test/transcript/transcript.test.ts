import { execFileSync, spawn } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isCohortError } from "../../runtime/kernel/error.ts";
import { parseRecord, RECORD_DATA_BYTES_MAX } from "../../runtime/transcript/record.ts";
import { readTranscript } from "../../runtime/transcript/transcript-reader.ts";
import { TranscriptWriter } from "../../runtime/transcript/transcript-writer.ts";

let directory = "";
let files = 0;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "transcript-"));
});

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

function freshPath(): string {
  files += 1;
  return join(directory, `${files}.jsonl`);
}

async function streamsOf(path: string, from: Readonly<Record<string, number>> = {}): Promise<Record<string, Buffer>> {
  const parts: Record<string, Buffer[]> = {};
  const ends = new Map(Object.entries(from));
  for await (const { stream, offset, bytes } of readTranscript(path, from)) {
    expect(offset).toBe(ends.get(stream) ?? 0);
    ends.set(stream, offset + bytes.length);
    (parts[stream] ??= []).push(bytes);
  }
  return Object.fromEntries(Object.entries(parts).map(([stream, list]) => [stream, Buffer.concat(list)]));
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return isCohortError(error) ? error.code : `not a CohortError: ${String(error)}`;
  }
  return "resolved";
}

describe("a transcript", () => {
  test("gives back every byte of every stream, whatever the chunks", async () => {
    const chunk = fc.record({
      stream: fc.constantFrom("stdout", "stderr", "stdin"),
      bytes: fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.string().map((text) => Buffer.from(text)),
      ),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(chunk, { maxLength: 40 }), async (chunks) => {
        const path = freshPath();
        const writer = await TranscriptWriter.open(path);
        const expected: Record<string, Buffer> = {};
        const appends: Promise<void>[] = [];
        for (const { stream, bytes } of chunks) {
          const before = expected[stream] ?? Buffer.alloc(0);
          appends.push(writer.append(stream, before.length, bytes));
          if (bytes.length > 0) expected[stream] = Buffer.concat([before, bytes]);
        }
        await Promise.all(appends);
        await writer.close();
        expect(await streamsOf(path)).toEqual(expected);
      }),
      { numRuns: 60 },
    );
  });

  test("is private from its first byte, one JSON object a line, text where it is text", async () => {
    const path = freshPath();
    const writer = await TranscriptWriter.open(path, () => 5);
    await writer.append("stdout", 0, Buffer.from("héllo\n\u001b[31m"));
    await writer.append("stderr", 0, Buffer.from([0xff, 0x00]));
    await writer.close();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(
      readFileSync(path, "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([
      { t: 5, s: "stdout", o: 0, d: "héllo\n\u001b[31m" },
      { t: 5, s: "stderr", o: 0, b: "/wA=" },
    ]);
  });

  test("drops what it has, keeps what is new of an overlap, and refuses a gap", async () => {
    const path = freshPath();
    const writer = await TranscriptWriter.open(path);
    await Promise.all([
      writer.append("stdout", 0, Buffer.from("abcd")),
      writer.append("stdout", 0, Buffer.from("abcd")),
      writer.append("stdout", 2, Buffer.from("cdef")),
    ]);
    expect(await codeOf(writer.append("stdout", 7, Buffer.from("x")))).toBe("INTERNAL");
    await writer.append("stdout", 1, Buffer.from("bc"));
    expect(writer.nextOffset("stdout")).toBe(6);
    await writer.close();
    expect(await streamsOf(path)).toEqual({ stdout: Buffer.from("abcdef") });
  });

  test("writes the appends of one tick as one write", async () => {
    const path = freshPath();
    const writer = await TranscriptWriter.open(path);
    const appends = Array.from({ length: 500 }, (_, index) => writer.append("stdout", index, Buffer.from("x")));
    await appends[0];
    expect(readFileSync(path, "utf8").split("\n").length).toBe(501);
    await Promise.all(appends);
    await writer.close();
  });

  test("continues where it ended when it is opened again", async () => {
    const path = freshPath();
    const first = await TranscriptWriter.open(path);
    await first.append("stdout", 0, Buffer.from("one"));
    await first.close();
    const second = await TranscriptWriter.open(path);
    expect([second.nextOffset("stdout"), second.nextOffset("stderr")]).toEqual([3, 0]);
    await second.append("stdout", 0, Buffer.from("one two"));
    await second.sync();
    await second.close();
    expect(await streamsOf(path)).toEqual({ stdout: Buffer.from("one two") });
  });

  test("cut anywhere, is a clean prefix, and can be continued", async () => {
    const path = freshPath();
    const writer = await TranscriptWriter.open(path);
    for (let index = 0; index < 20; index += 1)
      await writer.append(index % 2 ? "stdout" : "stderr", (index >> 1) * 3, Buffer.from(`${index}`.padStart(3)));
    await writer.close();
    const whole = readFileSync(path);
    const expected = await streamsOf(path);
    for (let length = 0; length <= whole.length; length += 7) {
      writeFileSync(path, whole);
      truncateSync(path, length);
      for (const [stream, bytes] of Object.entries(await streamsOf(path)))
        expect(expected[stream]?.subarray(0, bytes.length)).toEqual(bytes);
      const again = await TranscriptWriter.open(path);
      for (const [stream, bytes] of Object.entries(expected)) await again.append(stream, 0, bytes);
      await again.close();
      expect(await streamsOf(path)).toEqual(expected);
    }
  });

  test.each([
    ["rubbish", "\0\0\0\0garbage\n"],
    ["a record that leaves a gap", '{"t":1,"s":"stdout","o":99,"d":"x"}\n'],
    ["a record of the wrong shape", '{"t":1,"s":"stdout","o":3,"d":7}\n'],
    ["a line without an end", '{"t":1,"s":"stdout","o":3,"d":"x"}'],
    ["a line longer than any record", "x".repeat(2_000_000)],
  ])("ends before %s", async (_, tail) => {
    const path = freshPath();
    const writer = await TranscriptWriter.open(path);
    await writer.append("stdout", 0, Buffer.from("abc"));
    await writer.close();
    appendFileSync(path, tail);
    expect(await streamsOf(path)).toEqual({ stdout: Buffer.from("abc") });
    const again = await TranscriptWriter.open(path);
    await again.append("stdout", 3, Buffer.from("def"));
    await again.close();
    expect(await streamsOf(path)).toEqual({ stdout: Buffer.from("abcdef") });
  });

  test("any line at all is a record or nothing", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
        const record = parseRecord(Buffer.from(line));
        expect(record === null || record.offset >= 0).toBe(true);
      }),
    );
    expect(parseRecord(Buffer.from('{"t":1,"s":"stdout","o":3,"d":"x"}'))).not.toBeNull();
  });

  test("is read from given offsets, cutting into a record", async () => {
    const path = freshPath();
    const writer = await TranscriptWriter.open(path);
    await writer.append("stdout", 0, Buffer.from("abcdef"));
    await writer.append("stderr", 0, Buffer.from("123"));
    await writer.close();
    expect(await streamsOf(path, { stdout: 4 })).toEqual({ stdout: Buffer.from("ef"), stderr: Buffer.from("123") });
    expect(await streamsOf(path, { stdout: 6, stderr: 9 })).toEqual({});
  });

  test("that does not exist is CONTENT_GONE to a reader", async () => {
    expect(await codeOf(streamsOf(freshPath()))).toBe("CONTENT_GONE");
  });

  test("of 8 MB, appended in 64 KiB chunks of bytes and of text, is written and read for less than three seconds of processor time", async () => {
    const path = freshPath();
    const started = process.cpuUsage();
    const writer = await TranscriptWriter.open(path);
    const binary = Buffer.alloc(RECORD_DATA_BYTES_MAX, 0xfe);
    const text = Buffer.alloc(1 << 20, "a line of text\n");
    for (let index = 0; index < 64; index += 1) await writer.append("stderr", index * binary.length, binary);
    for (let index = 0; index < 4; index += 1) await writer.append("stdout", index * text.length, text);
    await writer.sync();
    await writer.close();
    const { stdout, stderr } = await streamsOf(path);
    expect([stdout?.length, stderr?.length]).toEqual([4 << 20, 4 << 20]);
    expect(process.cpuUsage(started).user).toBeLessThan(3_000_000);
  });

  test("one each for a thousand children is opened, written, synced and closed for less than five seconds of processor time", async () => {
    const started = process.cpuUsage();
    await Promise.all(
      Array.from({ length: 1000 }, async () => {
        const writer = await TranscriptWriter.open(freshPath());
        await writer.append("stdout", 0, Buffer.from("done\n"));
        await writer.sync();
        await writer.close();
      }),
    );
    expect(process.cpuUsage(started).user).toBeLessThan(5_000_000);
  });

  test("keeps every byte whose append resolved when its process is killed with SIGKILL", async () => {
    for (let round = 0; round < 3; round += 1) {
      const path = freshPath();
      const child = spawn(process.execPath, [join(import.meta.dirname, "appending-process.ts"), path], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      let told = "";
      child.stdout.on("data", (chunk: Buffer) => {
        told += chunk.toString();
        if (told.length > 2000 + round * 3000) child.kill("SIGKILL");
      });
      await once(child, "close");
      const streams = await streamsOf(path);
      const lines = told.split("\n").slice(0, -1);
      for (const stream of ["stdout", "stderr"]) {
        const last = lines.findLast((line) => line.startsWith(stream));
        const bytes = streams[stream] ?? Buffer.alloc(0);
        expect(bytes.length).toBeGreaterThanOrEqual(Number(last?.split(" ")[1]));
        bytes
          .toString()
          .split("\n")
          .slice(0, -1)
          .forEach((line, index) => expect(line.startsWith(`line ${index} `)).toBe(true));
      }
    }
  });

  test.skipIf(process.getuid?.() !== 0)(
    "on a full disk is JOURNAL_FULL, stays clean, and goes on when there is space again (needs root: a small tmpfs)",
    async () => {
      const mountPoint = mkdtempSync(join(tmpdir(), "transcript-disk-"));
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", mountPoint]);
      try {
        const path = join(mountPoint, "t.jsonl");
        const writer = await TranscriptWriter.open(path);
        await writer.append("stdout", 0, Buffer.alloc(100_000, "a"));
        const [refused, behind] = [
          writer.append("stdout", 100_000, Buffer.alloc(300_000, "b")),
          writer.append("stderr", 0, Buffer.from("x")),
        ];
        expect([await codeOf(refused), await codeOf(behind)]).toEqual(["JOURNAL_FULL", "JOURNAL_FULL"]);
        expect(writer.nextOffset("stdout")).toBe(100_000);
        expect(await streamsOf(path)).toEqual({ stdout: Buffer.alloc(100_000, "a") });
        execFileSync("mount", ["-o", "remount,size=2m", mountPoint]);
        await writer.append("stdout", 100_000, Buffer.alloc(300_000, "b"));
        await writer.close();
        expect((await streamsOf(path))["stdout"]?.length).toBe(400_000);
        expect(existsSync(path)).toBe(true);
      } finally {
        execFileSync("umount", [mountPoint]);
        rmSync(mountPoint, { recursive: true });
      }
    },
  );
});
