/** Pure: how a run ended, for a person. */
import type { TaskResult } from "../../../machines/messages/result.ts";
import { formatDuration } from "../text/measure.ts";
import { neutraliseLine } from "../text/neutralise.ts";
import { truncate } from "../text/width.ts";
import { refusalsLine } from "./refusals.ts";
import { reasonOf, shortRun, verdictOf, type RunView } from "./run-view.ts";
import type { Style } from "./style.ts";

export const FAILURES_SHOWN_MAX = 5;
const REFUSALS_SHOWN_MAX = 5;

export interface SummaryOptions {
  readonly style: Style;
  readonly columns: number;
  /** The last line of stderr of a failed task, by index. */
  readonly lastLines: ReadonlyMap<number, string>;
}

function ending(view: RunView): string {
  switch (view.end) {
    case "cancelled":
      return "cancelled; ";
    case "halted":
      return "halted by failures; ";
    case "deadline":
      return "the run's deadline passed; ";
    case "completed":
    case null:
      return "";
  }
}

function failureLines(result: TaskResult, view: RunView, options: SummaryOptions): readonly string[] {
  const { style, columns } = options;
  const last = options.lastLines.get(result.index);
  const reason = reasonOf(result);
  const why = reason === "" ? last : reason;
  return [
    `  ${style.red("✗")} ${truncate(`${neutraliseLine(result.title)}  ${verdictOf(result)}${why === undefined || why === "" ? "" : `: ${neutraliseLine(why)}`}`, columns - 4)}`,
    ...(result.stdout.bytes + result.stderr.bytes > 0 ? [`    ${style.dim(`cohort logs ${shortRun(view.run)}/${result.index}`)}`] : []),
  ];
}

/** One line a task: that a program was refused something is seldom what it says itself. */
function refusalLines(view: RunView, { style, columns }: SummaryOptions): readonly string[] {
  const shown = view.refusals.slice(0, REFUSALS_SHOWN_MAX);
  const lines = shown.map((result) => {
    const named = view.counts.total === 1 ? "" : `${neutraliseLine(result.title)}  `;
    return `  ${style.yellow("·")} ${truncate(`${named}${refusalsLine(result)}`, columns - 4)}`;
  });
  if (view.refusedTasks > shown.length)
    lines.push(`  … and ${view.refusedTasks - shown.length} more were refused something: cohort results ${shortRun(view.run)}`);
  return lines;
}

/** Lines with their final newline. */
export function summaryText(view: RunView, options: SummaryOptions): string {
  const { counts } = view;
  const { style } = options;
  const wallMs = view.startedAtMs === null || view.finishedAtMs === null ? 0 : view.finishedAtMs - view.startedAtMs;
  const parts = [
    counts.succeeded === counts.total ? style.green(`all ${counts.total} succeeded`) : `${counts.succeeded} of ${counts.total} succeeded`,
    ...(counts.failed > 0 ? [style.red(`${counts.failed} failed`)] : []),
    ...(counts.cancelled > 0 ? [style.yellow(`${counts.cancelled} cancelled`)] : []),
    ...(counts.waiting > 0 ? [`${counts.waiting} not started`] : []),
    `in ${formatDuration(wallMs)}`,
  ];
  const lines = [`cohort: ${ending(view)}${parts.join(", ")}  ${style.dim(`run ${shortRun(view.run)}`)}`];
  const [slowest] = view.slowest;
  if (view.end !== "cancelled" && counts.total > 2 && slowest !== undefined && slowest.wallMs > 1000) {
    const named = view.slowest.map((task) => `${truncate(neutraliseLine(task.title), 40)} ${formatDuration(task.wallMs)}`).join(", ");
    lines.push(truncate(`  slowest: ${named}`, options.columns));
  }
  for (const failed of view.failures.slice(0, FAILURES_SHOWN_MAX)) lines.push(...failureLines(failed, view, options));
  if (counts.failed > FAILURES_SHOWN_MAX)
    lines.push(`  … and ${counts.failed - FAILURES_SHOWN_MAX} more: cohort results ${shortRun(view.run)} --failed`);
  lines.push(...refusalLines(view, options));
  if (counts.cancelled + counts.waiting + counts.failed > 0)
    lines.push(`  to run again what did not succeed: cohort resume ${shortRun(view.run)}`);
  return `${lines.join("\n")}\n`;
}
