/** The boundary: what a client sent becomes a typed request, or REQUEST_INVALID naming the field. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { z } from "zod";
import { CohortError } from "../../runtime/kernel/error.ts";
import { calls } from "../../machines/messages/api.ts";
import { RUN_TASKS_MAX, taskSchema, type RunSpec, type Task } from "../../machines/messages/task.ts";

const ISSUES_SHOWN = 3;
/** Tasks checked in one turn of the event loop: about 1 ms. */
const TASKS_PER_TURN = 100;

export function parseRequest<S extends z.ZodType>(schema: S, raw: unknown, prefix: readonly PropertyKey[] = []): z.output<S> {
  const parsed = schema.safeParse(raw);
  if (parsed.success) return parsed.data;
  const { issues } = parsed.error;
  const shown = issues.slice(0, ISSUES_SHOWN).map(({ path, message }) => `${[...prefix, ...path].join(".") || "request"}: ${message}`);
  const more = issues.length > ISSUES_SHOWN ? ` (and ${issues.length - ISSUES_SHOWN} more)` : "";
  throw new CohortError("REQUEST_INVALID", { on: shown.join("; ") + more });
}

export interface StartRequest {
  readonly spec: RunSpec;
  readonly key?: string | undefined;
}

/** As the schema of run.start says, but a run of many tasks is checked in slices, so that other clients are heard in between. */
export async function parseStartRequest(raw: unknown): Promise<StartRequest> {
  const tasks = tasksOf(raw);
  if (tasks === null || tasks.length <= TASKS_PER_TURN || tasks.length > RUN_TASKS_MAX) return parseRequest(calls["run.start"], raw);
  const request = parseRequest(calls["run.start"], withTasks(raw, tasks.slice(0, 1)));
  const checked: Task[] = [];
  for (const [index, task] of tasks.entries()) {
    checked.push(parseRequest(taskSchema, task, ["spec", "tasks", index]));
    if (index % TASKS_PER_TURN === TASKS_PER_TURN - 1) await nextTurn();
  }
  return { ...request, spec: { ...request.spec, tasks: checked } };
}

/** Made once: making a schema costs more than a parse. */
const withTasksSchema = z.object({ spec: z.object({ tasks: z.array(z.unknown()) }) });

function tasksOf(raw: unknown): readonly unknown[] | null {
  const shape = withTasksSchema.safeParse(raw);
  return shape.success ? shape.data.spec.tasks : null;
}

function withTasks(raw: unknown, tasks: readonly unknown[]): unknown {
  const request = raw as { readonly spec: Readonly<Record<string, unknown>> };
  return { ...request, spec: { ...request.spec, tasks } };
}
