/** The requests that cohortd answers on its socket. Each has a zod schema for what comes in; answers are typed. */
import { z } from "zod";
import type { HistoryPage } from "../../runtime/kernel/history.ts";
import { approvalAnswerSchema, type ApprovalSummary } from "./approval.ts";
import { CHILD_EXPECTED, grantCreateSchema, grantIdSchema, type GrantApplied, type GrantDiff, type GrantSummary } from "./grant.ts";
import { backupSchema, journalQuestionSchema, type JournalState, type RunDeleted, type VerifyItem } from "./journal.ts";
import { runSpecSchema } from "./task.ts";
import type { ChildSummary, RunEvent, RunSummary, TaskResult } from "./result.ts";

/** Grows when a client and a cohortd of different builds could misunderstand each other. */
export const API_VERSION = 3;

export const originSchema = z.strictObject({
  surface: z.enum(["cli", "sdk", "daemon", "test"]),
  device: z.string().max(200),
  pid: z.number().int().optional(),
});

/** A poller that waits longer had better watch. */
export const POLL_WAIT_MS_MAX = 60_000;

/** Of one run for ever: asked for again with it, the same is answered, and nothing is started. */
const runKey = z.string().min(1).max(200);
const run = z.string().regex(/^[a-z0-9]{4,32}$/, "expected the id of a run: 4 to 32 small letters and digits");
const index = z.number().int().min(0);
const child = z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, CHILD_EXPECTED);
const cursor = z.number().int().min(0);

/** First request of each connection; nothing else is answered before it. The token stands in the state directory, 0600. */
export const helloSchema = z.strictObject({ version: z.number().int(), token: z.string(), origin: originSchema });

/** Calls: one request, one answer. */
export const calls = {
  hello: helloSchema,
  "run.start": z.strictObject({ spec: runSpecSchema, key: runKey.optional() }),
  "run.get": z.strictObject({ run }),
  "run.list": z.strictObject({ limit: z.number().int().min(1).max(1000).default(100) }),
  "run.results": z.strictObject({ run, after: cursor.default(0), limit: z.number().int().min(1).max(1000).default(1000) }),
  /** What the journal has of the run's actors, a page at a time: `after` is the `next` of the page before; `limit` counts actors and events. */
  "run.history": z.strictObject({
    run,
    after: z.strictObject({ actor: z.string().max(500), seq: cursor.nullable() }).optional(),
    // A page of 250 keeps the journal from its commits for some 3 ms.
    limit: z.number().int().min(1).max(1000).default(250),
  }),
  /** The same rows as run.watch, for who asks now and then: at once when there are any, else after waitMs at most. */
  "run.poll": z.strictObject({
    run,
    after: cursor.default(0),
    limit: z.number().int().min(1).max(1000).default(100),
    waitMs: z.number().int().min(0).max(POLL_WAIT_MS_MAX).default(0),
  }),
  "run.cancel": z.strictObject({ run, mode: z.enum(["grace", "kill"]), reason: z.string().max(500).default("") }),
  /** For good: what it was asked, wrote and left. `discard`: staged changes that nobody applied, too. */
  "run.delete": z.strictObject({ run, discard: z.boolean().default(false) }),
  /** Cheap: whether the journal's disk is full, and how large it is. */
  "journal.state": z.strictObject({}),
  "journal.ask": journalQuestionSchema,
  /** A copy of the journal as one new file. */
  "journal.backup": backupSchema,
  /** Starts a new run of those tasks that did not succeed. */
  "run.resume": z.strictObject({ run, key: runKey.optional() }),
  "child.list": z.strictObject({}),
  "child.resize": z.strictObject({
    child,
    execId: z.number().int(),
    rows: z.number().int().min(1).max(10_000),
    columns: z.number().int().min(1).max(10_000),
  }),
  "child.freeze": z.strictObject({ child }),
  "child.thaw": z.strictObject({ child }),
  /** Answered when the directory stands in the sandbox. */
  "grant.create": grantCreateSchema,
  /** Living ones; with `ended`, also those that have ended, latest first. */
  "grant.list": z.strictObject({
    run: run.optional(),
    child: child.optional(),
    ended: z.boolean().default(false),
    limit: z.number().int().min(1).max(1000).default(1000),
  }),
  /** Answered with the proof. What a staged grant holds is kept, unless it is discarded. */
  "grant.revoke": z.strictObject({ grant: grantIdSchema, discard: z.boolean().default(false) }),
  "grant.diff": z.strictObject({ grant: grantIdSchema, patch: z.boolean().default(false) }),
  /** `accept`: protected names that are applied, too. `only`: these paths and what lies below them. */
  "grant.apply": z.strictObject({
    grant: grantIdSchema,
    accept: z.array(z.string().max(255)).max(100).default([]),
    only: z.array(z.string().max(4095)).max(1000).optional(),
    /** Nothing is written: the answer is what would become of it. */
    check: z.boolean().default(false),
  }),
  "grant.discard": z.strictObject({ grant: grantIdSchema }),
  /** Brings back what stood in a directory before it was given for writing, once the grant has ended; what was added stays. */
  "grant.undo": z.strictObject({ grant: grantIdSchema }),
  /** Unanswered ones, oldest first; with `answered`, also the others, latest first. */
  "approval.list": z.strictObject({
    run: run.optional(),
    answered: z.boolean().default(false),
    limit: z.number().int().min(1).max(1000).default(1000),
  }),
  /** Answered after it is written down. The same answer again is no error; another one is APPROVAL_ANSWERED. */
  "approval.answer": approvalAnswerSchema,
  doctor: z.strictObject({ child: child.optional() }),
  "daemon.stop": z.strictObject({}),
} as const;

/** Streams: one request, many items from the server, with credit; some also take items from the client. */
export const streams = {
  /** Items: ApprovalItem. Every unanswered approval, then each that is asked or decided, until the client leaves. */
  "approval.watch": z.strictObject({ run: run.optional() }),
  /** Items: VerifyItem, the last one with `done`. */
  "journal.verify": z.strictObject({}),
  /** Items: RunEventItem. Ends after run-finished. */
  "run.watch": z.strictObject({ run, after: cursor.default(0) }),
  /** Items: OutputItem. With follow it ends when the attempt ends. */
  "task.logs": z.strictObject({
    run,
    index,
    attempt: z.number().int().min(1).optional(),
    follow: z.boolean().default(false),
    stdoutOffset: cursor.default(0),
    stderrOffset: cursor.default(0),
  }),
  /** Items: ContentItem. Part of what a result previews, by its handle (machines/content-handle.ts); ends where the part does. */
  "content.read": z.strictObject({ handle: z.string().max(8192), offset: cursor.default(0), bytes: z.number().int().min(1).optional() }),
  /** A shell (or another command) beside the task, in its sandbox. Items: first {execId}, then OutputItem, last {exit}. The client's items are stdin bytes; its end is end of file. */
  "child.exec": z.strictObject({
    child,
    command: z.array(z.string()).min(1),
    pty: z.strictObject({ rows: z.number().int(), columns: z.number().int() }).nullable(),
  }),
} as const;

export interface RunStarted {
  readonly run: string;
  /** False when the key named an earlier run. */ readonly created: boolean;
}
export interface RunEventItem {
  readonly cursor: number;
  readonly event: RunEvent;
}
export interface OutputItem {
  readonly stream: "stdout" | "stderr";
  readonly offset: number;
  readonly bytes: Uint8Array;
}
export interface ContentItem {
  readonly offset: number;
  readonly bytes: Uint8Array;
}
export interface RunPage {
  readonly events: readonly RunEventItem[];
  /** Cursor to go on from. */
  readonly next: number;
  /** Nothing will ever come behind `next`. */
  readonly finished: boolean;
}
export interface ExecItem {
  readonly execId?: number;
  readonly output?: OutputItem;
  readonly exit?: { readonly code: number; readonly signal: number };
}

export interface ApprovalItem {
  readonly approval: ApprovalSummary;
}

export interface DoctorRow {
  readonly area: string;
  readonly check: string;
  readonly status: "ok" | "degraded" | "missing";
  readonly detail: string;
  /** What is used because the machine does not offer the better thing, and what that costs. */
  readonly instead?: string;
  readonly cost?: string;
  /** Of a child's layer: whether each side sees it active. Some show on one side only. */
  readonly seen?: { readonly inside: boolean; readonly outside: boolean };
}
export interface DoctorReport {
  readonly rows: readonly DoctorRow[];
  readonly wardenSha256: string;
  readonly eventLoopDelayP99Ms: number;
}

export interface CallAnswers {
  hello: { readonly version: number; readonly pid: number; readonly instance: string };
  "run.start": RunStarted;
  "run.get": RunSummary;
  "run.list": { readonly runs: readonly RunSummary[] };
  "run.results": { readonly results: readonly { readonly cursor: number; readonly result: TaskResult }[]; readonly next: number | null };
  "run.history": HistoryPage;
  "run.poll": RunPage;
  "run.cancel": Record<string, never>;
  "run.delete": RunDeleted;
  "journal.state": JournalState;
  /** As the question says: see JournalQuestions. */
  "journal.ask": unknown;
  "journal.backup": { readonly bytes: number };
  "run.resume": RunStarted;
  "child.list": { readonly children: readonly ChildSummary[] };
  "child.resize": Record<string, never>;
  "child.freeze": Record<string, never>;
  "child.thaw": Record<string, never>;
  "grant.create": GrantSummary;
  "grant.list": { readonly grants: readonly GrantSummary[] };
  "grant.revoke": GrantSummary;
  "grant.diff": GrantDiff;
  "grant.apply": GrantApplied;
  "grant.discard": GrantSummary;
  "grant.undo": GrantApplied;
  "approval.list": { readonly approvals: readonly ApprovalSummary[] };
  "approval.answer": ApprovalSummary;
  doctor: DoctorReport;
  "daemon.stop": Record<string, never>;
}

export interface StreamItems {
  "approval.watch": ApprovalItem;
  "journal.verify": VerifyItem;
  "run.watch": RunEventItem;
  "task.logs": OutputItem;
  "content.read": ContentItem;
  "child.exec": ExecItem;
}

export type CallName = keyof typeof calls;
export type StreamName = keyof typeof streams;
export type CallInput<N extends CallName> = z.input<(typeof calls)[N]>;
export type StreamInput<N extends StreamName> = z.input<(typeof streams)[N]>;
