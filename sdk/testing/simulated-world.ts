/**
 * Simulated time, and who lets it pass.
 *
 * Owns the environment and the one loop that steps it.
 *
 * 1. Time passes while somebody waits for something, and in `advance`; never by itself.
 * 2. A wait that nothing could end any more is an error at once, not a test that hangs.
 */
import { CohortError } from "../../runtime/kernel/error.ts";
import { SimulatedEnvironment } from "../../runtime/simulated/simulated-environment.ts";

/** Of simulated time; a wait has a deadline of its own. */
const MS_MAX = 100 * 365 * 24 * 3_600_000;
const STEPS_MAX = 10_000_000;
/** Whatever goes on commits something within it: commits take 1 ms, and none waits for longer than a few. */
const QUIET_MS = 25;
const ROUNDS_MAX = 10_000;

export class SimulatedWorld {
  readonly environment: SimulatedEnvironment;
  readonly #waiting = new Set<symbol>();
  #loop: Promise<void> | null = null;
  #killed = Promise.withResolvers<never>();
  #commits = 0;

  constructor(options: { readonly seed: number; readonly startMs: number }) {
    this.environment = new SimulatedEnvironment(options);
    this.#killed.promise.catch(() => undefined);
  }

  /** Lets the world go on until it settles, and answers alike. Rejects with CANCELLED when the process is killed. */
  async drive<T>(promise: Promise<T>): Promise<T> {
    const wait = Symbol("wait");
    this.#waiting.add(wait);
    const settled = (): void => void this.#waiting.delete(wait);
    promise.then(settled, settled);
    const killed = this.#killed.promise;
    this.#loop ??= this.#run().finally(() => (this.#loop = null));
    // Whoever comes while it runs is waited for by it, too.
    return Promise.race([promise, killed, this.#loop.then(() => promise)]);
  }

  async #run(): Promise<void> {
    const stopped = await this.environment.runUntil(() => this.#waiting.size === 0, { msMax: MS_MAX, stepsMax: STEPS_MAX });
    if (stopped === "done") return;
    this.#waiting.clear();
    throw new CohortError("DEADLINE", {
      on: `nothing is left to happen that could end this wait (${stopped})`,
      hint: "effects in simulated time answer at once, or wait with clock.sleep",
    });
  }

  /** Something was written. */
  committed(): void {
    this.#commits += 1;
  }

  async advance(ms: number): Promise<void> {
    await this.environment.advance(ms);
    await this.settle();
  }

  /** Whatever can happen without waiting for a timer or an effect has happened, and is durable. Takes some ms of simulated time. */
  async settle(): Promise<void> {
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      const before = this.#commits;
      await this.environment.advance(QUIET_MS);
      if (this.#commits === before) return;
    }
    throw new CohortError("DEADLINE", { on: `after ${ROUNDS_MAX * QUIET_MS} ms of simulated time it still goes on` });
  }

  /** Whoever waits hears it. */
  kill(): void {
    this.#waiting.clear();
    this.#killed.reject(new CohortError("CANCELLED", { on: "the simulated process was killed" }));
    this.#killed = Promise.withResolvers<never>();
    this.#killed.promise.catch(() => undefined);
  }
}
