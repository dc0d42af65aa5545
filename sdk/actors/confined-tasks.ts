/**
 * Confined tasks as effects: planned by a machine, run by cohortd once per effect key, whatever becomes of this process or of cohortd meanwhile.
 *
 * Owns which tasks this process waits for. The run of a task is named by the journal and the effect's key, so a second start finds the first.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import type { EffectParams, Json } from "../../runtime/kernel/actions.ts";
import { isCohortError } from "../../runtime/kernel/error.ts";
import type { TaskResult, TaskStatus } from "../../machines/messages/result.ts";
import { taskSchema, type TaskInput } from "../../machines/messages/task.ts";
import { Backoff } from "../backoff.ts";
import type { Cohort } from "../cohort.ts";
import type { Run } from "../run.ts";
import { checked } from "./checked.ts";
import { planned, type EffectScene, type PlannedEffect } from "./effect-kind.ts";

/** What the actor hears when its task has ended and nothing of it runs any more. */
export interface TaskFinished {
  readonly type: "taskFinished";
  /** That `runTask` was given. */
  readonly key: string;
  readonly run: string;
  readonly status: TaskStatus;
  /** Null: it was cancelled before it started. */
  readonly result: TaskResult | null;
  /** Milliseconds since the epoch; the host adds it. */
  readonly at: number;
}

const taskParams = z.object({ key: z.string(), task: z.json() });
const cancelParams = z.object({ key: z.string(), reason: z.string() });

export const TASK_EFFECT = "cohort.task";
export const CANCEL_EFFECT = "cohort.cancelTask";
/** Above the number of tasks that one program usually has in flight; cohortd runs as many as it has room for. */
const CONCURRENCY = 256;
const KEY_CHARS_MAX = 200;
/** A task that is to be cancelled is found by its key among so many runs, latest first. */
const RUNS_MAX = 1000;

/**
 * Parameters of the action `effect`: `{ type: "effect", params: ({ context }) => runTask(`resize:${context.id}`, { title, command }) }`. The actor hears
 * `taskFinished`, or `effectFailed` where cohortd refused it or stays away. An actor that ends leaves its task running, unless the transition that ends it
 * plans `cancelTask`. `key`: unique for ever in this journal. Throws REQUEST_INVALID, naming the field.
 */
export function runTask(key: string, task: TaskInput): EffectParams {
  checked(taskSchema, task, "task");
  return { name: TASK_EFFECT, key, params: { key, task: task as unknown as Json } };
}

/** Parameters of the action `effect` that cancels the task of that key with grace; its actor hears `taskFinished` all the same. Once a task. */
export function cancelTask(key: string, reason = ""): EffectParams {
  return { name: CANCEL_EFFECT, key: cancelKey(key), params: { key, reason } };
}

/** For `openActors({ effects: [...confinedTasks(cohort)] })`. The connection stays its caller's; it is opened again as it is needed. */
export function confinedTasks(
  cohort: Pick<Cohort, "run" | "runs" | "attach">,
): readonly [PlannedEffect<typeof taskParams>, PlannedEffect<typeof cancelParams>] {
  const cancelled = new Set<string>();
  const endOf = async (key: string, reason: string, scene: EffectScene): Promise<void> => {
    const name = runKey(scene.journal, key);
    const found = (await cohort.runs({ limit: RUNS_MAX })).find((summary) => summary.key === name);
    if (found === undefined || found.finishedAtMs !== null) return;
    const run = cohort.attach(found.run);
    await run.cancel("grace", reason);
    await run.finished();
  };
  const task = planned({
    name: TASK_EFFECT,
    safety: "keyed",
    params: taskParams,
    concurrency: CONCURRENCY,
    run: async ({ key, task }, scene) => {
      const { signal, journal } = scene;
      const backoff = new Backoff();
      for (;;) {
        try {
          if (cancelled.has(scene.key) && !scene.recovered) return finished(key, "", null);
          const input = checked(taskSchema, task, "task");
          const run = await cohort.run({ title: input.title, jobs: 1, tasks: [input] }, { key: runKey(journal, scene.key) });
          return finished(key, run.id, await resultOf(run, signal));
        } catch (error) {
          const mayPass = isCohortError(error, "TRANSPORT_CLOSED") || isCohortError(error, "DAEMON_UNREACHABLE");
          if (signal.aborted || !mayPass) throw error;
          await backoff.wait(error, signal);
        }
      }
    },
    compensate: async (_, scene) => endOf(scene.key, "its actor is gone", scene),
  });
  const cancel = planned({
    name: CANCEL_EFFECT,
    safety: "keyed",
    params: cancelParams,
    run: async ({ key: asked, reason }, scene) => {
      const key = cancelledKey(asked, scene.key);
      cancelled.add(key);
      await endOf(key, reason, scene);
      return null;
    },
  });
  return [task, cancel];
}

/** The key that a task's effect has: in a later incarnation of their actor both effects have its number behind their keys. For this package. */
export function cancelledKey(asked: string, cancelling: string): string {
  return asked + cancelling.slice(cancelKey(asked).length);
}

function cancelKey(key: string): string {
  return `${CANCEL_EFFECT}:${key}`;
}

function finished(key: string, run: string, result: TaskResult | null): { readonly type: "taskFinished"; readonly [field: string]: Json } {
  return { type: "taskFinished", key, run, status: result?.status ?? "cancelled", result };
}

async function resultOf(run: Run, signal: AbortSignal): Promise<TaskResult | null> {
  let result: TaskResult | null = null;
  // Ends after run-finished, and that comes after the proof that nothing of the task is left.
  for await (const found of run.results({ signal })) result = found;
  return result;
}

/** Runs of all programs of a person share their keys. */
function runKey(journal: string, key: string): string {
  const name = `actors:${journal}:${key}`;
  return name.length <= KEY_CHARS_MAX ? name : `actors:${journal}:${createHash("sha256").update(key).digest("hex")}`;
}
