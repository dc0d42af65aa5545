/** What a run remembers, how each event changes it, and the actions' parameters that follow from it: pure, and never more than its jobs. */
import type { AppendParams, EffectParams, ProjectParams, SpawnParams, StartTimerParams } from "../runtime/kernel/actions.ts";
import type { ChildInput } from "./messages/child-events.ts";
import type { CountsRow, ResultFacts, RunLogRow, RunRow } from "./messages/facts.ts";
import type { TaskStatus } from "./messages/result.ts";
import { runEffects, type CancelScopeParams, type EndedParams, type RunEvent, type RunInput } from "./messages/run-events.ts";

/** Why no more is started; the first reason counts. */
export type Stop = "none" | "cancelled" | "halted" | "deadline";

export type RunContext = RunInput & {
  /** Index of the next task to start. */
  readonly next: number;
  /** Started, and their results not yet here. At most `jobs` together with lingering. */
  readonly active: readonly number[];
  /** Their results are here, the proof that they are gone is not. */
  readonly lingering: readonly number[];
  readonly succeeded: number;
  readonly cancelled: number;
  readonly failed: number;
  readonly stop: Stop;
  readonly cancel: "none" | "grace" | "kill";
  /** Started in the present burst. */
  readonly burst: number;
  readonly finishedAtMs: number | null;
  readonly cancelRequests: number;
};

/** Children started in one journal transaction; a larger run goes on with the next event, so that no event takes long. */
export const BURST_MAX = 32;
export const CANCEL_RETRY_MS = 1000;

export function runContext(input: RunInput): RunContext {
  return {
    ...input,
    next: 0,
    active: [],
    lingering: [],
    succeeded: 0,
    cancelled: 0,
    failed: 0,
    stop: "none",
    cancel: "none",
    burst: 0,
    finishedAtMs: null,
    cancelRequests: 0,
  };
}

export function canStart(context: RunContext): boolean {
  return context.next < context.total && context.active.length + context.lingering.length < context.jobs;
}

export function isQuiet(context: RunContext): boolean {
  return context.active.length === 0 && context.lingering.length === 0;
}

export function isHalted(context: RunContext, when: "soon" | "now"): boolean {
  return context.halt.when === when && context.failed >= context.halt.failures;
}

/** What the start of the next child changes. */
export function withStarted(context: RunContext): Partial<RunContext> {
  return { next: context.next + 1, active: [...context.active, context.next], burst: context.burst + 1 };
}

function withSettled(context: RunContext, index: number, status: TaskStatus, gone: boolean): Partial<RunContext> {
  if (!context.active.includes(index)) return {};
  return {
    active: context.active.filter((other) => other !== index),
    lingering: gone ? context.lingering : [...context.lingering, index],
    succeeded: context.succeeded + (status === "succeeded" ? 1 : 0),
    cancelled: context.cancelled + (status === "cancelled" ? 1 : 0),
    failed: context.failed + (status === "succeeded" || status === "cancelled" ? 0 : 1),
  };
}

/** `child:<run>/<index>` → index; -1 for any other actor. */
export function failedIndex(context: RunContext, ref: string): number {
  const prefix = `child:${context.run}/`;
  return ref.startsWith(prefix) ? Number(ref.slice(prefix.length)) : -1;
}

/** How an event changes the context, whatever the state. */
export function reduceRun(context: RunContext, event: RunEvent): Partial<RunContext> {
  switch (event.type) {
    case "childSettled":
      return withSettled(context, event.index, event.status, event.gone);
    case "childGone":
      return { lingering: context.lingering.filter((other) => other !== event.index) };
    case "actorFailed":
      return withSettled(context, failedIndex(context, event.ref), "unknown", true);
    case "cancel":
      return {
        cancel: event.mode === "kill" || context.cancel === "kill" ? "kill" : "grace",
        stop: context.stop === "none" ? "cancelled" : context.stop,
      };
    case "timer":
      return event.name === "deadline" ? withStop(context, "deadline") : {};
    case "fill":
    case "effectFailed":
      return {};
  }
}

export function withStop(context: RunContext, stop: Stop): Partial<RunContext> {
  return { stop: context.stop === "none" ? stop : context.stop };
}

export function counts(context: RunContext): CountsRow {
  const { total, next, active, succeeded, cancelled, failed } = context;
  return { total, waiting: total - next, running: active.length, succeeded, cancelled, failed };
}

export function endStatus(context: RunContext): "completed" | "cancelled" | "halted" | "deadline" {
  return context.stop === "none" ? "completed" : context.stop;
}

export function runRow(context: RunContext, status: RunRow["status"]): ProjectParams {
  const { run, createdAtMs, finishedAtMs, jobs } = context;
  return {
    collection: "runs",
    key: run,
    value: { run, status, createdAtMs, finishedAtMs, jobs, counts: counts(context) } satisfies RunRow,
  };
}

export function spawnChild(context: RunContext, atMs: number): SpawnParams {
  const { run, next, counterBase } = context;
  return { ref: `child:${run}/${next}`, input: { run, index: next, counter: counterBase + next, atMs } satisfies ChildInput };
}

export function spawnRelay(context: RunContext): SpawnParams {
  return { ref: `relay:${context.run}`, input: { run: context.run } };
}

export function deadlineTimer(context: RunContext): StartTimerParams {
  return { name: "deadline", atMs: context.deadlineAtMs ?? Number.MAX_SAFE_INTEGER };
}

export function cancelScopeEffect(context: RunContext, reason: string): EffectParams {
  return {
    name: runEffects.cancelScope,
    key: `${context.run}/cancel/${context.cancelRequests}`,
    params: { run: context.run, mode: "grace", reason } satisfies CancelScopeParams,
  };
}

export function endedEffect(context: RunContext): EffectParams {
  return { name: runEffects.ended, key: `${context.run}/ended`, params: { run: context.run } satisfies EndedParams };
}

function runLog(context: RunContext, value: RunLogRow): AppendParams {
  return { log: `run:${context.run}`, value };
}

export function startedRow(context: RunContext): AppendParams {
  const { run, createdAtMs, total, jobs } = context;
  return runLog(context, { type: "run-started", run, atMs: createdAtMs, total, jobs });
}

export function cancellingRow(context: RunContext, mode: "grace" | "kill", reason: string, atMs: number): AppendParams {
  return runLog(context, { type: "run-cancelling", mode, reason, atMs });
}

export function finishedRow(context: RunContext): AppendParams {
  return runLog(context, { type: "run-finished", atMs: context.finishedAtMs ?? 0, summary: counts(context), status: endStatus(context) });
}

/** A child that broke by a fault of ours still has exactly one result, of its own kind. */
export function brokenRow(context: RunContext, index: number, atMs: number): AppendParams {
  const facts: ResultFacts = {
    index,
    attempt: 1,
    child: "",
    status: "unknown",
    exitCode: null,
    signal: null,
    startedAtMs: atMs,
    wallMs: 0,
    cpuMs: 0,
    maxRssBytes: 0,
    stdoutBytes: 0,
    stderrBytes: 0,
    record: null,
  };
  return runLog(context, { type: "task-finished", atMs, facts });
}
