/**
 * Bytes to a file descriptor without blocking the event loop: a consumer that stalls must not keep Ctrl-C from being heard.
 * Owns: nothing of the descriptor but its turn. Does not own: process.stdout, which is never touched for a pipe.
 * K1 bytes leave in the order of the calls; at most one write is in flight. K2 once the other end is gone every write is dropped
 * and `onBroken` has been called once.
 */
import { write } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const RETRY_MS = 5;

function writeOnce(fd: number, bytes: Uint8Array, offset: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, bytes, offset, bytes.length - offset, null, (error, written) => (error === null ? resolve(written) : reject(error)));
  });
}

export class Sink {
  readonly #fd: number;
  readonly #onBroken: (error: NodeJS.ErrnoException) => void;
  #turn: Promise<void> = Promise.resolve();
  #broken = false;

  constructor(fd: number, onBroken: (error: NodeJS.ErrnoException) => void) {
    this.#fd = fd;
    this.#onBroken = onBroken;
  }

  get broken(): boolean {
    return this.#broken;
  }

  /** Resolves when the bytes were taken by the kernel, or dropped because nobody is there. Never rejects. */
  write(bytes: Uint8Array | string): Promise<void> {
    const raw = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
    this.#turn = this.#turn.then(() => this.#writeAll(raw));
    return this.#turn;
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    let offset = 0;
    while (offset < bytes.length && !this.#broken) {
      try {
        offset += await writeOnce(this.#fd, bytes, offset);
      } catch (error) {
        const failure: NodeJS.ErrnoException = error instanceof Error ? error : new Error(String(error));
        // Somebody else set the shared descriptor non-blocking.
        if (failure.code === "EAGAIN") {
          await sleep(RETRY_MS);
          continue;
        }
        this.#broken = true;
        this.#onBroken(failure);
      }
    }
  }
}
