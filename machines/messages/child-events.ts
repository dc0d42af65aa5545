/** Everything that a child hears, and the parameters of the effects it asks for. The host adds `at`, milliseconds since the epoch. */
import type { ExitFacts, RecordRef, RetryPolicy, StuckFacts } from "./facts.ts";
import type { TaskStatus } from "./result.ts";

export type ChildInput = {
  readonly run: string;
  readonly index: number;
  /** Names the sessions of this task. */
  readonly counter: number;
  readonly atMs: number;
};

type Heard<T> = T & { readonly at: number };

export type ChildEvent = Heard<
  /** The process runs; the truth check has passed. */
  | { readonly type: "started"; readonly policy: RetryPolicy }
  /** Nothing of the task was executed. */
  | { readonly type: "startFailed"; readonly status: "refused" | "not-started" | "cancelled"; readonly policy: RetryPolicy }
  | { readonly type: "exited"; readonly exit: ExitFacts }
  /** There will be no evidence: the warden died (unknown) or the lease ended it (lost). */
  | { readonly type: "lost"; readonly status: "unknown" | "lost" }
  | { readonly type: "outputLimit" }
  | { readonly type: "progress" }
  /** Of an attempt that runs: no sign of life for as long as its task allows. `ends`: its task says that it is to be ended for that. */
  | {
      readonly type: "stuck";
      readonly attempt: number;
      readonly clock: StuckFacts["clock"];
      readonly sinceMs: number;
      readonly ends: boolean;
    }
  | { readonly type: "unstuck"; readonly attempt: number }
  | { readonly type: "settled"; readonly record: RecordRef; readonly gone: boolean }
  | { readonly type: "destroyed" }
  /** It waits for a person's answer: its working time stands still until the last of its asks is closed. */
  | { readonly type: "askOpened"; readonly approval: string; readonly attempt: number }
  | { readonly type: "askClosed"; readonly approval: string; readonly attempt: number }
  | { readonly type: "timer"; readonly name: string }
  | { readonly type: "cancel"; readonly mode: "grace" | "kill"; readonly reason: string }
  | { readonly type: "effectFailed"; readonly name: string; readonly key: string }
>;

/** Of every effect of a child. */
export type AttemptParams = {
  readonly run: string;
  readonly index: number;
  readonly attempt: number;
  /** Session name. */
  readonly name: string;
};
export type SignalParams = AttemptParams & { readonly signal: number };
/** beforeStart: the start may be queued or under way, and is to be given up. */
export type KillParams = AttemptParams & { readonly beforeStart: boolean };
/** `order` grows: of two that are on their way the later one counts. */
export type DeadlineParams = AttemptParams & { readonly endsAtMs: number; readonly order: number };
export type SettleParams = AttemptParams & {
  readonly status: TaskStatus;
  readonly exit: ExitFacts | null;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
};

export const childEffects = {
  /** Completes with started or startFailed. */
  start: "sandbox.start",
  signal: "sandbox.signal",
  kill: "sandbox.kill",
  /** Moves the warden's own deadline of the sandbox. */
  deadline: "sandbox.deadline",
  /** Completes with settled. */
  settle: "sandbox.settle",
  /** Completes with destroyed. */
  destroy: "sandbox.destroy",
} as const;
