/** A living child as people and clients see it: its row in the journal, joined with what this supervisor has seen since. Pure. */
import { conditionOf } from "../machines/condition.ts";
import type { ChildRow } from "../machines/messages/facts.ts";
import type { ChildSummary } from "../machines/messages/result.ts";
import type { Session } from "./session.ts";

export interface SeenOfChild {
  readonly title: string;
  readonly session: Pick<Session, "sentTo" | "signs"> | undefined;
  readonly hasWarden: boolean;
  readonly deniedTimes: number;
  readonly nowMs: number;
}

export function childSummary(name: string, row: ChildRow, seen: SeenOfChild): ChildSummary {
  const { run, index, attempt, state, startedAtMs } = row;
  const { title, session, hasWarden, deniedTimes, nowMs } = seen;
  const signs = session?.signs;
  const start = session === undefined ? "queued" : session.sentTo === null ? "waiting" : "asked";
  return {
    child: name,
    run,
    index,
    attempt,
    title,
    state,
    condition: conditionOf(
      row,
      { hasWarden, start, frozenSinceMs: signs?.frozenSinceMs ?? null, diskSinceMs: signs?.diskSinceMs ?? null },
      nowMs,
    ),
    startedAtMs,
    lastSignAtMs: Math.max(row.lastSignAtMs, signs?.progressAtMs ?? 0, signs?.heartbeatAtMs ?? 0),
    progressAtMs: signs?.progressAtMs ?? null,
    heartbeatAtMs: signs?.heartbeatAtMs ?? null,
    progress: signs?.report ?? null,
    deniedTimes,
  };
}
