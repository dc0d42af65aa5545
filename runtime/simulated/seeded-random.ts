/** Chance that repeats: sfc32, seeded by a number and a name, so that each part of a simulation draws from a stream of its own. */

function mixed(seed: number, name: string): number {
  let state = (seed ^ 0x9e3779b9) >>> 0;
  for (let at = 0; at < name.length; at++) state = Math.imul(state ^ name.charCodeAt(at), 0x85ebca6b) >>> 0;
  return state;
}

export class SeededRandom {
  readonly #seed: number;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number, name = "") {
    this.#seed = mixed(seed >>> 0, name) ^ Math.floor(seed / 0x1_0000_0000);
    this.#a = this.#seed >>> 0;
    this.#b = mixed(this.#seed, "b");
    this.#c = mixed(this.#seed, "c");
    // The first numbers of near seeds are near each other.
    for (let round = 0; round < 12; round++) this.#draw();
  }

  #draw(): number {
    const drawn = (this.#a + this.#b + this.#counter) >>> 0;
    this.#counter = (this.#counter + 1) >>> 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) >>> 0;
    this.#c = ((((this.#c << 21) | (this.#c >>> 11)) >>> 0) + drawn) >>> 0;
    return drawn;
  }

  /** 0 ≤ x < 1. */
  next(): number {
    return this.#draw() / 0x1_0000_0000;
  }

  /** A whole number, 0 ≤ x < below. */
  below(below: number): number {
    return Math.floor(this.next() * below);
  }

  /** A whole number, both ends possible. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new RangeError("nothing to pick from");
    return item;
  }

  /** Another stream of the same seed: what one part draws does not move another. */
  fork(name: string): SeededRandom {
    return new SeededRandom(this.#seed, name);
  }
}
