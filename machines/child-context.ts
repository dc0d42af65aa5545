/** What a child remembers, how each event changes it, and the actions' parameters that follow from it: pure. */
import type { EffectParams, Json, StartTimerParams } from "../runtime/kernel/actions.ts";
import {
  childEffects,
  type AttemptParams,
  type ChildEvent,
  type ChildInput,
  type DeadlineParams,
  type KillParams,
  type SettleParams,
  type SignalParams,
} from "./messages/child-events.ts";
import { APPROVAL_EXPIRY_MS } from "./messages/approval.ts";
import type { ExitFacts, RecordRef, RetryPolicy, StuckFacts } from "./messages/facts.ts";
import type { TaskStatus } from "./messages/result.ts";
import { backoffMs, isRetried, statusOf, type Intervention } from "./outcome.ts";
import { sessionName } from "./session-name.ts";

export type ChildContext = {
  readonly run: string;
  readonly index: number;
  readonly counter: number;
  readonly attempt: number;
  readonly policy: RetryPolicy;
  readonly cancel: "none" | "grace" | "kill";
  readonly intervention: Intervention;
  /** Of the attempt; null until it is known. */
  readonly status: TaskStatus | null;
  readonly exit: ExitFacts | null;
  readonly record: RecordRef | null;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly lastSignAtMs: number;
  /** Its process ran: from then on only evidence, or the loss of its warden, ends it. */
  readonly begun: boolean;
  /** Effects asked for in this attempt: each has a key of its own. */
  readonly effects: number;
  readonly settles: number;
  /** The result has gone to the relay. */
  readonly delivered: boolean;
  /** Approvals that a person has not answered yet. */
  readonly openAsks: readonly string[];
  /** Since when there are any. */
  readonly waitingSinceMs: number;
  /** Of the attempt, in waits that are over. */
  readonly waitedMs: number;
  /** It gives no sign of life; null while it does, or waits for something. */
  readonly stuck: StuckFacts | null;
};

/** Between SIGTERM and SIGKILL. */
export const GRACE_MS = 5000;
/** Working time stands still for so long in one attempt, and not longer: as one question may stay open. Else a task that asks again and again never ends. */
export const WAITS_MS_MAX = APPROVAL_EXPIRY_MS;
/** The warden holds the deadline; the journal's timer speaks only when the warden did not. */
const TIMEOUT_BACKUP_MS = 3000;
export const SETTLES_MAX = 5;
export const DESTROY_RETRY_MS = 5000;

const noPolicy: RetryPolicy = { retries: 0, idempotent: false, timeoutMs: 0 };

function freshAttempt(attempt: number, atMs: number) {
  return {
    attempt,
    intervention: "none",
    status: null,
    exit: null,
    record: null,
    startedAtMs: atMs,
    endedAtMs: atMs,
    lastSignAtMs: atMs,
    begun: false,
    effects: 0,
    settles: 0,
    openAsks: [],
    waitingSinceMs: atMs,
    waitedMs: 0,
    stuck: null,
  } as const;
}

export function childContext(input: ChildInput): ChildContext {
  const { run, index, counter, atMs } = input;
  return { run, index, counter, policy: noPolicy, cancel: "none", delivered: false, ...freshAttempt(1, atMs) };
}

/** How an event changes the context, whatever the state; the states decide which events count. */
export function reduceChild(context: ChildContext, event: ChildEvent): Partial<ChildContext> {
  const seen = { lastSignAtMs: event.at, effects: context.effects + 1 };
  switch (event.type) {
    case "started":
      return { ...seen, policy: event.policy, startedAtMs: event.at, begun: true };
    case "startFailed":
      return {
        ...seen,
        policy: event.policy,
        status: context.intervention === "none" ? event.status : context.intervention,
        endedAtMs: event.at,
      };
    case "exited":
      return { ...seen, exit: event.exit, status: statusOf(context.intervention, event.exit), endedAtMs: event.at };
    case "lost":
      return { ...seen, status: context.intervention === "none" ? event.status : context.intervention, endedAtMs: event.at };
    case "outputLimit":
      return { ...seen, intervention: first(context, "output-limit") };
    case "cancel":
      return {
        ...seen,
        cancel: event.mode === "kill" || context.cancel === "kill" ? "kill" : "grace",
        intervention: context.status === null ? first(context, "cancelled") : context.intervention,
      };
    case "timer":
      if (event.name === "timeout") return { ...seen, intervention: first(context, "timed-out") };
      if (event.name === "retry") return freshAttempt(context.attempt + 1, event.at);
      return seen;
    case "effectFailed":
      if (event.name !== childEffects.start) return seen;
      return { ...seen, status: context.intervention === "none" ? "refused" : context.intervention, endedAtMs: event.at };
    case "settled":
      return { ...seen, record: event.record };
    case "askOpened":
      if (event.attempt !== context.attempt || context.openAsks.includes(event.approval)) return seen;
      return {
        ...seen,
        openAsks: [...context.openAsks, event.approval],
        waitingSinceMs: context.openAsks.length === 0 ? event.at : context.waitingSinceMs,
      };
    case "askClosed":
      return { ...seen, ...withClosedAsk(context, event.approval, event.at) };
    // The one event that is no sign of life.
    case "stuck":
      return {
        effects: context.effects + 1,
        stuck: { clock: event.clock, sinceMs: event.sinceMs },
        intervention: event.ends ? first(context, "stuck") : context.intervention,
      };
    case "unstuck":
      return { ...seen, stuck: null };
    case "progress":
    case "destroyed":
      return seen;
  }
}

function withClosedAsk(context: ChildContext, approval: string, atMs: number): Partial<ChildContext> {
  const openAsks = context.openAsks.filter((other) => other !== approval);
  if (openAsks.length === context.openAsks.length || openAsks.length > 0) return { openAsks };
  return { openAsks, waitedMs: context.waitedMs + Math.max(0, atMs - context.waitingSinceMs) };
}

/** Whether the event begins, or ends, the waiting for a person: others are open before or after it. */
export function turnsWaiting(context: ChildContext, event: ChildEvent): boolean {
  if (event.type === "askOpened") return event.attempt === context.attempt && context.openAsks.length === 0;
  if (event.type === "askClosed") return context.openAsks.length === 1 && context.openAsks[0] === event.approval;
  return false;
}

/** News of another attempt, of what is told already, or of one that waits for a person, means nothing. */
export function turnsStuck(context: ChildContext, event: ChildEvent): boolean {
  return (
    event.type === "stuck" && event.attempt === context.attempt && context.openAsks.length === 0 && (event.ends || context.stuck === null)
  );
}

export function turnsUnstuck(context: ChildContext, event: ChildEvent): boolean {
  return event.type === "unstuck" && event.attempt === context.attempt && context.stuck !== null;
}

function first(context: ChildContext, intervention: Intervention): Intervention {
  return context.intervention === "none" ? intervention : context.intervention;
}

export function willRetry(context: ChildContext): boolean {
  return context.cancel === "none" && context.status !== null && isRetried(context.status, context.attempt, context.policy);
}

export function childName(context: ChildContext): string {
  return sessionName(context.counter, context.attempt);
}

function attemptParams(context: ChildContext): AttemptParams {
  return { run: context.run, index: context.index, attempt: context.attempt, name: childName(context) };
}

function effect(context: ChildContext, name: string, params: Json): EffectParams {
  return { name, key: `${context.run}/${context.index}/${context.attempt}/${name}/${context.effects}`, params };
}

export function startEffect(context: ChildContext): EffectParams {
  return effect(context, childEffects.start, attemptParams(context));
}

export function killEffect(context: ChildContext, beforeStart: boolean): EffectParams {
  return effect(context, childEffects.kill, { ...attemptParams(context), beforeStart } satisfies KillParams);
}

export function terminateEffect(context: ChildContext): EffectParams {
  return effect(context, childEffects.signal, { ...attemptParams(context), signal: 15 } satisfies SignalParams);
}

export function settleEffect(context: ChildContext): EffectParams {
  const { status, exit, startedAtMs, endedAtMs } = context;
  return effect(context, childEffects.settle, {
    ...attemptParams(context),
    status: status ?? "unknown",
    exit,
    startedAtMs,
    endedAtMs,
  } satisfies SettleParams);
}

export function destroyEffect(context: ChildContext): EffectParams {
  return effect(context, childEffects.destroy, attemptParams(context));
}

/** While a person is waited for: if nobody answers. */
function workEndsAtMs({ startedAtMs, policy, openAsks, waitedMs }: ChildContext): number {
  return startedAtMs + policy.timeoutMs + (openAsks.length > 0 ? WAITS_MS_MAX : Math.min(waitedMs, WAITS_MS_MAX));
}

export function timeoutTimer(context: ChildContext): StartTimerParams {
  return { name: "timeout", atMs: workEndsAtMs(context) + TIMEOUT_BACKUP_MS };
}

/** The warden's own. */
export function deadlineEffect(context: ChildContext): EffectParams {
  return effect(context, childEffects.deadline, {
    ...attemptParams(context),
    endsAtMs: workEndsAtMs(context),
    order: context.effects,
  } satisfies DeadlineParams);
}

export function retryTimer(context: ChildContext, atMs: number): StartTimerParams {
  return { name: "retry", atMs: atMs + backoffMs(`${context.run}/${context.index}`, context.attempt) };
}

/** 1, 2, 4, 8 s: a full disk may be freed in time. */
export function settleTimer(context: ChildContext, atMs: number): StartTimerParams {
  return { name: "settle", atMs: atMs + 1000 * 2 ** context.settles };
}
