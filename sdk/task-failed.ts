/** The end of a task that is no success, as an error that carries the whole result. */
import { CohortError } from "../runtime/kernel/error.ts";
import type { TaskResult } from "../machines/messages/result.ts";

/** Code TASK_FAILED. Its message names the task, its status and its run; what the task printed stands in `result` alone, which is data. */
export class TaskFailed extends CohortError {
  readonly run: string;
  readonly result: TaskResult;

  constructor(run: string, result: TaskResult) {
    super("TASK_FAILED", { on: `"${result.title}" ${reasonOf(result)} (run ${run})` });
    this.run = run;
    this.result = result;
  }

  /** Nobody can say whether the task ran to its end: to run it again may do its work twice. */
  get mayHaveRun(): boolean {
    return this.result.status === "unknown" || this.result.status === "lost";
  }
}

function reasonOf({ status, exitCode, signal, detail }: TaskResult): string {
  const how = status === "failed" ? ` with exit code ${String(exitCode)}` : status === "signaled" ? ` by signal ${String(signal)}` : "";
  return `${status}${how}${detail === "" ? "" : `: ${detail}`}`;
}
