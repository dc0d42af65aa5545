/** Everything that an approval hears, its effects and its rows. No path and no words: those lie in the content of its run. */
import type { ApprovalState } from "./approval.ts";
import type { GrantMode } from "./grant.ts";

export type Decision = {
  readonly decision: "approve" | "deny";
  readonly mode: GrantMode;
  readonly ttlMs: number;
  /** Attempts of the task that may have it. */
  readonly uses: number;
};

export type ApprovalInput = {
  readonly approval: string;
  readonly run: string;
  readonly index: number;
  readonly attempt: number;
  readonly child: string;
  readonly mode: GrantMode;
  /** Reserved for the grant that an approval makes. */
  readonly grantNumber: number;
  /** Given with the run. */
  readonly preAnswer: Decision | null;
  readonly atMs: number;
};

type Heard<T> = T & { readonly at: number };

export type ApprovalEvent = Heard<
  | ({ readonly type: "answer" } & Decision)
  /** Asked again while it was pending. */
  | { readonly type: "repeated" }
  | { readonly type: "childEnded" }
  | { readonly type: "timer"; readonly name: string }
  | { readonly type: "cancel"; readonly mode: "grace" | "kill"; readonly reason: string }
>;

export const approvalEffects = {
  /** Whoever waits for this state hears of it, after the commit. */
  told: "approval.told",
} as const;
export type ApprovalToldParams = { readonly row: ApprovalRow };

/** Row of the collection `approvals` while it is pending, and of `approvalsAnswered` afterwards; both keyed by approval. */
export type ApprovalRow = {
  readonly approval: string;
  readonly state: ApprovalState;
  readonly run: string;
  readonly index: number;
  readonly attempt: number;
  readonly child: string;
  readonly mode: GrantMode;
  readonly asks: number;
  readonly askedAtMs: number;
  readonly expiresAtMs: number;
  readonly answer: {
    readonly by: "person" | "pre-answer" | "expiry" | "system";
    readonly mode: GrantMode;
    readonly ttlMs: number;
    readonly uses: number;
    readonly atMs: number;
    readonly grant: string | null;
  } | null;
};
