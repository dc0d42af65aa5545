/**
 * One stream as its caller sees it: an async iterable of the server's items, and a way to send items of one's own.
 *
 * Owns its queue of unread items and the credit for what it sends. Does not own the connection.
 * The number of unread bytes is bounded by the window; a reader that is slow slows the server's handler, nothing else.
 */
import { CohortError } from "../kernel/error.ts";
import type { Channel } from "./channel.ts";
import { encodeItem, InboundQueue, OutboundCredit } from "./credit.ts";
import { WINDOW_BYTES } from "./message.ts";

export class RpcStream implements AsyncIterable<unknown> {
  readonly #id: number;
  readonly #channel: Channel;
  readonly #items: InboundQueue;
  readonly #credit = new OutboundCredit(WINDOW_BYTES);
  readonly #onOver: () => void;
  #over = false;
  #inputEnded = false;

  constructor(id: number, channel: Channel, signal: AbortSignal | undefined, method: string, onOver: () => void) {
    this.#id = id;
    this.#channel = channel;
    const onAbort = (): void => this.#cancel(new CohortError("CANCELLED", { on: method }));
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#onOver = (): void => {
      signal?.removeEventListener("abort", onAbort);
      onOver();
    };
    this.#items = new InboundQueue(
      WINDOW_BYTES,
      (bytes) => this.#over || channel.send({ type: "credit", id, bytes }),
      () => this.cancel(),
    );
  }

  /** For one reader. Leaving its loop cancels the stream. */
  [Symbol.asyncIterator](): AsyncIterator<unknown, undefined> {
    return this.#items;
  }

  /** Resolves when it is on its way; waits while the server has not read what was sent before. */
  async write(item: unknown): Promise<void> {
    const bytes = encodeItem(item);
    await this.#credit.take(bytes.length);
    await this.#channel.drained();
    if (this.#inputEnded) throw new CohortError("TRANSPORT_CLOSED", { on: "written after the end" });
    this.#channel.send({ type: "item", id: this.#id, bytes });
  }

  /** No more items from this side. */
  end(): void {
    if (this.#inputEnded || this.#over) return;
    this.#inputEnded = true;
    this.#channel.send({ type: "end", id: this.#id });
  }

  cancel(): void {
    this.#cancel(new CohortError("CANCELLED"));
  }

  // The following are for the client that owns the connection.

  push(bytes: Uint8Array): void {
    this.#items.push(bytes);
  }

  credit(bytes: number): void {
    this.#credit.add(bytes);
  }

  finish(): void {
    this.#items.end();
    this.#finished(new CohortError("TRANSPORT_CLOSED", { on: "the stream has ended" }));
  }

  fail(error: Error): void {
    this.#items.fail(error);
    this.#finished(error);
  }

  #cancel(reason: Error): void {
    if (this.#over) return;
    this.#channel.send({ type: "cancel", id: this.#id });
    this.fail(reason);
  }

  #finished(reason: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#credit.fail(reason);
    this.#onOver();
  }
}
