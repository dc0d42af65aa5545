import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CohortError } from "../../runtime/kernel/error.ts";
import { StagedArchive } from "../../vm/staged-archive.ts";
import {
  archiveOf,
  before,
  changedMode,
  deleted,
  diffOf,
  directory,
  END,
  file,
  MAGIC,
  put,
  refused,
  symlink,
  text,
  u32,
} from "./staged-tree.ts";

const from = { a: file("old"), d: directory(), "d/x": file("x"), l: symlink("a"), gone: file("gone") };
const to = { a: file("new", 0o755), d: directory(0o700), "d/x": file("x", 0o600), l: symlink("d/x"), n: directory(), "n/e": file("") };
const valid = diffOf(from, to);

function read(bytes: Buffer, cuts: readonly number[] = []): StagedArchive {
  const archive = new StagedArchive();
  let position = 0;
  for (const cut of cuts) {
    archive.push(bytes.subarray(position, position + cut));
    position = Math.min(bytes.length, position + cut);
  }
  archive.push(bytes.subarray(position));
  archive.end();
  return archive;
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return error instanceof CohortError ? error.code : `not a CohortError: ${String(error)}`;
  }
  return "accepted";
}

describe("the archive of a staged diff", () => {
  test("tells what changed, from what, and where its content stands", () => {
    const { entries, truncated } = read(valid);
    expect(truncated).toBe(false);
    expect(entries.map(({ number, record, path, mode, link, before: was }) => [number, record, path, mode, link, was.kind])).toEqual([
      [0, "deleted", "gone", 0, "", "file"],
      [1, "file", "a", 0o755, "", "file"],
      [2, "directory", "d", 0o700, "", "directory"],
      [3, "mode", "d/x", 0o600, "", "file"],
      [4, "symlink", "l", 0, "d/x", "symlink"],
      [5, "directory", "n", 0o755, "", "absent"],
      [6, "file", "n/e", 0o644, "", "absent"],
    ]);
    const { contentAt, sizeBytes } = entries[1] ?? { contentAt: 0, sizeBytes: 0 };
    expect(valid.toString("utf8", contentAt, contentAt + sizeBytes)).toBe("new");
  });

  test("is the same however its bytes are cut", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 200 }), (cuts) => {
        expect(read(valid, cuts).entries).toEqual(read(valid).entries);
      }),
      { numRuns: 300 },
    );
  });

  test("is the same when its content is passed over", () => {
    const archive = new StagedArchive();
    for (let position = 0; position < valid.length;) {
      archive.push(valid.subarray(position, position + 1));
      position += 1;
      const skipped = archive.skippable;
      archive.skip(skipped);
      position += skipped;
    }
    archive.end();
    expect(archive.entries).toEqual(read(valid).entries);
  });

  test("of any bytes at all is an archive or STAGED_INVALID", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, withMagic) => {
        const archive = Buffer.concat([withMagic ? MAGIC : Buffer.alloc(0), bytes]);
        expect(["accepted", "STAGED_INVALID"]).toContain(codeOf(() => read(archive)));
      }),
      { numRuns: 5000 },
    );
  });

  test("with flipped bytes is an archive or STAGED_INVALID, and its contents stand within it", () => {
    fc.assert(
      fc.property(fc.nat({ max: valid.length - 1 }), fc.integer({ min: 1, max: 255 }), (where, flip) => {
        const bytes = Buffer.from(valid);
        bytes[where] = (bytes[where] ?? 0) ^ flip;
        const code = codeOf(() => {
          for (const { contentAt, sizeBytes } of read(bytes).entries) expect(contentAt + sizeBytes).toBeLessThan(bytes.length);
        });
        expect(["accepted", "STAGED_INVALID"]).toContain(code);
      }),
      { numRuns: 5000 },
    );
  });

  test("canary: without the end record no archive passes", () => {
    const property = fc.property(fc.string({ minLength: 1, maxLength: 20 }), (content) => {
      read(Buffer.concat([MAGIC, put("a", file(content))]));
    });
    expect(fc.check(property, { numRuns: 20 }).failed).toBe(true);
  });

  test("marks conflicts, what was moved, and that it is truncated", () => {
    const archive = read(
      Buffer.concat([
        MAGIC,
        put("a", file("x"), file("y"), { flags: 1 }),
        put("b", file("z"), undefined, { flags: 2 }),
        Buffer.from([0, 1]),
      ]),
    );
    expect(archive.entries.map(({ conflict, moved }) => [conflict, moved])).toEqual([
      [true, false],
      [false, true],
    ]);
    expect(archive.truncated).toBe(true);
  });

  test("never gives a file a set-user-id bit", () => {
    expect(read(archiveOf(put("a", file("x", 0o4755)), changedMode("b", 0o6755, file("")))).entries.map(({ mode }) => mode)).toEqual([
      0o755, 0o755,
    ]);
  });

  test("keeps names with line feeds, escape codes, 255 bytes and bytes that are no UTF-8 apart", () => {
    const names = ["a\nb", "\u001b[31m", "x".repeat(255), Buffer.from([0xff, 0xfe]), Buffer.from([0xff, 0xfd]), "\\xff"];
    const { entries } = read(archiveOf(...names.map((name) => put(name, file("")))));
    expect(new Set(entries.map(({ path }) => path)).size).toBe(names.length);
    expect(entries[3]?.path).toBe("\\xff\\xfe");
  });

  test.each<readonly [string, Buffer]>([
    ["an absolute path", archiveOf(put("/etc/passwd", file("x")))],
    ["a path that climbs", archiveOf(put("a/../../x", file("x")))],
    ["a path of a dot", archiveOf(deleted("./a", file("x")))],
    ["an empty component", archiveOf(put("a//b", directory()))],
    ["a NUL", archiveOf(put("a\0b", file("x")))],
    ["an empty path", archiveOf(put("", file("x")))],
    ["a path of 5,000 bytes", archiveOf(put("a".repeat(5000), file("x")))],
    ["a link with a NUL", archiveOf(put("a", symlink("b\0c")))],
    ["an empty link", archiveOf(put("a", symlink("")))],
    ["a reason that is none", archiveOf(refused("a", 99))],
    ["a reason of 0", archiveOf(refused("a", 0))],
    ["a record of kind 7", archiveOf(Buffer.concat([Buffer.from([7]), text("a"), before(undefined)]))],
    ["the same path twice", archiveOf(put("a", file("x")), deleted("a", file("x")))],
    ["another format", Buffer.concat([Buffer.from("cohort-diff 2\n"), END])],
    ["bytes behind the end record", Buffer.concat([archiveOf(), END])],
    ["a file that ends early", Buffer.concat([MAGIC, Buffer.from([1]), text("a"), before(undefined), u32(0o644), Buffer.alloc(8, 1)])],
  ])("with %s is STAGED_INVALID", (_, archive) => {
    expect(codeOf(() => read(archive))).toBe("STAGED_INVALID");
  });
});
