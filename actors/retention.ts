/**
 * Owns the look, at the start and every hour, for runs that ended so long ago that they go, and for old facts that nothing needs.
 * Does not own how a run is deleted (deletion.ts).
 *
 * 1. A run that has not ended, or holds staged changes that nobody applied, is never taken.
 * 2. The oldest go first, one at a time: nobody waits for it.
 */
import type { Origin, Runtime } from "../runtime/contract.ts";
import { isCohortError } from "../runtime/kernel/error.ts";
import type { RuntimeLog } from "../runtime/log/runtime-log.ts";
import type { RetentionOptions } from "./contract.ts";
import type { Deletion } from "./deletion.ts";
import type { RunJournal } from "./run-journal.ts";

/** A cohortd that was just started has better things to do. */
const FIRST_LOOK_MS = 5000;
const LOOK_MS = 3_600_000;
const retentionOrigin: Origin = { surface: "daemon", device: "retention" };

export interface RetentionParts {
  readonly runtime: Runtime;
  readonly journal: RunJournal;
  readonly deletion: Deletion;
  readonly options: RetentionOptions;
  readonly log: RuntimeLog;
}

export class Retention {
  readonly #parts: RetentionParts;
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(parts: RetentionParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#after(FIRST_LOOK_MS);
  }

  #after(delayMs: number): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#looking = this.look()
        .catch((error: unknown) => {
          if (!this.#stopped) this.#parts.log.error({ error }, "retention failed; it is tried again in an hour");
        })
        .then(() => this.#after(LOOK_MS));
    }, delayMs);
    this.#timer.unref();
  }

  /** One look. Answers the runs that went. */
  async look(): Promise<readonly string[]> {
    const { runtime, journal, options } = this.#parts;
    const nowMs = Date.now();
    const gone: string[] = [];
    const oldest = (await journal.rows()).filter(({ finishedAtMs }) => finishedAtMs !== null).toReversed();
    for (const { run, finishedAtMs } of oldest) {
      if (this.#stopped) return gone;
      const isOld = options.maxAgeMs > 0 && nowMs - (finishedAtMs ?? nowMs) > options.maxAgeMs;
      if (!isOld && !(await this.#isTooLarge())) break;
      if (await this.#delete(run)) gone.push(run);
    }
    if (options.maxAgeMs > 0) await runtime.sweep(nowMs - options.maxAgeMs);
    if (gone.length > 0) this.#parts.log.info({ runs: gone.length, first: gone[0] }, "runs were deleted by retention");
    return gone;
  }

  async #isTooLarge(): Promise<boolean> {
    const { runtime, options } = this.#parts;
    if (options.maxBytes === 0) return false;
    const { bytes, freeBytes } = await runtime.inspect("summary", { measure: false });
    return bytes - freeBytes > options.maxBytes;
  }

  async #delete(run: string): Promise<boolean> {
    try {
      await this.#parts.deletion.delete(run, false, retentionOrigin);
      return true;
    } catch (error) {
      // It holds what a person still wants, or its last effect is not over.
      if (!isCohortError(error, "REQUEST_INVALID") && !isCohortError(error, "RUN_LIVES")) throw error;
      return false;
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#looking;
  }
}
