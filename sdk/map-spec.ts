/** Turns a command and items into the tasks of a run. */
import { CohortError } from "../runtime/kernel/error.ts";
import { RUN_TASKS_MAX, type RunSpecInput, type TaskInput } from "../machines/messages/task.ts";
import { fillTemplate } from "./template.ts";

/** What every task of the map has in common; times are milliseconds, sizes bytes. Defaults: those of a task and of a run. */
export interface MapOptions
  extends
    Partial<
      Pick<
        TaskInput,
        | "env"
        | "stdin"
        | "cwd"
        | "mounts"
        | "limits"
        | "network"
        | "timeoutMs"
        | "stuckAfterMs"
        | "silentAfterMs"
        | "onStuck"
        | "retries"
        | "idempotent"
      >
    >,
    Partial<Pick<RunSpecInput, "title" | "jobs" | "deadlineMs" | "halt" | "preAnswers">> {
  /** Names the run: the same key again answers with the same run, whatever became of the process that asked first. */
  readonly key?: string;
  /** Abort cancels the run with grace. */
  readonly signal?: AbortSignal;
  /** Title of one task. Default: the item. */
  readonly taskTitle?: (item: string, index: number) => string;
}

const TITLE_CHARS_MAX = 500;

/** Rejects with REQUEST_INVALID when there is no command, no item, or more than 100,000 of them. */
export async function mapSpec(
  command: readonly string[],
  items: Iterable<string> | AsyncIterable<string>,
  options: MapOptions,
): Promise<RunSpecInput> {
  const { key: _key, signal: _signal, taskTitle, title, jobs, deadlineMs, halt, preAnswers, ...common } = options;
  if (command.length === 0) throw new CohortError("REQUEST_INVALID", { on: "command: it is empty" });
  const tasks: TaskInput[] = [];
  for await (const item of items) {
    if (tasks.length >= RUN_TASKS_MAX) throw new CohortError("REQUEST_INVALID", { on: `items: more than ${RUN_TASKS_MAX}` });
    const shown = taskTitle === undefined ? item : taskTitle(item, tasks.length);
    tasks.push({ ...common, title: titleFrom(shown, tasks.length), command: [...fillTemplate(command, item, tasks.length + 1)] });
  }
  if (tasks.length === 0) throw new CohortError("REQUEST_INVALID", { on: "items: there are none" });
  return { title: titleFrom(title ?? command.join(" "), 0), tasks, ...defined({ jobs, deadlineMs, halt, preAnswers }) };
}

function titleFrom(text: string, index: number): string {
  return text === "" ? `#${index + 1}` : text.slice(0, TITLE_CHARS_MAX);
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function defined<T extends Record<string, unknown>>(fields: T): Defined<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<T>;
}
