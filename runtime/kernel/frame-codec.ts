/** Frames on every stream of Cohort: u32 big-endian length, then one msgpack value. Pure but for the bytes that a decoder holds back. */
import { Packr, RESERVE_START_SPACE } from "msgpackr";
import { CohortError } from "./error.ts";

const HEADER_BYTES = 4;
/** Deeper values are refused: the unpacker recurses. */
const DEPTH_MAX = 64;
const UINT32_MAX = 0xffff_ffff;
const INT32_MIN = -0x8000_0000;

// skipValues is missing in msgpackr's types; without it a field that is undefined would travel as nil.
const packr = new Packr({
  useRecords: false,
  moreTypes: false,
  encodeUndefinedAsNil: true,
  variableMapSize: true,
  int64AsType: "number",
  skipValues: [undefined],
} as ConstructorParameters<typeof Packr>[0]);

/**
 * Length prefix and value in one buffer. Fields that are undefined are left out; an undefined element is nil.
 * Integers up to ±(2^53−1) travel as integers, Buffers and Uint8Arrays as bin.
 */
export function encodeFrame(value: unknown): Buffer {
  const frame = packr.pack(wideIntegersAsBigint(value), RESERVE_START_SPACE | HEADER_BYTES);
  frame.writeUInt32BE(frame.length - HEADER_BYTES, 0);
  return frame;
}

/** msgpackr writes a number beyond 32 bits as a float; only a bigint becomes a 64-bit integer. Copies nothing that needs no change. */
function wideIntegersAsBigint(value: unknown): unknown {
  if (typeof value === "number") {
    const narrow = value <= UINT32_MAX && value >= INT32_MIN;
    return narrow || !Number.isSafeInteger(value) ? value : BigInt(value);
  }
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) {
    let copy: unknown[] | undefined;
    for (let index = 0; index < value.length; index += 1) {
      const changed = wideIntegersAsBigint(value[index]);
      if (changed === value[index]) continue;
      copy ??= value.slice();
      copy[index] = changed;
    }
    return copy ?? value;
  }
  let copy: Record<string, unknown> | undefined;
  for (const [key, field] of Object.entries(value)) {
    const changed = wideIntegersAsBigint(field);
    if (changed === field) continue;
    copy ??= { ...value };
    copy[key] = changed;
  }
  return copy ?? value;
}

/**
 * Takes chunks as they come, gives whole frames. Values that are bin are views of the chunk they came in (no copy).
 * The first bad frame throws FRAME_INVALID, and so does every later push: the stream has no next boundary.
 */
export class FrameDecoder {
  readonly #frameBytesMax: number;
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerBytes = 0;
  /** The frame that is not complete yet, allocated once at its announced (and bounded) length. */
  #body: Buffer | null = null;
  #bodyBytes = 0;
  #broken = false;

  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax;
  }

  push(chunk: Uint8Array): unknown[] {
    if (this.#broken) throw new CohortError("FRAME_INVALID", { on: "an earlier frame was bad" });
    try {
      return this.#read(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    } catch (error) {
      this.#broken = true;
      this.#body = null;
      throw error;
    }
  }

  #read(chunk: Buffer): unknown[] {
    const frames: unknown[] = [];
    let position = 0;
    while (position < chunk.length) {
      if (this.#body !== null) {
        const copied = chunk.copy(this.#body, this.#bodyBytes, position);
        position += copied;
        this.#bodyBytes += copied;
        if (this.#bodyBytes < this.#body.length) break;
        const body = this.#body;
        this.#body = null;
        frames.push(decodeValue(body));
        continue;
      }
      const headerCopied = chunk.copy(this.#header, this.#headerBytes, position);
      position += headerCopied;
      this.#headerBytes += headerCopied;
      if (this.#headerBytes < HEADER_BYTES) break;
      this.#headerBytes = 0;
      const frameBytes = this.#header.readUInt32BE(0);
      if (frameBytes < 1 || frameBytes > this.#frameBytesMax)
        throw invalid(`a length of ${frameBytes}, at most ${this.#frameBytesMax} are allowed`);
      if (chunk.length - position >= frameBytes) {
        frames.push(decodeValue(chunk.subarray(position, position + frameBytes)));
        position += frameBytes;
      } else {
        this.#body = Buffer.allocUnsafe(frameBytes);
        this.#bodyBytes = 0;
      }
    }
    return frames;
  }
}

function invalid(on: string, cause?: unknown): CohortError {
  return new CohortError("FRAME_INVALID", cause === undefined ? { on } : { on, cause });
}

function decodeValue(bytes: Buffer): unknown {
  checkShape(bytes);
  try {
    return packr.unpack(bytes);
  } catch (error) {
    throw invalid("not msgpack", error);
  }
}

/**
 * Walks the headers before msgpackr sees the bytes: exactly one value, no ext type (records, dates, errors), bounded depth, and no array or
 * map that announces more items than there are bytes (msgpackr would allocate for all of them).
 */
function checkShape(bytes: Buffer): void {
  const length = bytes.length;
  const outer: number[] = [];
  let left = 1;
  let position = 0;
  for (;;) {
    while (left === 0) {
      const resumed = outer.pop();
      if (resumed === undefined) {
        if (position !== length) throw invalid(`${length - position} bytes behind the value`);
        return;
      }
      left = resumed;
    }
    left -= 1;
    if (position >= length) throw invalid("a value ends early");
    const type = bytes[position] ?? 0;
    position += 1;
    let items = -1;
    if (type <= 0x7f || type >= 0xe0) continue;
    if (type <= 0x8f) items = (type & 0x0f) * 2;
    else if (type <= 0x9f) items = type & 0x0f;
    else if (type <= 0xbf) position += type & 0x1f;
    else {
      const width = fixedWidth[type - 0xc0] ?? -1;
      if (width < 0) throw invalid(`type 0x${type.toString(16)}`);
      if (position + width > length) throw invalid("a value ends early");
      const count = isCounted(type) ? bytes.readUIntBE(position, width) : 0;
      position += width;
      if (type >= 0xde) items = count * 2;
      else if (type >= 0xdc) items = count;
      else position += count;
    }
    if (position > length) throw invalid("a value ends early");
    if (items < 0) continue;
    if (items > length - position) throw invalid("more items than bytes");
    if (outer.length >= DEPTH_MAX) throw invalid(`nested more than ${DEPTH_MAX} deep`);
    outer.push(left);
    left = items;
  }
}

/** Bytes that follow each type byte 0xc0 … 0xdf, without what a count announces; −1: not allowed (0xc1 and every ext). */
const fixedWidth: readonly number[] = [
  0, -1, 0, 0, 1, 2, 4, -1, -1, -1, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, -1, -1, -1, -1, -1, 1, 2, 4, 2, 4, 2, 4,
];

/** bin 8–32, str 8–32, array 16–32, map 16–32. */
function isCounted(type: number): boolean {
  return (type >= 0xc4 && type <= 0xc6) || type >= 0xd9;
}
