/** Events of a run, each once, over connections that may break: the supervisor is started anew by the client and knows the cursor. */
import { setTimeout as sleep } from "node:timers/promises";
import type { RunEventItem } from "../../../machines/messages/api.ts";
import { CohortError } from "../../../runtime/kernel/error.ts";
import type { FollowedRun } from "./followed-run.ts";

const PAUSE_MS = 500;
/** So long the supervisor may be away before its run is given up as unreachable. */
export const AWAY_MS_MAX = 60_000;

/** Ends after run-finished. Throws what cannot be retried, or what went on for longer than AWAY_MS_MAX. */
export async function* steadyEvents(run: FollowedRun, onAway: (error: CohortError) => void): AsyncGenerator<RunEventItem> {
  let after = 0;
  let awaySinceMs: number | null = null;
  for (;;) {
    try {
      for await (const item of run.events({ after })) {
        if (item.cursor <= after) continue;
        after = item.cursor;
        awaySinceMs = null;
        yield item;
        if (item.event.type === "run-finished") return;
      }
      throw new CohortError("TRANSPORT_CLOSED", { on: `the events of run ${run.id} ended before the run` });
    } catch (error) {
      if (!(error instanceof CohortError) || !error.retryable) throw error;
      const nowMs = Date.now();
      if (awaySinceMs === null) onAway(error);
      awaySinceMs ??= nowMs;
      if (nowMs - awaySinceMs > AWAY_MS_MAX) throw error;
      await sleep(PAUSE_MS);
    }
  }
}
