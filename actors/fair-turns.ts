/**
 * Owns how much output is written down in one turn of the event loop, and whose turn is next.
 * Does not own what is written. What encoding costs is this process' time, which everybody shares.
 *
 * 1. In one turn of the event loop about LOOP_BYTES_MAX are let pass; whoever comes later waits for the next one, in the order of coming.
 * 2. Who asks again stands behind those who wait: however much one has, each of the others comes in between.
 */

/** Of one session at a time. */
export const TURN_BYTES_MAX = 64 * 1024;
/** About 1 ms of encoding. */
const LOOP_BYTES_MAX = 256 * 1024;

export class FairTurns {
  #leftBytes = LOOP_BYTES_MAX;
  #refills = false;
  #waiting: { readonly bytes: number; readonly go: () => void }[] = [];

  /** Null: go on at once. */
  take(bytes: number): Promise<void> | null {
    this.#refillLater();
    if (this.#waiting.length === 0 && this.#leftBytes > 0) {
      this.#leftBytes -= bytes;
      return null;
    }
    return new Promise((resolve) => this.#waiting.push({ bytes, go: resolve }));
  }

  #refillLater(): void {
    if (this.#refills) return;
    this.#refills = true;
    setImmediate(() => this.#refill());
  }

  #refill(): void {
    this.#refills = false;
    this.#leftBytes = LOOP_BYTES_MAX;
    let served = 0;
    for (const { bytes, go } of this.#waiting) {
      if (this.#leftBytes <= 0) break;
      this.#leftBytes -= bytes;
      served += 1;
      go();
    }
    this.#waiting = this.#waiting.slice(served);
    if (this.#waiting.length > 0) this.#refillLater();
  }
}
