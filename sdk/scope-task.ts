/**
 * One confined task of a scope: a run of its own, from its start to the proof of its end.
 *
 * Owns nothing beyond the call: the run lives in cohortd. What is thrown before that proof is SCOPE_UNPROVEN, whatever came in between.
 */
import { createHash } from "node:crypto";
import { errorTable } from "../runtime/kernel/error-table.ts";
import { CohortError, isCohortError } from "../runtime/kernel/error.ts";
import type { RunSpecInput, TaskInput } from "../machines/messages/task.ts";
import type { TaskResult } from "../machines/messages/result.ts";
import type { Run } from "./run.ts";
import { TaskFailed } from "./task-failed.ts";

/** A task, and how its value is read from its result. Without `read` the value is the result. */
export type ScopedTask<T> = TaskInput & {
  /** Called for a success. What it throws makes the task fail with TASK_FAILED. */
  readonly read?: (result: TaskResult) => T | Promise<T>;
};

/** The part of class Cohort that scopes need. */
export interface RunStarter {
  run(spec: RunSpecInput, options: { readonly key?: string }): Promise<Run>;
}

export interface TaskOptions {
  readonly key: string | null;
  /** What is left of the scope's time, in ms; Infinity without a deadline. cohortd keeps to it, too: it holds when this process is gone. */
  readonly leftMs: number;
  readonly signal: AbortSignal;
}

const KEY_CHARS_MAX = 200;
/** While this process is there its own clock is the one that counts. */
const DEADLINE_SLACK_MS = 1000;
const DEADLINE_MS_MAX = 30 * 24 * 3_600_000;

/** Resolves with the value, or rejects; either way nothing of the task runs any more. The signal cancels it with grace and is its error. */
export async function runTask<T>(cohort: RunStarter, work: ScopedTask<T>, options: TaskOptions): Promise<T> {
  const { read: _read, ...task } = work;
  const { signal, leftMs } = options;
  signal.throwIfAborted();
  const deadlineMs = leftMs === Infinity ? {} : { deadlineMs: Math.min(Math.ceil(leftMs) + DEADLINE_SLACK_MS, DEADLINE_MS_MAX) };
  const key = options.key === null ? {} : { key: shortKey(options.key) };
  const run = await starting(task.title, cohort.run({ title: task.title, jobs: 1, tasks: [task], ...deadlineMs }, key));
  const result = await resultOf(run, task.title, signal);
  if (result?.status === "succeeded") return valueOf(work, run, result);
  if (signal.aborted && (result === undefined || result.status === "cancelled")) throw signal.reason;
  if (result !== undefined && result.status !== "cancelled") throw new TaskFailed(run.id, result);
  const { status } = await run.summary();
  const on = `"${task.title}" (run ${run.id})`;
  throw status === "deadline" ? new CohortError("DEADLINE", { on }) : new CohortError("CANCELLED", { on: `${on}, by somebody else` });
}

/** Names a task by its place in the program and by what it is, so that another program at the same place does not get its result. */
export function placeKey(place: string, work: ScopedTask<unknown>): string {
  return `${place}:${sha256(JSON.stringify(work)).slice(0, 12)}`;
}

function shortKey(key: string): string {
  return key.length <= KEY_CHARS_MAX ? key : `${key.slice(0, KEY_CHARS_MAX - 41)}:${sha256(key).slice(0, 40)}`;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

async function starting(title: string, started: Promise<Run>): Promise<Run> {
  try {
    return await started;
  } catch (error) {
    // An answer of cohortd says that nothing was started; no answer says nothing.
    const unanswered = isCohortError(error, "TRANSPORT_CLOSED") || isCohortError(error, "DEADLINE");
    if (unanswered) throw unproven(`"${title}" may have been started`, error);
    if (!isCohortError(error)) throw error;
    const reason = error.message.replace(`${errorTable[error.code].message}: `, "");
    throw new CohortError(error.code, { on: `"${title}": ${reason}`, hint: error.hint, cause: error });
  }
}

async function valueOf<T>(work: ScopedTask<T>, run: Run, result: TaskResult): Promise<T> {
  if (work.read === undefined) return result as T; // Its type says so: without `read` T is TaskResult.
  try {
    return await work.read(result);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CohortError("TASK_FAILED", { on: `"${work.title}" succeeded (run ${run.id}), reading its value did not: ${reason}`, cause });
  }
}

/** Undefined: it ended before it was started. */
async function resultOf(run: Run, title: string, signal: AbortSignal): Promise<TaskResult | undefined> {
  const reading = new AbortController();
  let failure: unknown = null;
  const cancel = (): void => {
    run.cancel("grace", "its scope ended").catch((error: unknown) => {
      failure = error;
      reading.abort();
    });
  };
  if (signal.aborted) cancel();
  else signal.addEventListener("abort", cancel, { once: true });
  try {
    let found: TaskResult | undefined;
    for await (const result of run.results({ signal: reading.signal })) found = result;
    return found;
  } catch (error) {
    throw unproven(`"${title}" (run ${run.id})`, failure ?? error);
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}

function unproven(on: string, cause: unknown): CohortError {
  return new CohortError("SCOPE_UNPROVEN", { on: `${on}: ${cause instanceof Error ? cause.message : String(cause)}`, cause });
}
