/** What actors tell each other and what the journal keeps of a task: ids, counts, sizes and times; never a title, path, command or output. */
import type { ApprovalState } from "./approval.ts";
import type { GrantEnd, GrantMode } from "./grant.ts";
import type { LimitHit, TaskStatus } from "./result.ts";

/** The warden's evidence that a process ended. */
export type ExitFacts = {
  readonly cause: "exited" | "signaled" | "not-started" | "sandbox-died" | "layer-missing";
  readonly code: number;
  readonly signal: number;
  readonly oomKilled: boolean;
  readonly deadlineHit: boolean;
  readonly leaseExpired: boolean;
  readonly outIsEmpty: boolean;
  /** Absent in exits of earlier versions. */
  readonly limitsHit?: readonly LimitHit[];
  readonly wallUs: number;
  readonly cpuUs: number;
  readonly maxRssKib: number;
  readonly stdoutBytes: number;
  readonly stderrBytes: number;
};

/** Where a result's content lies: bytes `offset` … `offset + bytes` of the run's results.jsonl. */
export type RecordRef = {
  readonly offset: number;
  readonly bytes: number;
  /** Of these bytes; absent in earlier versions. */ readonly sha256?: string;
};

/** One settled attempt, as the relay and the run's log carry it. `record` is null when the content could not be written down. */
export type ResultFacts = {
  readonly index: number;
  readonly attempt: number;
  readonly child: string;
  readonly status: TaskStatus;
  readonly exitCode: number | null;
  readonly signal: number | null;
  readonly startedAtMs: number;
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly maxRssBytes: number;
  readonly stdoutBytes: number;
  readonly stderrBytes: number;
  readonly record: RecordRef | null;
};

/** What a task says about further attempts; the child learns it from its first start, so that runs hold nothing per task. */
export type RetryPolicy = {
  readonly retries: number;
  readonly idempotent: boolean;
  /** 0 for none. */
  readonly timeoutMs: number;
};

/** Rows of the log `run:<run>` as they are stored; a reader joins those of tasks, approvals and grants with their content. */
export type RunLogRow =
  | { readonly type: "run-started"; readonly run: string; readonly atMs: number; readonly total: number; readonly jobs: number }
  | { readonly type: "task-started"; readonly index: number; readonly attempt: number; readonly child: string; readonly atMs: number }
  | { readonly type: "task-retried"; readonly atMs: number; readonly facts: ResultFacts }
  | { readonly type: "task-finished"; readonly atMs: number; readonly facts: ResultFacts }
  | {
      readonly type: "approval-requested";
      readonly approval: string;
      readonly index: number;
      readonly attempt: number;
      readonly child: string;
      readonly mode: GrantMode;
      readonly expiresAtMs: number;
      readonly atMs: number;
    }
  | {
      readonly type: "approval-answered";
      readonly approval: string;
      readonly index: number;
      readonly decision: Exclude<ApprovalState, "pending">;
      readonly by: "person" | "pre-answer" | "expiry" | "system";
      readonly mode: GrantMode;
      readonly ttlMs: number;
      readonly atMs: number;
    }
  | {
      readonly type: "grant-attached";
      readonly grant: string;
      readonly index: number;
      readonly attempt: number;
      readonly child: string;
      readonly mode: GrantMode;
      readonly expiresAtMs: number | null;
      readonly isCopy: boolean;
      readonly atMs: number;
    }
  | {
      readonly type: "grant-ended";
      readonly grant: string;
      readonly index: number;
      readonly child: string;
      readonly mode: GrantMode;
      readonly end: GrantEnd;
      readonly processesKilled: number;
      readonly childKilled: boolean;
      readonly atMs: number;
    }
  | {
      readonly type: "denied";
      readonly index: number;
      readonly attempt: number;
      readonly child: string;
      readonly times: number;
      /** Where its words lie in the run's denials.jsonl. */
      readonly words: RecordRef;
      readonly atMs: number;
    }
  | {
      readonly type: "task-stuck";
      readonly index: number;
      readonly attempt: number;
      readonly child: string;
      readonly clock: StuckFacts["clock"];
      readonly sinceMs: number;
      /** It is ended for it, as its task says. */
      readonly ends: boolean;
      readonly atMs: number;
    }
  /** It gave a sign of life again. */
  | { readonly type: "task-unstuck"; readonly index: number; readonly attempt: number; readonly child: string; readonly atMs: number }
  | { readonly type: "run-cancelling"; readonly mode: "grace" | "kill"; readonly reason: string; readonly atMs: number }
  | {
      readonly type: "run-finished";
      readonly atMs: number;
      readonly summary: CountsRow;
      readonly status: "completed" | "cancelled" | "halted" | "deadline";
    };

export type CountsRow = {
  readonly total: number;
  readonly waiting: number;
  readonly running: number;
  readonly succeeded: number;
  readonly cancelled: number;
  readonly failed: number;
};

/** Row of the collection `runs`, keyed by run. */
export type RunRow = {
  readonly run: string;
  readonly status: "running" | "cancelling" | "completed" | "cancelled" | "halted" | "deadline";
  readonly createdAtMs: number;
  readonly finishedAtMs: number | null;
  readonly jobs: number;
  readonly counts: CountsRow;
};

/** Which clock ran out: nothing of it used the processor or said anything; or it computes, but said nothing. */
export type StuckFacts = { readonly clock: "heartbeat" | "progress"; readonly sinceMs: number };

/** Row of the collection `children`, keyed by session name; of a task between two attempts, that of the attempt before. */
export type ChildRow = {
  readonly run: string;
  readonly index: number;
  readonly attempt: number;
  readonly state: "starting" | "running" | "collecting" | "cancelling" | "destroying" | "waiting";
  /** Its process ran. */
  readonly begun: boolean;
  readonly startedAtMs: number;
  readonly lastSignAtMs: number;
  /** Waiting: when the next attempt begins. */
  readonly retryAtMs?: number;
  /** It waits for a person's answer, since then. */
  readonly asksSinceMs?: number;
  readonly stuck?: StuckFacts;
};
