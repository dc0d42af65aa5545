/** Pure: whether a child works, waits or is stuck, in a few words. */
import type { ChildSummary, Condition, WaitingFor } from "../../../machines/messages/result.ts";
import { formatDuration } from "../text/measure.ts";

const waits: Readonly<Record<WaitingFor, string>> = {
  capacity: "waits for its turn",
  warden: "waits for the warden",
  approval: "asks you",
  retry: "waits to try again",
  frozen: "frozen",
  disk: "waits for room on the disk",
};

export function stuckText(clock: Extract<Condition, { type: "stuck" }>["clock"], forMs: number): string {
  switch (clock) {
    case "heartbeat":
      return `no sign of life for ${formatDuration(forMs)}`;
    case "progress":
      return `it computes, but said nothing for ${formatDuration(forMs)}`;
    case "deadline":
      return `overdue for ${formatDuration(forMs)}`;
  }
}

/** Empty for one that works: its state says it all. */
export function conditionText(condition: Condition, nowMs: number): string {
  switch (condition.type) {
    case "working":
      return "";
    case "waiting":
      return condition.untilMs === null
        ? waits[condition.for]
        : `${waits[condition.for]} in ${formatDuration(Math.max(0, condition.untilMs - nowMs))}`;
    case "stuck":
      return `stuck: ${stuckText(condition.clock, nowMs - condition.sinceMs)}`;
  }
}

/** What it said of itself; empty if nothing. */
export function progressText({ progress }: Pick<ChildSummary, "progress">): string {
  if (progress === null) return "";
  const percent = progress.fraction === null ? "" : `${Math.floor(progress.fraction * 100)}%`;
  return [percent, progress.text].filter((part) => part !== "").join(" ");
}
