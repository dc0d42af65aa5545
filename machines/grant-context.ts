/** What a grant remembers, how each event changes it, and the actions' parameters that follow from it: pure. */
import type { AppendParams, EffectParams, ProjectParams, StartTimerParams } from "../runtime/kernel/actions.ts";
import type { RunLogRow } from "./messages/facts.ts";
import {
  grantEffects,
  type AttachParams,
  type GrantEvent,
  type GrantInput,
  type GrantParams,
  type GrantRow,
  type RevokeParams,
  type StagedOutcome,
  type ToldParams,
} from "./messages/grant-events.ts";
import type { GrantEnd, GrantState, UndoState } from "./messages/grant.ts";

export type GrantContext = GrantInput & {
  readonly attachedAtMs: number | null;
  readonly expiresAtMs: number | null;
  readonly endedAtMs: number | null;
  /** Why it ends; the first reason counts. */
  readonly end: GrantEnd | null;
  readonly isCopy: boolean;
  readonly isProtectionPartial: boolean;
  readonly processesKilled: number;
  readonly childKilled: boolean;
  readonly staged: StagedOutcome;
  readonly undo: UndoState;
  readonly discard: boolean;
  readonly revokes: number;
};

/** The warden keeps the time to live of what writes nothing of its own; the journal's timer speaks only when the warden did not. */
const EXPIRY_BACKUP_MS = 2000;
/** Then access is taken back without what was staged. */
const COLLECTS_MAX = 4;
const REVOKE_RETRY_MS_MIN = 500;
const REVOKE_RETRY_MS_MAX = 30_000;

export function grantContext(input: GrantInput): GrantContext {
  const attachedAtMs = input.born ? input.atMs : null;
  return {
    ...input,
    attachedAtMs,
    expiresAtMs: null,
    endedAtMs: null,
    end: null,
    isCopy: false,
    isProtectionPartial: false,
    processesKilled: 0,
    childKilled: false,
    staged: "none",
    undo: "none",
    discard: false,
    revokes: 0,
  };
}

function first(context: GrantContext, end: GrantEnd): GrantEnd {
  return context.end ?? end;
}

type Took = { readonly processesKilled: number; readonly childKilled: boolean };

/** The answer to a repeated revocation knows nothing of what the first one took; the warden's news does. */
function took(context: GrantContext, event: Took): Took {
  return {
    processesKilled: Math.max(context.processesKilled, event.processesKilled),
    childKilled: context.childKilled || event.childKilled,
  };
}

/** How an event changes the context, whatever the state. */
export function reduceGrant(context: GrantContext, event: GrantEvent): Partial<GrantContext> {
  switch (event.type) {
    case "attached": {
      const { isCopy, isProtectionPartial, undo } = event;
      const expiresAtMs = context.ttlMs === 0 ? null : event.at + context.ttlMs;
      return { attachedAtMs: event.at, expiresAtMs, isCopy, isProtectionPartial, undo };
    }
    case "refused":
      return { end: first(context, "failed") };
    case "revoke":
      return { end: first(context, "revoked"), discard: event.discard };
    case "cancel":
      return { end: first(context, "cancelled") };
    case "revoked":
      return { ...took(context, event), staged: event.staged };
    case "wardenEnded":
      return { ...took(context, event), end: first(context, "expired"), staged: context.mode === "staged" ? "lost" : "none" };
    case "childEnded":
      return { end: first(context, "child-ended"), staged: event.staged };
    case "timer":
      return event.name === "expiry" ? { end: first(context, "expired") } : {};
    case "effectFailed":
      return event.name === grantEffects.attach ? { end: first(context, "failed") } : {};
  }
}

function params(context: GrantContext): GrantParams {
  const { grant, wireId, run, index, attempt, child, mode } = context;
  return { grant, wireId, run, index, attempt, child, mode };
}

export function attachEffect(context: GrantContext): EffectParams {
  return {
    name: grantEffects.attach,
    key: `${context.grant}/attach`,
    params: { ...params(context), ttlMs: context.ttlMs } satisfies AttachParams,
  };
}

function stagedPlan(context: GrantContext): RevokeParams["staged"] {
  if (context.mode !== "staged" || context.attachedAtMs === null) return "none";
  if (context.discard) return "discard";
  return context.revokes > COLLECTS_MAX ? "give-up" : "collect";
}

export function revokeEffect(context: GrantContext): EffectParams {
  return {
    name: grantEffects.revoke,
    key: `${context.grant}/revoke/${context.revokes}`,
    params: { ...params(context), staged: stagedPlan(context) } satisfies RevokeParams,
  };
}

export function toldEffect(context: GrantContext, state: GrantState): EffectParams {
  return {
    name: grantEffects.told,
    key: `${context.grant}/told/${state}`,
    params: { row: grantRow(context, state) } satisfies ToldParams,
  };
}

/** A staged grant is collected by us at its expiry; the warden's own limit comes later. */
export function expiryTimer(context: GrantContext): StartTimerParams {
  const atMs = context.expiresAtMs ?? Number.MAX_SAFE_INTEGER;
  return { name: "expiry", atMs: context.mode === "staged" ? atMs : atMs + EXPIRY_BACKUP_MS };
}

export function revokeTimer(context: GrantContext, atMs: number): StartTimerParams {
  return { name: "revoke", atMs: atMs + Math.min(REVOKE_RETRY_MS_MAX, REVOKE_RETRY_MS_MIN * 2 ** Math.min(context.revokes, 10)) };
}

export function grantRow(context: GrantContext, state: GrantState): GrantRow {
  const { grant, wireId, run, index, attempt, child, mode, by, approval, atMs, attachedAtMs, expiresAtMs, endedAtMs, end } = context;
  const { usesLeft, isCopy, isProtectionPartial, processesKilled, childKilled, staged, undo } = context;
  return {
    grant,
    wireId,
    run,
    index,
    attempt,
    child,
    mode,
    state,
    by,
    approval,
    createdAtMs: atMs,
    attachedAtMs,
    expiresAtMs,
    endedAtMs,
    end,
    // What was taken back is not given again.
    usesLeft: end === null || end === "child-ended" ? usesLeft : 0,
    isCopy,
    isProtectionPartial,
    processesKilled,
    childKilled,
    staged,
    undo,
  };
}

export function livingRow(context: GrantContext, state: GrantState): ProjectParams {
  return { collection: "grants", key: context.grant, value: grantRow(context, state) };
}

export function noLivingRow(context: GrantContext): ProjectParams {
  return { collection: "grants", key: context.grant, value: null };
}

export function endedGrantRow(context: GrantContext): ProjectParams {
  return { collection: "grantsEnded", key: context.grant, value: grantRow(context, "ended") };
}

/** Finds the grants of one run in their order. */
export function ofRunRow(context: GrantContext): ProjectParams {
  const order = String(context.atMs).padStart(15, "0");
  return { collection: "grantsOfRun", key: `${context.run}/${order}/${context.grant}`, value: { grant: context.grant } };
}

function runLog(context: GrantContext, value: RunLogRow): AppendParams {
  return { log: `run:${context.run}`, value };
}

export function attachedRow(context: GrantContext, atMs: number): AppendParams {
  const { grant, index, attempt, child, mode, expiresAtMs, isCopy } = context;
  return runLog(context, { type: "grant-attached", grant, index, attempt, child, mode, expiresAtMs, isCopy, atMs });
}

export function endedRow(context: GrantContext): AppendParams {
  const { grant, index, child, mode, processesKilled, childKilled } = context;
  const end = context.end ?? "failed";
  const atMs = context.endedAtMs ?? 0;
  return runLog(context, { type: "grant-ended", grant, index, child, mode, end, processesKilled, childKilled, atMs });
}
