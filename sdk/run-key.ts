/** Keys of runs that their caller did not name. Pure but for chance. */
import { randomUUID } from "node:crypto";
import type { RunSummary } from "../machines/messages/result.ts";

/** Every start has a key, so that it can be repeated after a lost answer and still starts one run. */
const PREFIX = "once:";

export function onceKey(): string {
  return `${PREFIX}${randomUUID()}`;
}

/** Keys that nobody chose mean nothing to anybody. */
export function visibleSummary(summary: RunSummary): RunSummary {
  return summary.key?.startsWith(PREFIX) === true ? { ...summary, key: null } : summary;
}
