/** Tells when nobody has needed the daemon for a while. Owns its timer. */

const LOOK_MS_MAX = 5000;

export class IdleWatch {
  readonly #idleMs: number;
  readonly #isNeeded: () => boolean;
  readonly #onIdle: () => void;
  readonly #timer: NodeJS.Timeout;
  #neededAtMs = performance.now();

  constructor(idleMs: number, isNeeded: () => boolean, onIdle: () => void) {
    this.#idleMs = idleMs;
    this.#isNeeded = isNeeded;
    this.#onIdle = onIdle;
    this.#timer = setInterval(() => this.#look(), Math.max(10, Math.min(LOOK_MS_MAX, idleMs / 4)));
  }

  /** Between two looks somebody may come and go. */
  touch(): void {
    this.#neededAtMs = performance.now();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    if (this.#isNeeded()) return this.touch();
    if (performance.now() - this.#neededAtMs >= this.#idleMs) this.#onIdle();
  }
}
