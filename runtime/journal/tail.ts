/**
 * Owns journal.tail: batches that are durable and not yet in the database, and the reserve behind them.
 * Does not own what a batch says, nor when the tail is begun anew.
 *
 * 1. append() returns after fdatasync: its record survives power loss. One that throws has added nothing.
 * 2. Records of the present generation stand at the file's beginning, each behind the other; what follows them, older or torn, is void.
 * 3. begin() makes all of them void at once, because the database names the generation that counts.
 * 4. Behind an ordinary record `reserveBytes` of the disk are the file's own. Only records of the control lane may use them, and the next ordinary
 *    one waits until they are there again.
 */
import { crc32 } from "node:zlib";
import { isNoSpace } from "./no-space.ts";
import type { TailFile } from "./tail-file.ts";

/** u32 bytes of the payload, u32 crc32 of generation and payload, u64 generation. */
const HEADER_BYTES = 16;

const ZEROS = Buffer.alloc(64 * 1024);

/** control: cancellations, revocations, ends and deletions, which a full disk must not hold up. */
export type CommitLane = "ordinary" | "control";

function checksum(generation: number, payload: Uint8Array): number {
  return crc32(payload, generation % 0x1_0000_0000);
}

export class JournalTail {
  readonly #file: TailFile;
  readonly #reserveBytes: number;
  #generation: number;
  #bytes = 0;
  #size: number;

  constructor(file: TailFile, generation: number, reserveBytes: number) {
    this.#file = file;
    this.#generation = generation;
    this.#reserveBytes = reserveBytes;
    this.#size = file.size;
  }

  /** Of the present generation. */
  get bytes(): number {
    return this.#bytes;
  }

  get generation(): number {
    return this.#generation;
  }

  /** What the control lane may still write whatever the disk says; at most `reserveBytes`. */
  get reserveBytesLeft(): number {
    return Math.max(0, Math.min(this.#reserveBytes, this.#size - this.#bytes));
  }

  /** Takes the reserve's space ahead, if there is any. */
  prepare(): void {
    try {
      this.#allocate(this.#bytes + this.#reserveBytes);
    } catch (error) {
      // Then nothing ordinary is accepted, and that is said where it is asked.
      if (!isNoSpace(error)) throw error;
    }
  }

  append(payload: Uint8Array, lane: CommitLane): void {
    const end = this.#bytes + HEADER_BYTES + payload.length;
    this.#allocate(lane === "control" ? end : end + this.#reserveBytes);
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt32BE(payload.length, 0);
    header.writeUInt32BE(checksum(this.#generation, payload), 4);
    header.writeBigUInt64BE(BigInt(this.#generation), 8);
    try {
      this.#write(header, payload);
    } catch (error) {
      // It may stand there whole: nobody was told, so it must not count.
      this.#file.truncate(this.#bytes);
      this.#size = this.#bytes;
      throw error;
    }
    this.#bytes = end;
  }

  /** A little more than is asked for, where there is room: growing is dearer than writing. */
  #allocate(bytes: number): void {
    if (bytes <= this.#size) return;
    try {
      this.#grow(bytes + Math.ceil(this.#reserveBytes / 16));
    } catch (error) {
      if (!isNoSpace(error)) throw error;
      this.#grow(bytes);
    }
  }

  #grow(bytes: number): void {
    this.#file.allocate(bytes);
    this.#size = bytes;
  }

  #write(header: Buffer, payload: Uint8Array): void {
    const total = HEADER_BYTES + payload.length;
    let written = this.#file.write([header, payload], this.#bytes);
    while (written < total) {
      const rest = written < HEADER_BYTES ? [header.subarray(written), payload] : [payload.subarray(written - HEADER_BYTES)];
      written += this.#file.write(rest, this.#bytes + written);
    }
    this.#file.sync();
  }

  /** From the beginning to the first record that is void; append() goes on behind it. */
  *records(): Generator<Buffer> {
    const { size } = this.#file;
    const header = Buffer.alloc(HEADER_BYTES);
    for (let position = 0; position + HEADER_BYTES <= size;) {
      this.#read(header, position);
      const length = header.readUInt32BE(0);
      const isPresent = header.readBigUInt64BE(8) === BigInt(this.#generation);
      if (length === 0 || !isPresent || position + HEADER_BYTES + length > size) return;
      const payload = Buffer.allocUnsafe(length);
      this.#read(payload, position + HEADER_BYTES);
      if (checksum(this.#generation, payload) !== header.readUInt32BE(4)) return;
      position += HEADER_BYTES + length;
      this.#bytes = position;
      yield payload;
    }
  }

  /** Once the database says so durably. */
  begin(generation: number): void {
    this.#generation = generation;
    this.#bytes = 0;
  }

  /** Whatever earlier generations left behind the present records is overwritten. The reserve stays. */
  wipe(): void {
    for (let at = this.#bytes; at < this.#size;) {
      const zeros = ZEROS.subarray(0, Math.min(ZEROS.length, this.#size - at));
      at += this.#file.write([zeros], at);
    }
    this.#file.sync();
  }

  close(): void {
    this.#file.close();
  }

  #read(into: Buffer, position: number): void {
    for (let read = 0; read < into.length;) {
      const bytes = this.#file.read(into.subarray(read), position + read);
      // It was as long a moment ago, and is ours alone.
      if (bytes === 0) throw new Error("journal.tail was cut while it was read");
      read += bytes;
    }
  }
}
