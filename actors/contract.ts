/** What the daemon sees of the actor system: one object, opened by actors/system.ts, the one file that wires everything. */
import type { Origin } from "../runtime/contract.ts";
import type { HistoryCursor, HistoryPage } from "../runtime/kernel/history.ts";
import type { JournalQuestion, JournalQuestions } from "../runtime/kernel/inspection.ts";
import type { JournalState, RunDeleted, VerifyItem } from "../machines/messages/journal.ts";
import type { Vm, VmEvents } from "../vm/backend.ts";
import type { RunSpec } from "../machines/messages/task.ts";
import type {
  ApprovalItem,
  ContentItem,
  DoctorReport,
  ExecItem,
  OutputItem,
  RunEventItem,
  RunPage,
  RunStarted,
} from "../machines/messages/api.ts";
import type { ApprovalAnswer, ApprovalSummary } from "../machines/messages/approval.ts";
import type { GrantApplied, GrantCreate, GrantDiff, GrantSummary } from "../machines/messages/grant.ts";
import type { ApplyOptions } from "./staged-diffs.ts";
import type { ContentRequest } from "./content-reader.ts";
import type { ChildSummary, RunSummary, TaskResult } from "../machines/messages/result.ts";

/** What ended longer ago goes, content and all. 0: never. */
export interface RetentionOptions {
  readonly maxAgeMs: number;
  /** Of the journal's file; the oldest runs go first. */
  readonly maxBytes: number;
}

export interface SystemOptions {
  /** 0700; holds journal/, content/. */
  readonly stateDirectory: string;
  /** Called at start and, with backoff, whenever the connection was lost. Rejects with WARDEN_ABSENT while there is none. */
  readonly connectVm: (events: VmEvents) => Promise<Vm>;
  /** Of the machine; the default of `jobs` is twice this. */
  readonly cores: number;
  /** Default: never. */
  readonly retention?: RetentionOptions;
}

export interface LogsRequest {
  readonly run: string;
  readonly index: number;
  readonly attempt?: number | undefined;
  readonly follow: boolean;
  readonly stdoutOffset: number;
  readonly stderrOffset: number;
}

export interface ExecRequest {
  readonly child: string;
  readonly command: readonly string[];
  readonly pty: { readonly rows: number; readonly columns: number } | null;
  readonly stdin: AsyncIterable<Uint8Array>;
}

export interface GrantList {
  readonly run?: string | undefined;
  readonly child?: string | undefined;
  readonly ended: boolean;
  readonly limit: number;
}

/** What a person does with directories of living children, and with what staged ones leave. */
export interface Grants {
  /** Resolves when it is attached. */
  create(request: GrantCreate, origin: Origin): Promise<GrantSummary>;
  list(request: GrantList): Promise<readonly GrantSummary[]>;
  /** Resolves with the proof. */
  revoke(grant: string, discard: boolean, origin: Origin): Promise<GrantSummary>;
  diff(grant: string, patch: boolean): Promise<GrantDiff>;
  apply(grant: string, options: ApplyOptions, origin: Origin): Promise<GrantApplied>;
  discard(grant: string, origin: Origin): Promise<GrantSummary>;
  /** Of a directory that was given for writing: what was overwritten or deleted comes back. */
  undo(grant: string): Promise<GrantApplied>;
}

export interface ApprovalList {
  readonly run?: string | undefined;
  readonly answered: boolean;
  readonly limit: number;
}

export interface Approvals {
  list(request: ApprovalList): Promise<readonly ApprovalSummary[]>;
  /** Resolves after the commit. */
  answer(answer: ApprovalAnswer, origin: Origin): Promise<ApprovalSummary>;
  watch(run: string | undefined, signal: AbortSignal): AsyncIterable<ApprovalItem>;
}

/** What a person asks of the journal itself. */
export interface JournalDoor {
  state(): Promise<JournalState>;
  ask<Q extends JournalQuestion>(question: Q, ask: JournalQuestions[Q]["ask"]): Promise<JournalQuestions[Q]["answer"]>;
  backup(path: string): Promise<{ readonly bytes: number }>;
  /** Events along their chain, then results and transcripts by their hashes. */
  verify(signal: AbortSignal): AsyncIterable<VerifyItem>;
}

export interface System {
  readonly grants: Grants;
  readonly approvals: Approvals;
  freezeChild(child: string): Promise<void>;
  thawChild(child: string): Promise<void>;
  startRun(spec: RunSpec, key: string | undefined, origin: Origin): Promise<RunStarted>;
  resumeRun(run: string, key: string | undefined, origin: Origin): Promise<RunStarted>;
  cancelRun(run: string, mode: "grace" | "kill", reason: string, origin: Origin): Promise<void>;
  /** For good. Rejects with RUN_LIVES, or REQUEST_INVALID where staged changes would be lost and `discard` is not said. */
  deleteRun(run: string, discard: boolean, origin: Origin): Promise<RunDeleted>;
  readonly journal: JournalDoor;
  run(run: string): Promise<RunSummary>;
  runs(limit: number): Promise<readonly RunSummary[]>;
  results(
    run: string,
    after: number,
    limit: number,
  ): Promise<{ readonly results: readonly { readonly cursor: number; readonly result: TaskResult }[]; readonly next: number | null }>;
  /** The past of the run's actors, for replay. */
  history(run: string, after: HistoryCursor | null, limit: number): Promise<HistoryPage>;
  poll(run: string, after: number, limit: number, waitMs: number, signal: AbortSignal): Promise<RunPage>;
  /** Ends where the part does. */
  read(request: ContentRequest, signal: AbortSignal): AsyncIterable<ContentItem>;
  /** Ends after run-finished. */
  watch(run: string, after: number, signal: AbortSignal): AsyncIterable<RunEventItem>;
  children(): Promise<readonly ChildSummary[]>;
  logs(request: LogsRequest, signal: AbortSignal): AsyncIterable<OutputItem>;
  exec(request: ExecRequest, signal: AbortSignal): AsyncIterable<ExecItem>;
  resizeExec(child: string, execId: number, rows: number, columns: number): Promise<void>;
  doctor(child: string | undefined): Promise<DoctorReport>;
  /** True while there is a connection to the warden. */
  connected(): boolean;
  /** True while a run lives: the daemon does not exit when idle then. */
  busy(): boolean;
  /** Children go on; the next system re-attaches. */
  stop(): Promise<void>;
}

export type OpenSystem = (options: SystemOptions) => Promise<System>;
