/** Pure: events of a run as lines for a pipe or a log. */
import type { RunEvent } from "../../../machines/messages/result.ts";
import { formatDuration } from "../text/measure.ts";
import { neutraliseLine } from "../text/neutralise.ts";
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
      return `cohort: ${verdictOf(result)} ${event.index} ${neutraliseLine(result.title)} ${formatDuration(result.wallMs)}${detail}\n`;
    }
    case "run-cancelling":
      return `cohort: ${event.mode === "kill" ? "killing" : "cancelling"}${event.reason === "" ? "" : ` (${neutraliseLine(event.reason)})`}: waiting until nothing is left\n`;
    case "run-finished":
      return null;
  }
}
