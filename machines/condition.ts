/** Whether a child works, waits or is stuck, from its row and from what was seen of it since. Pure. */
import type { ChildRow } from "./messages/facts.ts";
import type { Condition } from "./messages/result.ts";

/** What is not in the row, because it may change without the child's machine. */
export interface Circumstances {
  /** There is a connection to a warden. */
  readonly hasWarden: boolean;
  /** Its start is not queued any more; null: nothing is known of it. */
  readonly start: "queued" | "waiting" | "asked";
  readonly frozenSinceMs: number | null;
  /** Since when its output cannot be written down. */
  readonly diskSinceMs: number | null;
}

/**
 * Longer than each should ever take, so that somebody looks: the warden answers a start within 15 s and is waited for 30; a cancelled child has
 * 5 s of grace; files are collected and a sandbox is unmade in seconds unless the disk is full.
 */
const OVERDUE_AFTER_MS = { starting: 60_000, cancelling: 15_000, collecting: 60_000, destroying: 30_000 } as const;

export function conditionOf(row: ChildRow, circumstances: Circumstances, nowMs: number): Condition {
  const { state, lastSignAtMs: sinceMs } = row;
  if (state === "waiting") return { type: "waiting", for: "retry", sinceMs, untilMs: row.retryAtMs ?? null };
  if (state === "starting" && circumstances.start !== "asked")
    return waiting(circumstances.start === "queued" && circumstances.hasWarden ? "capacity" : "warden", sinceMs);
  if (circumstances.frozenSinceMs !== null) return waiting("frozen", circumstances.frozenSinceMs);
  if (circumstances.diskSinceMs !== null) return waiting("disk", circumstances.diskSinceMs);
  if (state === "running") {
    if (row.asksSinceMs !== undefined) return waiting("approval", row.asksSinceMs);
    return row.stuck === undefined ? { type: "working" } : { type: "stuck", ...row.stuck };
  }
  const dueAtMs = sinceMs + OVERDUE_AFTER_MS[state];
  return nowMs > dueAtMs ? { type: "stuck", clock: "deadline", sinceMs: dueAtMs } : { type: "working" };
}

function waiting(reason: Extract<Condition, { type: "waiting" }>["for"], sinceMs: number): Condition {
  return { type: "waiting", for: reason, sinceMs, untilMs: null };
}
