/**
 * Owns the bytes of one stdin and how far they have gone.
 * Does not own the connection: after a new one, resume() sends again what was not acknowledged.
 *
 * 1. At most WINDOW_BYTES are on the way.
 * 2. The end of file goes out once with the last byte, and again after a reconnect unless all of it was acknowledged.
 */

/** A slow reader holds this much in the warden, no more. */
const WINDOW_BYTES = 256 * 1024;

export class StdinFeed {
  readonly #bytes: Buffer;
  readonly #send: (offset: number, bytes: Uint8Array, fin: boolean) => void;
  #sent = 0;
  #acked = 0;
  #finSent = false;

  constructor(bytes: Buffer, send: (offset: number, bytes: Uint8Array, fin: boolean) => void) {
    this.#bytes = bytes;
    this.#send = send;
  }

  pump(): void {
    if (this.#finSent) return;
    const end = Math.min(this.#bytes.length, this.#acked + WINDOW_BYTES);
    if (end === this.#sent && end < this.#bytes.length) return;
    const offset = this.#sent;
    this.#sent = end;
    this.#finSent = end === this.#bytes.length;
    this.#send(offset, this.#bytes.subarray(offset, end), this.#finSent);
  }

  acked(offset: number): void {
    this.#acked = Math.max(this.#acked, offset);
    this.pump();
  }

  resume(): void {
    this.#sent = this.#acked;
    this.#finSent = false;
    this.pump();
  }
}
