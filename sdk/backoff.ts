/** Waits between attempts: doubling, jittered, so many and no more. */
import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

/** With these figures attempts go on for about 15 s, and each may take a start of cohortd besides. */
const ATTEMPTS_MAX = 12;
const DELAY_MS_MIN = 40;
const DELAY_MS_MAX = 2000;

export class Backoff {
  #attempts = 0;

  /** After something worked. */
  reset(): void {
    this.#attempts = 0;
  }

  /** Waits, or throws `reason` when there were enough attempts. An abort of the signal throws its reason. */
  async wait(reason: unknown, signal?: AbortSignal): Promise<void> {
    this.#attempts += 1;
    if (this.#attempts > ATTEMPTS_MAX) throw reason;
    const delayMs = Math.min(DELAY_MS_MAX, DELAY_MS_MIN * 2 ** (this.#attempts - 1));
    await sleep(randomInt(Math.ceil(delayMs / 2), delayMs + 1), undefined, signal === undefined ? {} : { signal });
  }
}
