/** What an approval remembers, how each event changes it, and the actions' parameters that follow from it: pure. */
import type { AppendParams, EffectParams, ProjectParams, SendParams, SpawnParams, StartTimerParams } from "../runtime/kernel/actions.ts";
import { APPROVAL_EXPIRY_MS, type ApprovalState } from "./messages/approval.ts";
import {
  approvalEffects,
  type ApprovalEvent,
  type ApprovalInput,
  type ApprovalRow,
  type ApprovalToldParams,
} from "./messages/approval-events.ts";
import type { RunLogRow } from "./messages/facts.ts";
import type { GrantInput } from "./messages/grant-events.ts";
import { GRANT_TTL_MS_DEFAULT, type GrantMode } from "./messages/grant.ts";

export type ApprovalContext = ApprovalInput & {
  readonly asks: number;
  readonly answer: Omit<NonNullable<ApprovalRow["answer"]>, "grant"> | null;
};

/** Numbers of the wire below this are the task's own mounts. */
const WIRE_ID_BASE = 16;

const modes: readonly GrantMode[] = ["ro", "staged", "rw"];

/** Whether `mode` allows no more than `most`. */
export function isWithin(mode: GrantMode, most: GrantMode): boolean {
  return modes.indexOf(mode) <= modes.indexOf(most);
}

export function grantId(number: number): string {
  return `g${number}`;
}

export function wireIdOf(number: number): number {
  return WIRE_ID_BASE + number;
}

export function approvalContext(input: ApprovalInput): ApprovalContext {
  const { preAnswer, atMs } = input;
  const answer =
    preAnswer === null ? null : { by: "pre-answer" as const, mode: preAnswer.mode, ttlMs: preAnswer.ttlMs, uses: preAnswer.uses, atMs };
  return { ...input, asks: 1, answer };
}

/** How an event changes the context, whatever the state. */
export function reduceApproval(context: ApprovalContext, event: ApprovalEvent): Partial<ApprovalContext> {
  const { mode } = context;
  const none = { mode, ttlMs: GRANT_TTL_MS_DEFAULT, uses: 0, atMs: event.at };
  switch (event.type) {
    case "answer": {
      const { ttlMs, uses } = event;
      return { answer: { by: "person", mode: isWithin(event.mode, mode) ? event.mode : mode, ttlMs, uses, atMs: event.at } };
    }
    case "repeated":
      return { asks: context.asks + 1 };
    case "timer":
      return event.name === "expiry" ? { answer: { by: "expiry", ...none } } : {};
    case "childEnded":
    case "cancel":
      return { answer: { by: "system", ...none } };
  }
}

export function expiryTimer(context: ApprovalContext): StartTimerParams {
  return { name: "expiry", atMs: context.atMs + APPROVAL_EXPIRY_MS };
}

export function approvalRow(context: ApprovalContext, state: ApprovalState): ApprovalRow {
  const { approval, run, index, attempt, child, mode, asks, atMs, answer, grantNumber } = context;
  return {
    approval,
    state,
    run,
    index,
    attempt,
    child,
    mode,
    asks,
    askedAtMs: atMs,
    expiresAtMs: atMs + APPROVAL_EXPIRY_MS,
    answer: answer === null ? null : { ...answer, grant: state === "approved" ? grantId(grantNumber) : null },
  };
}

export function pendingRow(context: ApprovalContext): ProjectParams {
  return { collection: "approvals", key: context.approval, value: approvalRow(context, "pending") };
}

export function noPendingRow(context: ApprovalContext): ProjectParams {
  return { collection: "approvals", key: context.approval, value: null };
}

export function answeredRow(context: ApprovalContext, state: ApprovalState): ProjectParams {
  return { collection: "approvalsAnswered", key: context.approval, value: approvalRow(context, state) };
}

export function toldEffect(context: ApprovalContext, state: ApprovalState): EffectParams {
  return {
    name: approvalEffects.told,
    key: `${context.approval}/told/${state}/${context.asks}`,
    params: { row: approvalRow(context, state) } satisfies ApprovalToldParams,
  };
}

/** Its working time stands still while a person is waited for. */
export function sendAsk(context: ApprovalContext, type: "askOpened" | "askClosed"): SendParams {
  const { approval, attempt } = context;
  return { to: `child:${context.run}/${context.index}`, event: { type, approval, attempt } };
}

export function spawnGrant(context: ApprovalContext, atMs: number): SpawnParams {
  const { run, index, attempt, child, approval, grantNumber, answer, mode } = context;
  const input: GrantInput = {
    grant: grantId(grantNumber),
    wireId: wireIdOf(grantNumber),
    run,
    index,
    attempt,
    child,
    mode: answer?.mode ?? mode,
    ttlMs: answer?.ttlMs ?? GRANT_TTL_MS_DEFAULT,
    usesLeft: Math.max(0, (answer?.uses ?? 1) - 1),
    by: answer?.by === "pre-answer" ? "pre-answer" : "approval",
    approval,
    born: false,
    atMs,
  };
  return { ref: `grant:${grantId(grantNumber)}`, input };
}

function runLog(context: ApprovalContext, value: RunLogRow): AppendParams {
  return { log: `run:${context.run}`, value };
}

export function requestedRow(context: ApprovalContext): AppendParams {
  const { approval, index, attempt, child, mode, atMs } = context;
  return runLog(context, {
    type: "approval-requested",
    approval,
    index,
    attempt,
    child,
    mode,
    expiresAtMs: atMs + APPROVAL_EXPIRY_MS,
    atMs,
  });
}

export function decidedRow(context: ApprovalContext, decision: Exclude<ApprovalState, "pending">): AppendParams {
  const { approval, index, answer, mode, atMs } = context;
  return runLog(context, {
    type: "approval-answered",
    approval,
    index,
    decision,
    by: answer?.by ?? "system",
    mode: answer?.mode ?? mode,
    ttlMs: answer?.ttlMs ?? 0,
    atMs: answer?.atMs ?? atMs,
  });
}
