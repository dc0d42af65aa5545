/**
 * Confined tasks without confinement: what `runTask` and `cancelTask` plan, answered by a function.
 *
 * Owns what it was asked to run, by key: like cohortd, it outlives the process that asked, and runs each key once.
 */
import { z } from "zod";
import type { Json } from "../../runtime/kernel/actions.ts";
import { taskSchema, type Task } from "../../machines/messages/task.ts";
import type { TaskResult, TaskStatus } from "../../machines/messages/result.ts";
import { CANCEL_EFFECT, cancelledKey, TASK_EFFECT } from "../actors/confined-tasks.ts";
import { planned, type AnyEffectKind } from "../actors/effect-kind.ts";

/** How a task ended; what is left out is as of one that succeeded and said nothing. */
export interface SimulatedEnd {
  readonly status?: TaskStatus;
  /** Default 0 for a success, 1 for a failure, else null. */
  readonly exitCode?: number;
  readonly stdout?: string;
  readonly stderr?: string;
}

interface Running {
  readonly ended: Promise<TaskResult | null>;
  cancel(): void;
}

export function simulatedTasks(run: (task: Task, key: string) => SimulatedEnd | Promise<SimulatedEnd>): readonly AnyEffectKind[] {
  const running = new Map<string, Running>();
  const begin = (key: string, task: Task): Running => {
    const known = running.get(key);
    if (known !== undefined) return known;
    const cancelled = Promise.withResolvers<TaskResult>();
    const ran = async (): Promise<TaskResult> => resultOf(task, await run(task, key));
    const ended = Promise.race([ran(), cancelled.promise]);
    const begun = { ended, cancel: () => cancelled.resolve(resultOf(task, { status: "cancelled" })) };
    running.set(key, begun);
    return begun;
  };
  const task = planned({
    name: TASK_EFFECT,
    safety: "keyed",
    params: z.object({ key: z.string(), task: taskSchema }),
    run: async ({ key: asked, task }, { key }) => {
      const result = await begin(key, task).ended;
      return {
        type: "taskFinished",
        key: asked,
        run: `simulated-${key}`,
        status: result?.status ?? "cancelled",
        result: result as unknown as Json,
      };
    },
    compensate: (_, { key }) => {
      running.get(key)?.cancel();
      return Promise.resolve();
    },
  });
  const cancel = planned({
    name: CANCEL_EFFECT,
    safety: "keyed",
    params: z.object({ key: z.string(), reason: z.string() }),
    run: ({ key: asked }, scene) => {
      const key = cancelledKey(asked, scene.key);
      const known = running.get(key);
      if (known === undefined) running.set(key, { ended: Promise.resolve(null), cancel: () => undefined });
      known?.cancel();
      return Promise.resolve(null);
    },
  });
  return [task, cancel];
}

function resultOf({ title }: Task, { status = "succeeded", exitCode, stdout = "", stderr = "" }: SimulatedEnd): TaskResult {
  const stream = (text: string): TaskResult["stdout"] => ({ bytes: Buffer.byteLength(text), preview: text, truncated: false });
  const code = status === "succeeded" ? 0 : status === "failed" ? 1 : null;
  return {
    index: 0,
    title,
    child: "simulated",
    attempt: 1,
    status,
    exitCode: exitCode ?? code,
    signal: null,
    detail: "",
    startedAtMs: 0,
    wallMs: 0,
    cpuMs: 0,
    maxRssBytes: 0,
    handle: "simulated/0",
    stdout: stream(stdout),
    stderr: stream(stderr),
    out: [],
    outSkipped: [],
    outDirectory: null,
    limitsHit: [],
    denied: [],
    deniedTimes: 0,
  };
}
