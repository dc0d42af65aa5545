/** Everything that a grant hears, the parameters of its effects, and its rows. No path, name or reason: those lie in the content of its run. */
import type { GrantEnd, GrantMode, GrantState, UndoState } from "./grant.ts";

export type GrantInput = {
  readonly grant: string;
  /** The warden's number of it, unique in its sandbox. */
  readonly wireId: number;
  readonly run: string;
  readonly index: number;
  readonly attempt: number;
  readonly child: string;
  readonly mode: GrantMode;
  /** 0: with the child. */
  readonly ttlMs: number;
  /** Further attempts that may have it, after this one. */
  readonly usesLeft: number;
  readonly by: "person" | "approval" | "pre-answer" | "task";
  readonly approval: string | null;
  /** A mount of the task: it stands since the creation of the sandbox. */
  readonly born: boolean;
  readonly atMs: number;
};

type Heard<T> = T & { readonly at: number };

/** kept: what was collected lies on the disk. lost: the sandbox was gone before. */
export type StagedOutcome = "none" | "kept" | "lost" | "discarded";

export type GrantEvent = Heard<
  | { readonly type: "attached"; readonly isCopy: boolean; readonly isProtectionPartial: boolean; readonly undo: UndoState }
  /** The warden, or a rule of ours, refused: nothing was attached. Why lies in the grant's content. */
  | { readonly type: "refused" }
  | { readonly type: "revoke"; readonly discard: boolean }
  | { readonly type: "revoked"; readonly processesKilled: number; readonly childKilled: boolean; readonly staged: StagedOutcome }
  /** The warden's own news: it keeps the time to live itself. */
  | { readonly type: "wardenEnded"; readonly processesKilled: number; readonly childKilled: boolean }
  | { readonly type: "childEnded"; readonly staged: StagedOutcome }
  | { readonly type: "timer"; readonly name: string }
  | { readonly type: "cancel"; readonly mode: "grace" | "kill"; readonly reason: string }
  | { readonly type: "effectFailed"; readonly name: string; readonly key: string }
>;

/** Of every effect of a grant. */
export type GrantParams = {
  readonly grant: string;
  readonly wireId: number;
  readonly run: string;
  readonly index: number;
  readonly attempt: number;
  readonly child: string;
  readonly mode: GrantMode;
};
export type AttachParams = GrantParams & { readonly ttlMs: number };
/** collect: what was staged is made durable before. give-up: that failed too often, and taking back does not wait any longer. */
export type RevokeParams = GrantParams & { readonly staged: "none" | "collect" | "give-up" | "discard" };
export type ToldParams = { readonly row: GrantRow };

export const grantEffects = {
  /** Completes with attached or refused. Undone by a revocation. */
  attach: "grant.attach",
  /** Completes with revoked. */
  revoke: "grant.revoke",
  /** Whoever waits for this state hears of it, after the commit. */
  told: "grant.told",
} as const;

/** Row of the collection `grants` while it lives, and of `grantsEnded` afterwards; both keyed by grant. */
export type GrantRow = {
  readonly grant: string;
  readonly wireId: number;
  readonly run: string;
  readonly index: number;
  readonly attempt: number;
  readonly child: string;
  readonly mode: GrantMode;
  readonly state: GrantState;
  readonly by: GrantInput["by"];
  readonly approval: string | null;
  readonly createdAtMs: number;
  readonly attachedAtMs: number | null;
  readonly expiresAtMs: number | null;
  readonly endedAtMs: number | null;
  readonly end: GrantEnd | null;
  readonly usesLeft: number;
  readonly isCopy: boolean;
  readonly isProtectionPartial: boolean;
  readonly processesKilled: number;
  readonly childKilled: boolean;
  readonly staged: StagedOutcome;
  readonly undo: UndoState;
};
