/**
 * Owns the bytes of one simulated file: what a reader sees, and what of it is durable.
 * Does not own: its name, when it is synced.
 * 1. A reader sees every write at once. sync() makes all of it durable.
 * 2. A loss of power keeps or loses each sector of an unsynced write for itself, and its length with it.
 */
import type { Death, Survivor } from "./disk-gate.ts";
import type { SeededRandom } from "./seeded-random.ts";

const SECTOR_BYTES = 512;

export class SimulatedBytes implements Survivor {
  #bytes: Buffer = Buffer.alloc(0);
  #size = 0;
  #durable: Buffer = Buffer.alloc(0);
  #dirty = false;

  get size(): number {
    return this.#size;
  }

  get dirty(): boolean {
    return this.#dirty;
  }

  /** A view, not a copy. */
  view(start = 0, end = this.#size): Buffer {
    return this.#bytes.subarray(Math.min(start, this.#size), Math.min(end, this.#size));
  }

  read(into: Uint8Array, position: number): number {
    const part = this.view(position, position + into.length);
    into.set(part);
    return part.length;
  }

  write(bytes: Uint8Array, position: number): void {
    this.#touch();
    const end = position + bytes.length;
    this.#grow(end);
    this.#bytes.set(bytes, position);
    this.#size = Math.max(this.#size, end);
  }

  truncate(size: number): void {
    this.#touch();
    this.#grow(size);
    if (size < this.#size) this.#bytes.fill(0, size, this.#size);
    this.#size = size;
  }

  sync(): void {
    this.#dirty = false;
    this.#durable = Buffer.alloc(0);
  }

  settle(death: Death, random: SeededRandom): void {
    if (!this.#dirty) return;
    if (death === "power") this.#loseSectors(random);
    // What outlived this death outlives the next.
    this.sync();
  }

  #loseSectors(random: SeededRandom): void {
    const old = this.#durable;
    if (random.chance(0.5)) {
      this.#bytes = Buffer.from(old);
      this.#size = old.length;
      return;
    }
    const size = random.chance(0.5) ? this.#size : random.between(Math.min(old.length, this.#size), Math.max(old.length, this.#size));
    const kept = Buffer.alloc(size);
    for (let start = 0; start < size; start += SECTOR_BYTES) {
      const end = Math.min(start + SECTOR_BYTES, size);
      const source = random.chance(0.5) ? this.view(start, end) : old.subarray(start, end);
      kept.set(source, start);
    }
    this.#bytes = kept;
    this.#size = size;
  }

  #touch(): void {
    if (this.#dirty) return;
    this.#dirty = true;
    this.#durable = Buffer.from(this.view());
  }

  #grow(size: number): void {
    if (size <= this.#bytes.length) return;
    const grown = Buffer.alloc(Math.max(size, this.#bytes.length * 2, 1024));
    grown.set(this.view());
    this.#bytes = grown;
  }
}
