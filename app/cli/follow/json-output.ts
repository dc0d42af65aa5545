/** Pure but for what it holds: a stream of bytes as records of one line each, text where it is text and base64 where it is not. */
import type { OutputItem } from "../../../machines/messages/api.ts";

export interface OutputRecord {
  readonly type: "output";
  readonly index: number;
  readonly attempt: number;
  readonly stream: OutputItem["stream"];
  /** Bytes of this stream before this record. */
  readonly offset: number;
  /** A line with its newline, or a part of a long one. */
  readonly text?: string;
  /** In place of text, where the bytes are no UTF-8. */
  readonly base64?: string;
}

export const RECORD_BYTES_MAX = 64 * 1024;
const NEWLINE = 0x0a;

export class OutputRecords {
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  readonly #head: Pick<OutputRecord, "type" | "index" | "attempt" | "stream">;
  #held: Buffer = Buffer.alloc(0);
  #offset = 0;

  constructor(index: number, attempt: number, stream: OutputItem["stream"]) {
    this.#head = { type: "output", index, attempt, stream };
  }

  push(bytes: Uint8Array): readonly OutputRecord[] {
    const data = this.#held.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#held, bytes]);
    const records: OutputRecord[] = [];
    let from = 0;
    while (from < data.length) {
      const newline = data.indexOf(NEWLINE, from);
      const lineEnd = newline === -1 ? data.length : newline + 1;
      if (newline === -1 && lineEnd - from < RECORD_BYTES_MAX) break;
      const to = lineEnd - from > RECORD_BYTES_MAX ? this.#characterEnd(data, from, from + RECORD_BYTES_MAX) : lineEnd;
      records.push(this.#record(data.subarray(from, to)));
      from = to;
    }
    this.#held = Buffer.from(data.subarray(from));
    return records;
  }

  end(): readonly OutputRecord[] {
    const rest = this.#held;
    this.#held = Buffer.alloc(0);
    return rest.length === 0 ? [] : [this.#record(rest)];
  }

  /** A long line is not cut within a character, so that both halves stay text. */
  #characterEnd(data: Buffer, from: number, to: number): number {
    let end = to;
    while (end > to - 4 && end > from + 1 && ((data[end] ?? 0) & 0xc0) === 0x80) end -= 1;
    return end;
  }

  #record(bytes: Buffer): OutputRecord {
    const offset = this.#offset;
    this.#offset += bytes.length;
    try {
      return { ...this.#head, offset, text: this.#decoder.decode(bytes) };
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      return { ...this.#head, offset, base64: bytes.toString("base64") };
    }
  }
}
