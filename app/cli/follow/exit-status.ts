/** Pure: what a run's end means to a shell, as GNU parallel counts. */
import type { RunCounts, TaskResult } from "../../../machines/messages/result.ts";
import type { RunEnd } from "../view/run-view.ts";

/** More failed tasks than this cannot be told apart. */
const FAILED_COUNTED_MAX = 100;
const EXIT_STATUS_MANY = 101;
/** Everything that is not about tasks, a wrong command line too: a number from 1 to 101 is always one of tasks. */
export const EXIT_STATUS_ERROR = 255;

export interface Ending {
  readonly end: RunEnd;
  readonly counts: RunCounts;
  readonly firstFailure: TaskResult | undefined;
  /** One failure was enough to halt the run: then its status is the run's. */
  readonly haltsAtFirst: boolean;
}

function statusOfTask(result: TaskResult): number {
  if (result.signal !== null && result.signal > 0) return 128 + result.signal;
  return result.exitCode === null || result.exitCode === 0 ? 1 : result.exitCode;
}

/** 0 all succeeded · 1–100 so many failed · 101 more · the failed task's own status with --halt …,fail=1 · 255 it did not run to its end. */
export function exitStatusOf(ending: Ending): number {
  const { end, counts, firstFailure } = ending;
  const byCount = counts.failed > FAILED_COUNTED_MAX ? EXIT_STATUS_MANY : counts.failed;
  switch (end) {
    case "completed":
      return byCount > 0 || counts.succeeded === counts.total ? byCount : EXIT_STATUS_ERROR;
    case "halted":
      return ending.haltsAtFirst && firstFailure !== undefined ? statusOfTask(firstFailure) : Math.max(1, byCount);
    case "cancelled":
    case "deadline":
      return EXIT_STATUS_ERROR;
  }
}
