/**
 * Owns which refs were used up, in at most 43 bytes each: a table of 128-bit hashes with open addressing.
 * Does not own: the names (the journal has them).
 * 1. A ref that was added is found for ever. No other is: a second name with the same 128 bits of SHA-256 is not expected before the sun is cold.
 * 2. The table is at most three quarters full, so that a search looks at few places.
 */
import { refHash } from "../kernel/ref-hash.ts";

const WORDS = 4;
const PLACES_MIN = 1024;

export class EndedRefs {
  #table = new Uint32Array(PLACES_MIN * WORDS);
  #count = 0;

  get size(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#table.byteLength;
  }

  has(ref: string): boolean {
    const hash = refHash(ref);
    return this.#holds(this.#find(hash, 0), hash, 0);
  }

  add(ref: string): void {
    this.#put(refHash(ref), 0);
  }

  /** Four words each. */
  load(hashes: Uint32Array): void {
    for (let at = 0; at < hashes.length; at += WORDS) this.#put(hashes, at);
  }

  #put(hash: Uint32Array, at: number): void {
    if ((this.#count + 1) * 4 > (this.#table.length / WORDS) * 3) this.#grow();
    const place = this.#find(hash, at);
    if (this.#holds(place, hash, at)) return;
    for (let word = 0; word < WORDS; word++) this.#table[place + word] = hash[at + word] ?? 0;
    this.#count++;
  }

  /** Where it stands, or the free place where it would. All zeroes is free: no name is expected to have that hash. */
  #find(hash: Uint32Array, at: number): number {
    const mask = this.#table.length / WORDS - 1;
    for (let place = (hash[at] ?? 0) & mask; ; place = (place + 1) & mask) {
      const start = place * WORDS;
      if (this.#isFree(start) || this.#holds(start, hash, at)) return start;
    }
  }

  #isFree(place: number): boolean {
    const table = this.#table;
    return table[place] === 0 && table[place + 1] === 0 && table[place + 2] === 0 && table[place + 3] === 0;
  }

  #holds(place: number, hash: Uint32Array, at: number): boolean {
    const table = this.#table;
    for (let word = 0; word < WORDS; word++) if (table[place + word] !== hash[at + word]) return false;
    return true;
  }

  #grow(): void {
    const old = this.#table;
    this.#table = new Uint32Array(old.length * 2);
    this.#count = 0;
    for (let at = 0; at < old.length; at += WORDS) {
      if (old[at] !== 0 || old[at + 1] !== 0 || old[at + 2] !== 0 || old[at + 3] !== 0) this.#put(old, at);
    }
  }
}
