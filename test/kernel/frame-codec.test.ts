import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CohortError } from "../../runtime/kernel/error.ts";
import { encodeFrame, FrameDecoder } from "../../runtime/kernel/frame-codec.ts";

const FRAME_BYTES_MAX = 1 << 20;

const leaf = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.maxSafeInteger(),
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
);
const value = fc.letrec((tie) => ({
  node: fc.oneof(
    { maxDepth: 4 },
    leaf,
    fc.array(tie("node"), { maxLength: 20 }),
    fc.dictionary(
      fc.string({ maxLength: 8 }).filter((key) => key !== "__proto__"),
      tie("node"),
      { maxKeys: 6, noNullPrototype: true },
    ),
  ),
})).node;

function decodeInChunks(bytes: Buffer, cuts: readonly number[]): unknown[] {
  const decoder = new FrameDecoder(FRAME_BYTES_MAX);
  const frames: unknown[] = [];
  let position = 0;
  for (const cut of cuts) {
    frames.push(...decoder.push(bytes.subarray(position, position + cut)));
    position = Math.min(bytes.length, position + cut);
  }
  frames.push(...decoder.push(bytes.subarray(position)));
  return frames;
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return error instanceof CohortError ? error.code : `not a CohortError: ${String(error)}`;
  }
  return "accepted";
}

function framed(body: readonly number[]): Buffer {
  const frame = Buffer.alloc(4 + body.length);
  frame.writeUInt32BE(body.length, 0);
  Buffer.from(body).copy(frame, 4);
  return frame;
}

describe("frames", () => {
  test("what was encoded is decoded, however the bytes are cut", () => {
    fc.assert(
      fc.property(fc.array(value, { maxLength: 6 }), fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 200 }), (values, cuts) => {
        expect(decodeInChunks(Buffer.concat(values.map(encodeFrame)), cuts)).toEqual(values);
      }),
      { numRuns: 300 },
    );
  });

  test("any bytes at all give frames or FRAME_INVALID, never another error", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (body) => {
        expect(["accepted", "FRAME_INVALID"]).toContain(codeOf(() => new FrameDecoder(FRAME_BYTES_MAX).push(framed([...body]))));
      }),
      { numRuns: 3000 },
    );
  });

  test("a flipped byte in a valid frame gives a frame or FRAME_INVALID", () => {
    fc.assert(
      fc.property(value, fc.nat(), fc.integer({ min: 1, max: 255 }), (original, where, flip) => {
        const bytes = Buffer.from(encodeFrame(original));
        const index = where % bytes.length;
        bytes[index] = (bytes[index] ?? 0) ^ flip;
        expect(["accepted", "FRAME_INVALID"]).toContain(codeOf(() => new FrameDecoder(FRAME_BYTES_MAX).push(bytes)));
      }),
      { numRuns: 2000 },
    );
  });

  test("canary: the round-trip property fails for a codec that loses one byte", () => {
    const broken = fc.property(fc.array(value, { minLength: 1, maxLength: 6 }), (values) => {
      const bytes = Buffer.concat(values.map(encodeFrame));
      expect(decodeInChunks(bytes.subarray(0, bytes.length - 1), [])).toEqual(values);
    });
    expect(fc.check(broken, { numRuns: 50 }).failed).toBe(true);
  });

  test.each([
    ["an empty frame", framed([])],
    ["a reserved type", framed([0xc1])],
    ["an ext", framed([0xd4, 0x00, 0x00])],
    ["a date", framed([0xd6, 0xff, 0, 0, 0, 0])],
    ["bytes behind the value", framed([0x01, 0x01])],
    ["a string that ends early", framed([0xa5, 0x61])],
    ["an array that announces four billion items", framed([0xdd, 0xff, 0xff, 0xff, 0xff, 0x00])],
    ["a map that announces four billion items", framed([0xdf, 0xff, 0xff, 0xff, 0xff, 0x00])],
    ["a hundred thousand nested arrays", framed(Array.from({ length: 100_000 }, () => 0x91))],
    ["a frame over the cap", Buffer.from([0x00, 0x10, 0x00, 0x01])],
    ["a frame of four gigabytes", Buffer.from([0xff, 0xff, 0xff, 0xff])],
  ])("refuses %s", (_, bytes) => {
    expect(codeOf(() => new FrameDecoder(FRAME_BYTES_MAX).push(bytes))).toBe("FRAME_INVALID");
  });

  test("a decoder that met a bad frame refuses everything after it", () => {
    const decoder = new FrameDecoder(FRAME_BYTES_MAX);
    expect(codeOf(() => decoder.push(framed([0xc1])))).toBe("FRAME_INVALID");
    expect(codeOf(() => decoder.push(encodeFrame(1)))).toBe("FRAME_INVALID");
  });

  test("integers beyond 32 bits travel as integers", () => {
    for (const number of [2 ** 32, 2 ** 53 - 1, -(2 ** 31) - 1, -(2 ** 53) + 1]) {
      expect(encodeFrame(number)[4]).not.toBe(0xcb);
      expect(new FrameDecoder(FRAME_BYTES_MAX).push(encodeFrame({ deep: [number] }))).toEqual([{ deep: [number] }]);
    }
  });

  test("a field that is undefined is left out and an element that is undefined is nil", () => {
    expect(new FrameDecoder(FRAME_BYTES_MAX).push(encodeFrame({ kept: 1, gone: undefined, list: [undefined] }))).toEqual([
      { kept: 1, list: [null] },
    ]);
  });

  test("ten thousand data frames of 4 KiB cost less than a second of processor time to encode and decode", () => {
    const bytes = Buffer.alloc(4096, 7);
    const started = process.cpuUsage();
    const decoder = new FrameDecoder(FRAME_BYTES_MAX);
    let frames = 0;
    for (let index = 0; index < 10_000; index += 1)
      frames += decoder.push(encodeFrame([4, "serene-vibrant-newton", 1, 1, index * 4096, bytes, false])).length;
    expect(frames).toBe(10_000);
    expect(process.cpuUsage(started).user).toBeLessThan(1_000_000);
  });
});
