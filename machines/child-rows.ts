/** What the journal shows of a child: its row while it lives, and its rows in the run's log. Pure. */
import type { ActorRef, AppendParams, ProjectParams, SendParams } from "../runtime/kernel/actions.ts";
import { childName, retryTimer, type ChildContext } from "./child-context.ts";
import type { ChildRow, ResultFacts, RunLogRow } from "./messages/facts.ts";

export function childRow(context: ChildContext, state: ChildRow["state"]): ProjectParams {
  const { run, index, attempt, begun, startedAtMs, lastSignAtMs, openAsks, waitingSinceMs, stuck } = context;
  const value: ChildRow = {
    run,
    index,
    attempt,
    state,
    begun,
    startedAtMs,
    lastSignAtMs,
    ...(state === "waiting" ? { retryAtMs: retryTimer(context, lastSignAtMs).atMs } : {}),
    ...(openAsks.length > 0 ? { asksSinceMs: waitingSinceMs } : {}),
    ...(stuck === null ? {} : { stuck }),
  };
  return { collection: "children", key: childName(context), value };
}

export function noChildRow(context: ChildContext): ProjectParams {
  return { collection: "children", key: childName(context), value: null };
}

export function resultFacts(context: ChildContext): ResultFacts {
  const { index, attempt, exit, startedAtMs, endedAtMs, record } = context;
  return {
    index,
    attempt,
    child: childName(context),
    status: context.status ?? "unknown",
    exitCode: exit?.cause === "exited" ? exit.code : null,
    signal: exit?.cause === "signaled" ? exit.signal : null,
    startedAtMs,
    wallMs: exit === null ? Math.max(0, endedAtMs - startedAtMs) : Math.round(exit.wallUs / 1000),
    cpuMs: exit === null ? 0 : Math.round(exit.cpuUs / 1000),
    maxRssBytes: exit === null ? 0 : exit.maxRssKib * 1024,
    stdoutBytes: exit?.stdoutBytes ?? 0,
    stderrBytes: exit?.stderrBytes ?? 0,
    record,
  };
}

function runLog(context: ChildContext, value: RunLogRow): AppendParams {
  return { log: `run:${context.run}`, value };
}

export function startedRow(context: ChildContext, atMs: number): AppendParams {
  return runLog(context, { type: "task-started", index: context.index, attempt: context.attempt, child: childName(context), atMs });
}

export function stuckRow(context: ChildContext, ends: boolean, atMs: number): AppendParams {
  const { index, attempt, stuck } = context;
  const { clock, sinceMs } = stuck ?? { clock: "heartbeat", sinceMs: atMs };
  return runLog(context, { type: "task-stuck", index, attempt, child: childName(context), clock, sinceMs, ends, atMs });
}

export function unstuckRow(context: ChildContext, atMs: number): AppendParams {
  const { index, attempt } = context;
  return runLog(context, { type: "task-unstuck", index, attempt, child: childName(context), atMs });
}

export function retriedRow(context: ChildContext, atMs: number): AppendParams {
  return runLog(context, { type: "task-retried", atMs, facts: resultFacts(context) });
}

export function sendResult(context: ChildContext, gone: boolean): SendParams {
  return { to: `relay:${context.run}` satisfies ActorRef, event: { type: "result", facts: resultFacts(context), gone } };
}

/** By way of the relay, so that it cannot overtake the result. */
export function sendGone(context: ChildContext): SendParams {
  return { to: `relay:${context.run}` satisfies ActorRef, event: { type: "childGone", index: context.index } };
}
