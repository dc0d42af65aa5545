/**
 * Flow control of one direction of one stream, in bytes of encoded items.
 *
 * OutboundCredit owns what may still be sent; InboundQueue owns what came and was not read yet.
 * Neither knows the socket: the queue tells through `grant` what was read.
 *
 * C1 an item is sent only while credit is above zero; the last one may overdraw, so that an item larger than the window passes.
 * C2 an item that comes without credit is a protocol error, so the queue never holds more than a window and one message.
 * C3 whoever waits for credit or for an item is released by fail().
 */
import { encodeFrame, FrameDecoder } from "../kernel/frame-codec.ts";
import { invalid, MESSAGE_BYTES_MAX } from "./message.ts";

export class OutboundCredit {
  #bytes: number;
  #failure: Error | null = null;
  #waiting: (() => void)[] = [];

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > 0) this.#release();
  }

  fail(error: Error): void {
    this.#failure ??= error;
    this.#release();
  }

  /** Resolves when one item of that size may be sent; rejects after fail(). */
  async take(bytes: number): Promise<void> {
    while (this.#bytes <= 0 && this.#failure === null) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    if (this.#failure !== null) throw this.#failure;
    this.#bytes -= bytes;
  }

  #release(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** An async iterable for exactly one reader. */
export class InboundQueue implements AsyncIterableIterator<unknown> {
  readonly #windowBytes: number;
  readonly #grant: (bytes: number) => void;
  readonly #left: () => void;
  #allowedBytes: number;
  #readBytes = 0;
  readonly #items: Uint8Array[] = [];
  #end: { readonly error: Error | null } | null = null;
  #wake: (() => void) | null = null;

  /** `grant` sends credit; `left` is called once when the reader gives up before the end. */
  constructor(windowBytes: number, grant: (bytes: number) => void, left: () => void) {
    this.#windowBytes = windowBytes;
    this.#allowedBytes = windowBytes;
    this.#grant = grant;
    this.#left = left;
  }

  push(encoded: Uint8Array): void {
    if (this.#end !== null) return;
    if (this.#allowedBytes <= 0) throw invalid("an item without credit");
    this.#allowedBytes -= encoded.length;
    this.#items.push(encoded);
    this.#wakeReader();
  }

  /** After what is queued the reader sees the end. */
  end(): void {
    this.#end ??= { error: null };
    this.#wakeReader();
  }

  /** After what is queued the reader sees the error. */
  fail(error: Error): void {
    this.#end ??= { error };
    this.#wakeReader();
  }

  async next(): Promise<IteratorResult<unknown, undefined>> {
    for (;;) {
      const encoded = this.#items.shift();
      if (encoded !== undefined) {
        this.#account(encoded.length);
        return { done: false, value: decodeItem(encoded) };
      }
      if (this.#end !== null) {
        const { error } = this.#end;
        this.#end = { error: null };
        if (error !== null) throw error;
        return { done: true, value: undefined };
      }
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  return(): Promise<IteratorResult<unknown, undefined>> {
    if (this.#end === null) {
      this.#end = { error: null };
      this.#left();
    }
    this.#items.length = 0;
    this.#wakeReader();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  // Credit goes back in quarters of the window, so that small items do not cost a message each. Nobody starves meanwhile: of a window whose
  // items were all read at least three quarters are left, and an item larger than that gives its own back at once.
  #account(bytes: number): void {
    this.#readBytes += bytes;
    if (this.#end !== null || this.#readBytes < this.#windowBytes / 4) return;
    this.#allowedBytes += this.#readBytes;
    this.#grant(this.#readBytes);
    this.#readBytes = 0;
  }

  #wakeReader(): void {
    this.#wake?.();
    this.#wake = null;
  }
}

export function encodeItem(item: unknown): Uint8Array {
  return encodeFrame(item);
}

function decodeItem(encoded: Uint8Array): unknown {
  const values = new FrameDecoder(MESSAGE_BYTES_MAX).push(encoded);
  if (values.length !== 1) throw invalid("an item that is not one value");
  return values[0];
}
