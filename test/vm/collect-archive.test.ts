import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CohortError } from "../../runtime/kernel/error.ts";
import { CollectArchive, type CollectEvent } from "../../vm/collect-archive.ts";
import { readCollectPath } from "../../vm/collect-path.ts";

const limits = { bytesMax: 100_000, filesMax: 50 };
const END = Buffer.from([0]);

function header(kind: number, path: Buffer | string): Buffer {
  const bytes = Buffer.from(path);
  const head = Buffer.alloc(3);
  head.writeUInt8(kind, 0);
  head.writeUInt16BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

function file(path: Buffer | string, content: Buffer | string, mode = 0o100644, size = BigInt(Buffer.from(content).length)): Buffer {
  const tail = Buffer.alloc(12);
  tail.writeUInt32BE(mode, 0);
  tail.writeBigUInt64BE(size, 4);
  return Buffer.concat([header(1, path), tail, Buffer.from(content)]);
}

function skipped(path: Buffer | string, reason: number): Buffer {
  return Buffer.concat([header(2, path), Buffer.from([reason])]);
}

/** Files as they would be written, and what was skipped. */
function collect(
  archive: Buffer,
  cuts: readonly number[] = [],
  within = limits,
): { files: Record<string, Buffer>; modes: number[]; skipped: CollectEvent[] } {
  const reader = new CollectArchive(within);
  const files: Record<string, Buffer> = {};
  const modes: number[] = [];
  const skips: CollectEvent[] = [];
  let parts: Buffer[] = [];
  let open = "";
  let sizeBytes = 0;
  const take = (event: CollectEvent): void => {
    if (event.type === "file") {
      expect(open).toBe("");
      [open, parts, sizeBytes] = [event.path, [], event.sizeBytes];
      modes.push(event.mode);
    } else if (event.type === "data") parts.push(Buffer.from(event.bytes));
    else if (event.type === "fileEnd") {
      expect(event.path).toBe(open);
      files[open] = Buffer.concat(parts);
      expect(files[open]?.length).toBe(sizeBytes);
      open = "";
    } else skips.push(event);
  };
  let position = 0;
  for (const cut of cuts) {
    reader.push(archive.subarray(position, position + cut)).forEach(take);
    position = Math.min(archive.length, position + cut);
  }
  reader.push(archive.subarray(position)).forEach(take);
  reader.end();
  return { files, modes, skipped: skips };
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return error instanceof CohortError ? error.code : `not a CohortError: ${String(error)}`;
  }
  return "accepted";
}

describe("a collect archive", () => {
  test("gives its files, however the bytes are cut", () => {
    const entry = fc.record({ path: fc.stringMatching(/^[a-z]{1,5}(\/[a-z]{1,5}){0,3}$/), content: fc.uint8Array({ maxLength: 300 }) });
    const entries = fc.uniqueArray(entry, {
      maxLength: 12,
      comparator: (a, b) => a.path === b.path || a.path.startsWith(`${b.path}/`) || b.path.startsWith(`${a.path}/`),
    });
    fc.assert(
      fc.property(entries, fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 200 }), (list, cuts) => {
        const archive = Buffer.concat([...list.map(({ path, content }) => file(path, Buffer.from(content))), END]);
        expect(collect(archive, cuts).files).toEqual(Object.fromEntries(list.map(({ path, content }) => [path, Buffer.from(content)])));
      }),
      { numRuns: 300 },
    );
  });

  test("of any bytes at all is an archive or COLLECT_INVALID", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(["accepted", "COLLECT_INVALID"]).toContain(codeOf(() => collect(Buffer.from(bytes))));
      }),
      { numRuns: 5000 },
    );
  });

  test("with a flipped byte keeps its files within bounds or is COLLECT_INVALID", () => {
    const archive = Buffer.concat([file("a/b", "hello"), skipped("c", 1), file("d", "x".repeat(200)), END]);
    fc.assert(
      fc.property(fc.nat({ max: archive.length - 1 }), fc.integer({ min: 1, max: 255 }), (where, flip) => {
        const bytes = Buffer.from(archive);
        bytes[where] = (bytes[where] ?? 0) ^ flip;
        expect(["accepted", "COLLECT_INVALID"]).toContain(codeOf(() => collect(bytes)));
      }),
      { numRuns: 3000 },
    );
  });

  test("canary: without the end record no archive passes", () => {
    const property = fc.property(fc.string({ minLength: 1, maxLength: 20 }), (content) => {
      collect(file("a", content));
    });
    expect(fc.check(property, { numRuns: 20 }).failed).toBe(true);
  });

  test("gives modes without setuid bits, and names what was skipped", () => {
    const archive = Buffer.concat([file("run.sh", "#!", 0o104755), skipped("big", 2), skipped("pipe", 1), END]);
    expect(collect(archive)).toEqual({
      files: { "run.sh": Buffer.from("#!") },
      modes: [0o755],
      skipped: [
        { type: "skipped", path: "big", reason: "over-max-bytes" },
        { type: "skipped", path: "pipe", reason: "not-a-file" },
      ],
    });
  });

  test("a name that is too long for a file here is skipped with its content", () => {
    const archive = Buffer.concat([
      file("x".repeat(256), "dropped"),
      file(Buffer.alloc(100, 0xff), "dropped"),
      file("kept", "content"),
      END,
    ]);
    const result = collect(archive, [10, 10, 10]);
    expect(result.files).toEqual({ kept: Buffer.from("content") });
    expect(result.skipped.map((event) => event.type === "skipped" && event.reason)).toEqual(["name-too-long", "name-too-long"]);
  });

  test("many skipped files are counted, the first thousand named", () => {
    const reader = new CollectArchive(limits);
    const events = reader.push(Buffer.concat([...Array.from({ length: 1500 }, (_, index) => skipped(`f${index}`, 3)), END]));
    expect([events.length, reader.skippedUnnamed]).toEqual([1000, 500]);
  });

  test.each<readonly [string, Buffer]>([
    ["an absolute path", file("/etc/passwd", "x")],
    ["a path that climbs", file("a/../../x", "x")],
    ["a path of a dot", file("./a", "x")],
    ["an empty component", file("a//b", "x")],
    ["a trailing slash", file("a/", "x")],
    ["a NUL", file("a\0b", "x")],
    ["an empty path", file("", "x")],
    ["a path of 5,000 bytes", file("a".repeat(5000), "x")],
    ["a path that climbs in what was skipped", skipped("../x", 1)],
    ["a reason that is none", skipped("a", 9)],
    ["a record of kind 3", header(3, "a")],
    ["the same path twice", Buffer.concat([file("a", "x"), file("a", "y")])],
    ["a file that is a directory too", Buffer.concat([file("a", "x"), file("a/b", "y")])],
    ["a directory that is a file too", Buffer.concat([file("a/b", "x"), file("a", "y")])],
    ["a file over the limit", file("a", "", 0o644, 100_001n)],
    ["a file of 2^64−1 bytes", file("a", "", 0o644, 2n ** 64n - 1n)],
    ["more files than asked for", Buffer.concat(Array.from({ length: 51 }, (_, index) => file(`f${index}`, "")))],
    ["bytes behind the end record", Buffer.concat([END, END])],
  ])("with %s is COLLECT_INVALID", (_, record) => {
    expect(codeOf(() => collect(Buffer.concat([record, END])))).toBe("COLLECT_INVALID");
  });

  test("that ends within a file is COLLECT_INVALID", () => {
    expect(codeOf(() => collect(file("a", "short", 0o644, 100n)))).toBe("COLLECT_INVALID");
  });
});

describe("paths of a collect archive", () => {
  test("two different names never become one", () => {
    const piece = fc.constantFrom(
      Buffer.from("\\"),
      Buffer.from("x"),
      Buffer.from("ff"),
      Buffer.from("5c"),
      Buffer.from([0xff]),
      Buffer.from([0xc3]),
      Buffer.from("é"),
    );
    const nameBytes = fc.array(piece, { minLength: 1, maxLength: 6 }).map((pieces) => Buffer.concat(pieces));
    fc.assert(
      fc.property(nameBytes, nameBytes, (a, b) => {
        const [first, second] = [readCollectPath(a), readCollectPath(b)];
        if (first.type === "forged" || second.type === "forged") throw new Error("an honest name was refused");
        expect(first.path === second.path).toBe(a.equals(b));
      }),
      { numRuns: 5000 },
    );
  });

  test("invalid UTF-8 is escaped, everything else stays", () => {
    expect(readCollectPath(Buffer.from([0x61, 0xff, 0x2f, 0xc3, 0xa9]))).toEqual({ type: "safe", path: "a\\xff/é" });
    expect(readCollectPath(Buffer.from("new\nline\u001b[31m"))).toEqual({ type: "safe", path: "new\nline\u001b[31m" });
    expect(readCollectPath(Buffer.from("a\\b"))).toEqual({ type: "safe", path: "a\\b" });
    expect(readCollectPath(Buffer.from("a\\xff"))).toEqual({ type: "safe", path: "a\\x5cxff" });
  });
});
