/**
 * Cohort's public door: run many commands in parallel, each confined to a Linux user, mounts, process tree and network of its own.
 *
 * ```ts
 * import { connect } from "cohort";
 *
 * await using cohort = await connect();
 * const run = await cohort.map(["wc", "-l", "{}"], ["a.txt", "b.txt"], { mounts: [{ path: "/srv/texts" }], cwd: "mnt/texts" });
 * for await (const result of run.results()) console.log(result.title, result.status, result.stdout.preview);
 * ```
 *
 * Sizes are bytes, times milliseconds. Every error is a CohortError with a `code` (docs/errors.md), a message that says what failed on what, and a
 * `hint` that says what to do. Runs belong to cohortd, not to the process that started them.
 */
export { connect, Cohort, type ConnectOptions, type RunOptions } from "./cohort.ts";
export { Run, type ResultsPage } from "./run.ts";
export { Scope, type ScopeOptions, type Work, type WorkOptions } from "./scope.ts";
export type { Outcome } from "./scope-map.ts";
export type { RetryOptions } from "./scope-retry.ts";
export type { ScopedTask } from "./scope-task.ts";
export { TaskFailed } from "./task-failed.ts";
export { Journal, StoppedJournal, type JournalReader } from "./journal.ts";
export { Grants, type GrantOptions } from "./grants.ts";
export { Approvals, type ApproveOptions } from "./approvals.ts";
export { ExecSession, type ExecExitStatus } from "./exec-session.ts";
export { wardenDown, wardenUp, type WardenOptions } from "./warden.ts";
export { fillTemplate, namesItem } from "./template.ts";
export type { ChangedMachine } from "./replay.ts";
export type { ActorReplayed, Divergence, Verdict } from "../runtime/replay/actor-replay.ts";
export type { Departure, Side } from "../runtime/replay/what-if.ts";
export type { Change } from "../runtime/replay/snapshot-diff.ts";
export type { MapOptions } from "./map-spec.ts";
export type { Origin } from "./link.ts";
export { CohortError, isCohortError, type ErrorDetails } from "../runtime/kernel/error.ts";
export type { ContentCheck, ContentProblem, JournalState, RunDeleted, VerifyItem } from "../machines/messages/journal.ts";
export type {
  ChainProblem,
  ChainWalk,
  EventPage,
  EventQuery,
  InspectedActor,
  InspectedEffect,
  InspectedEvent,
  JournalSummary,
  TableSize,
} from "../runtime/kernel/inspection.ts";
export type { ErrorCode } from "../runtime/kernel/error-table.ts";
export type { DoctorReport, DoctorRow, OutputItem, ContentItem, RunEventItem, RunPage } from "../machines/messages/api.ts";
export type {
  ChildSummary,
  Condition,
  ProgressReport,
  RunCounts,
  RunEvent,
  RunSummary,
  TaskResult,
  TaskStatus,
} from "../machines/messages/result.ts";
export type { ApprovalState, ApprovalSummary, PreAnswer, Risk } from "../machines/messages/approval.ts";
export type {
  AppliedEntry,
  DiffEntry,
  GrantApplied,
  GrantDiff,
  GrantEnd,
  GrantMode,
  GrantState,
  GrantSummary,
  StagedState,
  UndoState,
} from "../machines/messages/grant.ts";
export type { Limits, Mount, RunSpec, RunSpecInput, Task, TaskInput } from "../machines/messages/task.ts";
