/** When and how often work of a scope is tried again. Pure but for the jitter. */
import { randomInt } from "node:crypto";
import { CohortError, isCohortError } from "../runtime/kernel/error.ts";
import { TaskFailed } from "./task-failed.ts";

export interface RetryOptions {
  /** At most so many tries, the first included. Default 3, at most 1000. */
  readonly attempts?: number;
  /** Waits between them, in ms: doubling from `minMs` (default 200) to `maxMs` (default 30,000), each between half and all of it. */
  readonly backoff?: { readonly minMs?: number; readonly maxMs?: number };
  /** Whether this failure is worth another try. `attempt` is the one that failed, from 1. Default: every failure is. */
  readonly when?: (error: unknown, attempt: number) => boolean;
  /** Names the work, as in WorkOptions; its attempts are named by it and their number. */
  readonly key?: string;
}

export interface RetrySettings {
  readonly attempts: number;
  readonly minMs: number;
  readonly maxMs: number;
  readonly when: (error: unknown, attempt: number) => boolean;
}

const ATTEMPTS_MAX = 1000;
const DELAY_MS_MAX = 24 * 3_600_000;

/** Throws REQUEST_INVALID. */
export function retrySettings({ attempts = 3, backoff = {}, when = () => true }: RetryOptions): RetrySettings {
  const { minMs = 200, maxMs = 30_000 } = backoff;
  if (!Number.isSafeInteger(attempts) || attempts < 1 || attempts > ATTEMPTS_MAX)
    throw new CohortError("REQUEST_INVALID", { on: `retry: attempts ${attempts}, of 1 to ${ATTEMPTS_MAX}` });
  if (!(minMs >= 0 && minMs <= maxMs && maxMs <= DELAY_MS_MAX))
    throw new CohortError("REQUEST_INVALID", { on: `retry: backoff from ${minMs} to ${maxMs} ms, of 0 to ${DELAY_MS_MAX}` });
  return { attempts, minMs, maxMs, when };
}

/** How long to wait for the next try, or null: there is none. */
export function retryDelayMs(
  { attempts, minMs, maxMs, when }: RetrySettings,
  error: unknown,
  attempt: number,
  isIdempotent: boolean,
): number | null {
  // Of these another try would not be one: somebody wants it to end, or nobody knows whether it has.
  if (isCohortError(error, "CANCELLED") || isCohortError(error, "SCOPE_UNPROVEN") || isCohortError(error, "REQUEST_INVALID")) return null;
  if (error instanceof TaskFailed && error.mayHaveRun && !isIdempotent) return null;
  if (attempt >= attempts || !when(error, attempt)) return null;
  const delayMs = Math.floor(Math.min(maxMs, minMs * 2 ** Math.min(attempt - 1, 30)));
  return delayMs < 2 ? delayMs : randomInt(Math.ceil(delayMs / 2), delayMs + 1);
}
