/** Pure: events of a run as lines for a pipe or a log. */
import type { RunEvent } from "../../../machines/messages/result.ts";
import { formatDuration } from "../text/measure.ts";
import { neutraliseLine } from "../text/neutralise.ts";
import { stuckText } from "./condition-text.ts";
import { refusalsLine } from "./refusals.ts";
import { reasonOf, shortRun, verdictOf, type RunView } from "./run-view.ts";

/** Null: nothing worth a line. Every line has its final newline. */
export function plainLine(event: RunEvent, view: RunView): string | null {
  switch (event.type) {
    case "run-started":
      return `cohort: run ${shortRun(event.run)}: ${neutraliseLine(view.title)}: ${event.total} ${event.total === 1 ? "task" : "tasks"}, ${event.jobs} at once\n`;
    case "task-started":
      return `cohort: start ${event.index} ${neutraliseLine(view.titleOf(event.index))} (${neutraliseLine(event.child)}${event.attempt > 1 ? `, attempt ${event.attempt}` : ""})\n`;
    case "task-retried":
      return `cohort: retry ${event.index} ${neutraliseLine(view.titleOf(event.index))}: attempt ${event.attempt} ended as ${event.status}\n`;
    case "task-finished": {
      const { result } = event;
      const reason = reasonOf(result);
      const detail = reason === "" ? "" : `: ${neutraliseLine(reason)}`;
      const refusals = refusalsLine(result);
      const line = `cohort: ${verdictOf(result)} ${event.index} ${neutraliseLine(result.title)} ${formatDuration(result.wallMs)}${detail}\n`;
      return refusals === "" ? line : `${line}cohort:   ${refusals}\n`;
    }
    case "approval-requested":
      return `cohort: ask ${event.index} ${event.approval}: ${neutraliseLine(event.child)} wants ${neutraliseLine(event.path)} (${event.mode}): ${neutraliseLine(event.why)}\ncohort:   to answer: cohort approve ${event.approval}, or cohort deny ${event.approval}\n`;
    case "approval-answered":
      return `cohort: ${event.decision} ${event.index} ${event.approval}: ${neutraliseLine(event.path)}${event.decision === "approved" ? ` (${event.mode})` : ""}${event.reason === "" ? "" : `: ${neutraliseLine(event.reason)}`}\n`;
    case "grant-attached":
      return `cohort: grant ${event.index} ${event.grant}: ${neutraliseLine(event.path)} (${event.mode}) as ~/mnt/${neutraliseLine(event.as)}\n`;
    case "grant-ended":
      return `cohort: grant-ended ${event.index} ${event.grant}: ${neutraliseLine(event.path)}: ${event.end}${event.processesKilled > 0 ? `, ${event.processesKilled} ${event.processesKilled === 1 ? "process" : "processes"} killed` : ""}${event.childKilled ? ", the child was killed" : ""}\n`;
    case "task-stuck":
      return `cohort: stuck ${event.index} ${neutraliseLine(view.titleOf(event.index))}: ${stuckText(event.clock, event.atMs - event.sinceMs)}${event.ends ? "; it is ended" : ""}\n`;
    case "task-unstuck":
      return `cohort: unstuck ${event.index} ${neutraliseLine(view.titleOf(event.index))}: it gave a sign of life again\n`;
    case "denied":
      return null;
    case "run-cancelling":
      return `cohort: ${event.mode === "kill" ? "killing" : "cancelling"}${event.reason === "" ? "" : ` (${neutraliseLine(event.reason)})`}: waiting until nothing is left\n`;
    case "run-finished":
      return null;
  }
}
