/** Everything that a run and its relay hear. The host adds `at`, milliseconds since the epoch. */
import type { Halt } from "./task.ts";
import type { RecordRef, ResultFacts } from "./facts.ts";
import type { TaskStatus } from "./result.ts";

export type RunInput = {
  readonly run: string;
  readonly total: number;
  readonly jobs: number;
  readonly halt: Halt;
  readonly createdAtMs: number;
  readonly deadlineAtMs: number | null;
  /** First of `total` reserved numbers: task i is named by counterBase + i. */
  readonly counterBase: number;
};

type Heard<T> = T & { readonly at: number };

export type RunEvent = Heard<
  | { readonly type: "fill" }
  /** From the relay, after the result stands in the log. `gone`: nothing of the child is left. */
  | { readonly type: "childSettled"; readonly index: number; readonly status: TaskStatus; readonly gone: boolean }
  /** From the relay, too: of a child whose result came before the proof that it is gone. */
  | { readonly type: "childGone"; readonly index: number }
  | { readonly type: "cancel"; readonly mode: "grace" | "kill"; readonly reason: string }
  | { readonly type: "timer"; readonly name: string }
  /** From the runtime: an actor of this run broke. */
  | { readonly type: "actorFailed"; readonly ref: string }
  | { readonly type: "effectFailed"; readonly name: string; readonly key: string }
>;

export type RelayInput = { readonly run: string };

export type RelayEvent = Heard<
  | { readonly type: "result"; readonly facts: ResultFacts; readonly gone: boolean }
  | { readonly type: "childGone"; readonly index: number }
  /** Refusals of one kind, coalesced: it comes a few times a second at most. */
  | {
      readonly type: "denied";
      readonly index: number;
      readonly attempt: number;
      readonly child: string;
      readonly times: number;
      readonly words: RecordRef;
    }
  | { readonly type: "close" }
>;

export const runEffects = {
  /** Cancels the run's own scope; the run hears it like all the others. */
  cancelScope: "run.cancelScope",
  /** Nothing of the run is left: its files may be closed. */
  ended: "run.ended",
} as const;

export type CancelScopeParams = { readonly run: string; readonly mode: "grace" | "kill"; readonly reason: string };

export type EndedParams = { readonly run: string };
