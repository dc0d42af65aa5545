/**
 * Owns the bytes of one simulated file: what a reader sees, and what of it is durable.
 * Does not own: its name, when it is synced.
 * 1. A reader sees every write at once. sync() makes all of it durable.
 * 2. A loss of power keeps or loses each sector of an unsynced write for itself, and its length with it.
 */
import type { Death, Survivor } from "./disk-gate.ts";
import type { SeededRandom } from "./seeded-random.ts";

const SECTOR_BYTES = 512;

/** What stood there before an unsynced change. */
interface Undo {
  readonly position: number;
  readonly bytes: Buffer;
  readonly size: number;
  /** Of the change. */
  readonly end: number;
}

export class SimulatedBytes implements Survivor {
  #bytes: Buffer = Buffer.alloc(0);
  #size = 0;
  #unsynced: Undo[] = [];

  get size(): number {
    return this.#size;
  }

  get dirty(): boolean {
    return this.#unsynced.length > 0;
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
    const end = position + bytes.length;
    this.#remember(position, end);
    this.#grow(end);
    this.#bytes.set(bytes, position);
    this.#size = Math.max(this.#size, end);
  }

  truncate(size: number): void {
    this.#remember(size, this.#size);
    this.#grow(size);
    if (size < this.#size) this.#bytes.fill(0, size, this.#size);
    this.#size = size;
  }

  sync(): void {
    this.#unsynced = [];
  }

  settle(death: Death, random: SeededRandom): void {
    if (this.#unsynced.length === 0) return;
    if (death === "power") this.#loseSectors(random);
    // What outlived this death outlives the next.
    this.sync();
  }

  #loseSectors(random: SeededRandom): void {
    const whole = Buffer.from(this.view());
    const changed = this.#rollBack();
    if (random.chance(0.5)) return;
    const old = this.#size;
    const size = random.chance(0.5) ? whole.length : random.between(Math.min(old, whole.length), Math.max(old, whole.length));
    this.#grow(size);
    if (size < old) this.#bytes.fill(0, size, old);
    this.#size = size;
    for (const sector of changed) {
      const start = sector * SECTOR_BYTES;
      if (random.chance(0.5)) this.#bytes.set(whole.subarray(start, Math.min(start + SECTOR_BYTES, size)), Math.min(start, size));
    }
  }

  /** Back to what is durable; answers the sectors that had changed, in their order. */
  #rollBack(): readonly number[] {
    const sectors = new Set<number>();
    for (const { position, bytes, size, end } of this.#unsynced.toReversed()) {
      for (let sector = Math.floor(position / SECTOR_BYTES); sector * SECTOR_BYTES < end; sector++) sectors.add(sector);
      this.#grow(size);
      if (size < this.#size) this.#bytes.fill(0, size, this.#size);
      this.#size = size;
      this.#bytes.set(bytes, position);
    }
    return [...sectors].toSorted((left, right) => left - right);
  }

  #remember(start: number, end: number): void {
    const from = Math.min(start, this.#size);
    this.#unsynced.push({ position: from, bytes: Buffer.from(this.view(from, end)), size: this.#size, end: Math.max(start, end) });
  }

  #grow(size: number): void {
    if (size <= this.#bytes.length) return;
    const grown = Buffer.alloc(Math.max(size, this.#bytes.length * 2, 1024));
    grown.set(this.view());
    this.#bytes = grown;
  }
}
