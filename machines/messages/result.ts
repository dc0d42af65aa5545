/** What became of a task, and what a run tells its watchers. */
import { z } from "zod";
import { riskSchema } from "./approval.ts";
import { grantEndSchema, grantModeSchema } from "./grant.ts";

/**
 * succeeded exit 0 · failed exit ≠ 0 · signaled ended by a signal of its own · timed-out · stuck gave no sign of life, and its task says to
 * end it then · out-of-memory · output-limit · cancelled ·
 * not-started the command could not be executed · refused the sandbox could not be built as promised · sandbox-died its init ended ·
 * lost the lease ended while no supervisor lived · unknown the warden died: it may or may not have run to its end.
 */
export const taskStatusSchema = z.enum([
  "succeeded",
  "failed",
  "signaled",
  "timed-out",
  "stuck",
  "out-of-memory",
  "output-limit",
  "cancelled",
  "not-started",
  "refused",
  "sandbox-died",
  "lost",
  "unknown",
]);
export type TaskStatus = z.infer<typeof taskStatusSchema>;

export const streamSummarySchema = z.object({
  bytes: z.number(),
  /** The first bytes, decoded as UTF-8 with replacement, at most PREVIEW_CHARS_MAX characters. */
  preview: z.string(),
  truncated: z.boolean(),
});

export const PREVIEW_CHARS_MAX = 4096;

export const outFileSchema = z.object({ path: z.string(), bytes: z.number(), sha256: z.string() });

/**
 * memory the kernel killed a process · processes one was refused · disk, inodes, tmp, staged (of what it may change in a staged directory) no room was left at the end · output more than was allowed ·
 * wall the task's time was over · cpu its processes were made to wait for their quota.
 */
export const limitHitSchema = z.enum(["memory", "processes", "disk", "inodes", "tmp", "staged", "output", "wall", "cpu"]);
export type LimitHit = z.infer<typeof limitHitSchema>;

/** Refusals of one kind, told apart by program, call and detail. `other calls` when there were too many kinds. */
export const deniedCallSchema = z.object({ program: z.string(), call: z.string(), detail: z.string(), times: z.number() });
export type DeniedCall = z.infer<typeof deniedCallSchema>;

export const DENIED_CALLS_SHOWN_MAX = 50;

export const taskResultSchema = z.object({
  /** Position in the run, from 0. */
  index: z.number(),
  title: z.string(),
  /** Session name of the last attempt's child; empty if none was built. */
  child: z.string(),
  /** From 1. */
  attempt: z.number(),
  status: taskStatusSchema,
  exitCode: z.number().nullable(),
  signal: z.number().nullable(),
  /** One sentence for a person, where the status alone does not say it. */
  detail: z.string(),
  startedAtMs: z.number(),
  wallMs: z.number(),
  cpuMs: z.number(),
  maxRssBytes: z.number(),
  /** With `/stdout`, `/stderr` or `/out/<path>` behind it the name of what is only previewed here: any part of it can be read. */
  handle: z.string(),
  stdout: streamSummarySchema,
  stderr: streamSummarySchema,
  /** The file with all that it wrote, as it stood when it was settled; null: it wrote nothing. Absent in results of earlier versions. */
  transcript: z.object({ bytes: z.number(), sha256: z.string() }).nullable().optional(),
  out: z.array(outFileSchema),
  /** Files of $COHORT_OUT that were not collected, with the reason. */
  outSkipped: z.array(z.object({ path: z.string(), reason: z.string() })),
  /** Directory on this machine that holds the collected files, or null. */
  outDirectory: z.string().nullable(),
  /** Limits that the last attempt met, whatever its status: a program may live with them. */
  limitsHit: z.array(limitHitSchema),
  /** What the sandbox refused the last attempt's programs, the most frequent first, at most DENIED_CALLS_SHOWN_MAX kinds. Advisory. */
  denied: z.array(deniedCallSchema),
  /** How often, all kinds together. */
  deniedTimes: z.number(),
});
export type TaskResult = z.infer<typeof taskResultSchema>;

/** Rows of a run's log. `cursor` is added by the reader. */
export const runEventSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("run-started"), run: z.string(), atMs: z.number(), total: z.number(), jobs: z.number() }),
  z.object({ type: z.literal("task-started"), index: z.number(), attempt: z.number(), child: z.string(), atMs: z.number() }),
  z.object({
    type: z.literal("task-retried"),
    index: z.number(),
    attempt: z.number(),
    status: taskStatusSchema,
    detail: z.string(),
    atMs: z.number(),
  }),
  z.object({ type: z.literal("task-finished"), index: z.number(), atMs: z.number(), result: taskResultSchema }),
  z.object({
    type: z.literal("approval-requested"),
    approval: z.string(),
    index: z.number(),
    attempt: z.number(),
    child: z.string(),
    path: z.string(),
    mode: grantModeSchema,
    /** The child's words. */
    why: z.string(),
    risk: riskSchema,
    expiresAtMs: z.number(),
    atMs: z.number(),
  }),
  z.object({
    type: z.literal("approval-answered"),
    approval: z.string(),
    index: z.number(),
    decision: z.enum(["approved", "denied", "expired", "withdrawn"]),
    by: z.enum(["person", "pre-answer", "expiry", "system"]),
    path: z.string(),
    mode: grantModeSchema,
    ttlMs: z.number(),
    reason: z.string(),
    atMs: z.number(),
  }),
  z.object({
    type: z.literal("grant-attached"),
    grant: z.string(),
    index: z.number(),
    attempt: z.number(),
    child: z.string(),
    path: z.string(),
    as: z.string(),
    mode: grantModeSchema,
    expiresAtMs: z.number().nullable(),
    isCopy: z.boolean(),
    atMs: z.number(),
  }),
  z.object({
    type: z.literal("grant-ended"),
    grant: z.string(),
    index: z.number(),
    child: z.string(),
    path: z.string(),
    mode: grantModeSchema,
    end: grantEndSchema,
    processesKilled: z.number(),
    childKilled: z.boolean(),
    detail: z.string(),
    atMs: z.number(),
  }),
  /** The sandbox refused a program something; advisory. */
  z.object({
    type: z.literal("denied"),
    index: z.number(),
    attempt: z.number(),
    child: z.string(),
    /** As the child sees it; 0: not known. */
    pid: z.number(),
    program: z.string(),
    call: z.string(),
    detail: z.string(),
    repeated: z.number(),
    atMs: z.number(),
  }),
  /** No sign of life for as long as its task allows; `ends`: it is ended for that. */
  z.object({
    type: z.literal("task-stuck"),
    index: z.number(),
    attempt: z.number(),
    child: z.string(),
    /** heartbeat: nothing of it used the processor or said anything. progress: it computes, but says nothing. */
    clock: z.enum(["heartbeat", "progress"]),
    sinceMs: z.number(),
    ends: z.boolean(),
    atMs: z.number(),
  }),
  /** It gave a sign of life again. */
  z.object({ type: z.literal("task-unstuck"), index: z.number(), attempt: z.number(), child: z.string(), atMs: z.number() }),
  z.object({ type: z.literal("run-cancelling"), mode: z.enum(["grace", "kill"]), reason: z.string(), atMs: z.number() }),
  z.object({
    type: z.literal("run-finished"),
    atMs: z.number(),
    summary: z.lazy(() => runCountsSchema),
    status: z.enum(["completed", "cancelled", "halted", "deadline"]),
  }),
]);
export type RunEvent = z.infer<typeof runEventSchema>;

export const runCountsSchema = z.object({
  total: z.number(),
  /** Not yet started. */
  waiting: z.number(),
  running: z.number(),
  succeeded: z.number(),
  cancelled: z.number(),
  /** Every other end. */
  failed: z.number(),
});
export type RunCounts = z.infer<typeof runCountsSchema>;

export const runSummarySchema = z.object({
  run: z.string(),
  title: z.string(),
  status: z.enum(["running", "cancelling", "completed", "cancelled", "halted", "deadline"]),
  createdAtMs: z.number(),
  finishedAtMs: z.number().nullable(),
  jobs: z.number(),
  counts: runCountsSchema,
  key: z.string().nullable(),
});
export type RunSummary = z.infer<typeof runSummarySchema>;

/**
 * capacity: others are being built, or started, before it · warden: nobody builds sandboxes now · approval: a person's answer · retry: the next
 * attempt's time · frozen: its processes are made to stand still · disk: what it writes cannot be written down.
 */
export const waitingForSchema = z.enum(["capacity", "warden", "approval", "retry", "frozen", "disk"]);
export type WaitingFor = z.infer<typeof waitingForSchema>;

/**
 * working: a sign of life, and none of our own deadlines missed · waiting: it cannot go on before something else happens · stuck: by the clock
 * heartbeat nothing of it used the processor or said anything for the task's stuckAfterMs; progress it computes, but neither wrote nor reported
 * for its silentAfterMs; deadline what is to be done with it takes longer than it ever should.
 */
export const conditionSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("working") }),
  z.object({ type: z.literal("waiting"), for: waitingForSchema, sinceMs: z.number(), untilMs: z.number().nullable() }),
  z.object({ type: z.literal("stuck"), clock: z.enum(["heartbeat", "progress", "deadline"]), sinceMs: z.number() }),
]);
export type Condition = z.infer<typeof conditionSchema>;

/** What a task said of itself last (cohort-child progress). Its own words: show them as such. */
export const progressReportSchema = z.object({ text: z.string(), fraction: z.number().nullable(), atMs: z.number() });
export type ProgressReport = z.infer<typeof progressReportSchema>;

export const childSummarySchema = z.object({
  child: z.string(),
  run: z.string(),
  index: z.number(),
  attempt: z.number(),
  title: z.string(),
  state: z.enum(["starting", "running", "collecting", "cancelling", "destroying", "waiting"]),
  condition: conditionSchema,
  startedAtMs: z.number(),
  /** Its last sign of life of any kind: output, a report, use of the processor, a change of state. */
  lastSignAtMs: z.number(),
  /** Of those, output and reports alone; and use of the processor as it was last looked at. Null: none was seen by this cohortd. */
  progressAtMs: z.number().nullable(),
  heartbeatAtMs: z.number().nullable(),
  /** Not kept across restarts of cohortd. */
  progress: progressReportSchema.nullable(),
  /** How often its sandbox refused it something, as far as this cohortd has seen. */
  deniedTimes: z.number(),
});
export type ChildSummary = z.infer<typeof childSummarySchema>;
