/** Pure: a run at one moment as lines of a terminal, none wider and not more than fit. */
import { formatDuration } from "../text/measure.ts";
import { neutraliseLine } from "../text/neutralise.ts";
import { fit, truncate, widthOf } from "../text/width.ts";
import { shortRun, type RunningTask, type RunView } from "./run-view.ts";
import type { Style } from "./style.ts";

export interface Frame {
  readonly nowMs: number;
  readonly columns: number;
  readonly rows: number;
  readonly style: Style;
}

const BAR_COLUMNS_MAX = 30;
/** Below this figures alone find room. */
const BAR_TERMINAL_COLUMNS_MIN = 24;
const RUNNING_ROWS_MAX = 24;
const FAILURE_ROWS_MAX = 3;
const SIGN_COLUMNS = 12;
/** Below this a rate says more about chance than about the work. */
const FINISHED_FOR_RATE_MIN = 3;

function bar(view: RunView, columns: number, style: Style): string {
  const { total, succeeded, failed, cancelled } = view.counts;
  const share = (count: number): number => (total === 0 ? 0 : Math.floor((count / total) * columns));
  const bad = failed === 0 ? 0 : Math.max(1, share(failed));
  const good = Math.max(0, share(succeeded + cancelled + failed) - bad);
  return style.green("█".repeat(good)) + style.red("█".repeat(bad)) + style.dim("░".repeat(Math.max(0, columns - good - bad)));
}

/** Parts that matter less are left out, last first, until the rest fits. */
function joinFitting(parts: readonly string[], columns: number): readonly string[] {
  let kept = [...parts];
  while (kept.length > 1 && widthOf(kept.join("  ")) > columns) kept = kept.slice(0, -1);
  return kept;
}

function header(view: RunView, frame: Frame): string {
  const right = `run ${shortRun(view.run)}`;
  const title = truncate(neutraliseLine(view.title), Math.max(8, frame.columns - right.length - 2));
  const gap = frame.columns - widthOf(title) - right.length;
  return gap < 2 ? frame.style.bold(truncate(title, frame.columns)) : frame.style.bold(title) + " ".repeat(gap) + frame.style.dim(right);
}

function progress(view: RunView, frame: Frame): string {
  const { counts } = view;
  const finished = counts.succeeded + counts.failed + counts.cancelled;
  const elapsedMs = view.startedAtMs === null ? 0 : frame.nowMs - view.startedAtMs;
  const perSecond = finished >= FINISHED_FOR_RATE_MIN && elapsedMs > 500 ? (finished / elapsedMs) * 1000 : null;
  const leftMs = perSecond === null ? null : ((counts.total - finished) / perSecond) * 1000;
  const columns = Math.min(BAR_COLUMNS_MAX, Math.max(5, Math.floor(frame.columns / 4)));
  const words = joinFitting(
    [
      `${finished}/${counts.total}`,
      ...(counts.failed > 0 ? [`${counts.failed} failed`] : []),
      `${counts.running} running`,
      formatDuration(elapsedMs),
      ...(counts.cancelled > 0 ? [`${counts.cancelled} cancelled`] : []),
      ...(perSecond === null ? [] : [`${perSecond < 10 ? perSecond.toFixed(1) : Math.round(perSecond)}/s`]),
      ...(leftMs === null || leftMs < 1000 || view.cancelling !== null ? [] : [`about ${formatDuration(leftMs)} left`]),
    ],
    frame.columns - columns - 2,
  );
  if (frame.columns < BAR_TERMINAL_COLUMNS_MIN) return truncate(words.join("  "), frame.columns);
  return `${bar(view, columns, frame.style)}  ${words.map((word) => (word.endsWith(" failed") ? frame.style.red(word) : word)).join("  ")}`;
}

/** The age of its last sign of life, or how far it says it is. */
function sign(task: RunningTask, nowMs: number): string {
  const fraction = task.progress?.fraction ?? null;
  if (task.condition.type === "working" && fraction !== null) return `${Math.floor(fraction * 100)}%`;
  const quietMs = task.lastSignAtMs === null ? 0 : nowMs - task.lastSignAtMs;
  return quietMs < 2000 ? "" : `quiet ${formatDuration(quietMs)}`;
}

function stateOf(task: RunningTask, view: RunView): string {
  const { condition } = task;
  const held =
    condition.type === "working" ? task.state : condition.type === "stuck" ? "stuck" : condition.for === "frozen" ? "frozen" : "waits";
  const state = view.asking.has(task.index) ? "asks" : held;
  return task.attempt > 1 ? `${state}, attempt ${task.attempt}` : state;
}

interface RowColumns {
  readonly name: number;
  readonly state: number;
}

function runningRow(task: RunningTask, view: RunView, frame: Frame, widths: RowColumns): string {
  const elapsed = formatDuration(frame.nowMs - task.startedAtMs);
  const wide = frame.columns >= 72;
  const fixed = 2 + 8 + (wide ? 2 + widths.name + 2 + widths.state + 2 + SIGN_COLUMNS : 0) + 2;
  const titleColumns = Math.max(4, frame.columns - fixed);
  const title = fit(neutraliseLine(task.title), titleColumns);
  if (!wide) return truncate(`  ${title}  ${fit(elapsed, 8, "right")}`, frame.columns);
  const ending = frame.style.yellow(fit(view.asking.has(task.index) ? "" : sign(task, frame.nowMs), SIGN_COLUMNS));
  return `  ${frame.style.dim(fit(task.child, widths.name))}  ${title}  ${fit(stateOf(task, view), widths.state)}  ${fit(elapsed, 8, "right")}  ${ending}`;
}

function failureRows(view: RunView, frame: Frame, rows: number): readonly string[] {
  return (rows <= 0 ? [] : view.latestFailures.slice(-rows)).map((failure) => {
    const head = `  ${frame.style.red("✗")} `;
    return (
      head +
      truncate(
        `${neutraliseLine(failure.title)}  ${failure.verdict}  ${shortRun(view.run)}/${failure.index}`,
        Math.max(4, frame.columns - 4),
      )
    );
  });
}

export function liveLines(view: RunView, frame: Frame): readonly string[] {
  const note =
    view.cancelling === "grace"
      ? [truncate("cancelling: children were asked to end; Ctrl-C once more kills them", frame.columns)]
      : view.cancelling === "kill"
        ? [truncate("killing: waiting for the proof that nothing is left", frame.columns)]
        : [];
  // One row stays free: the cursor rests below the view.
  const room = Math.max(2, frame.rows - 1) - 2 - note.length;
  const failures = failureRows(view, frame, Math.min(FAILURE_ROWS_MAX, Math.floor(room / 3)));
  const running = [...view.running.values()].toSorted((left, right) => left.startedAtMs - right.startedAtMs || left.index - right.index);
  let space = Math.max(0, Math.min(RUNNING_ROWS_MAX, room - failures.length));
  const overflow = running.length > space;
  if (overflow) space = Math.max(0, space - 1);
  const shown = running.slice(0, space);
  const widest = (least: number, most: number, text: (task: RunningTask) => string): number =>
    shown.reduce((so, task) => Math.max(so, Math.min(most, text(task).length)), least);
  const widths = { name: widest(8, 26, (task) => task.child), state: widest(10, 22, (task) => stateOf(task, view)) };
  const rows = shown.map((task) => runningRow(task, view, frame, widths));
  if (overflow && room > failures.length)
    rows.push(frame.style.dim(truncate(`  … and ${running.length - shown.length} more running`, frame.columns)));
  return [header(view, frame), progress(view, frame), ...rows, ...failures, ...note.map((line) => frame.style.yellow(line))];
}
