/** How much of something may happen: so much at once, and so much a second behind that. Owns what is left of it. */
export interface Rate {
  readonly atOnce: number;
  readonly perSecond: number;
}

export class Allowance {
  readonly #rate: Rate;
  #left: number;
  #atMs = Date.now();

  constructor(rate: Rate) {
    this.#rate = rate;
    this.#left = rate.atOnce;
  }

  /** False: not now. The last one may overdraw. */
  take(amount = 1): boolean {
    const nowMs = Date.now();
    this.#left = Math.min(this.#rate.atOnce, this.#left + ((nowMs - this.#atMs) / 1000) * this.#rate.perSecond);
    this.#atMs = nowMs;
    if (this.#left < 1) return false;
    this.#left -= amount;
    return true;
  }
}
