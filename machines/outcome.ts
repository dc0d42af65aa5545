/** From the evidence of an attempt to its status, and from the status to what comes next: pure rules. */
import type { ExitFacts, RetryPolicy } from "./messages/facts.ts";
import type { TaskStatus } from "./messages/result.ts";

/** What the supervisor itself did to the attempt before its exit was known; the first one counts. */
export type Intervention = "none" | "cancelled" | "timed-out" | "stuck" | "output-limit";

/** A cancelled attempt is cancelled whatever its exit code: a program that handles SIGTERM may well end with 0. */
export function statusOf(intervention: Intervention, exit: ExitFacts): TaskStatus {
  if (exit.leaseExpired) return "lost";
  if (intervention !== "none") return intervention;
  if (exit.deadlineHit) return "timed-out";
  const ended = exit.cause === "exited" && exit.code === 0;
  if (exit.oomKilled && !ended) return "out-of-memory";
  switch (exit.cause) {
    case "exited":
      return ended ? "succeeded" : "failed";
    case "signaled":
      return "signaled";
    case "not-started":
      return "not-started";
    case "sandbox-died":
      return "sandbox-died";
    case "layer-missing":
      return "refused";
  }
}

/** Further attempts of an idempotent task whose outcome is unknown, where it asked for fewer retries. */
const UNKNOWN_RETRIES_MAX = 2;

/**
 * Whether attempt `attempt` (from 1), which ended in `status`, is followed by another. An attempt whose outcome is unknown may have
 * succeeded: only a task that says it is idempotent runs again.
 */
export function isRetried(status: TaskStatus, attempt: number, policy: RetryPolicy): boolean {
  switch (status) {
    case "succeeded":
    case "cancelled":
    case "not-started":
    case "output-limit":
      return false;
    case "failed":
    case "signaled":
    case "timed-out":
    case "stuck":
    case "out-of-memory":
    case "refused":
    case "sandbox-died":
      return attempt <= policy.retries;
    case "lost":
    case "unknown":
      return policy.idempotent && attempt <= Math.max(policy.retries, UNKNOWN_RETRIES_MAX);
  }
}

const BACKOFF_FIRST_MS = 200;
const BACKOFF_MAX_MS = 30_000;

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  return value >>> 0;
}

/** Doubles with each attempt up to 30 s; half of it is spread by a hash of the task, so that tasks that fail together do not return together. */
export function backoffMs(key: string, attempt: number): number {
  const fullMs = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(attempt - 1, 20));
  return Math.round(fullMs / 2 + (fullMs / 2) * (hash(`${key}/${attempt}`) / 2 ** 32));
}
