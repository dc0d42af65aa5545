/** `cohort events`: a page of a run's log, for programs that ask now and then and keep the cursor. */
import { POLL_WAIT_MS_MAX } from "../../../machines/messages/api.ts";
import { CohortError } from "../../../runtime/kernel/error.ts";
import { writeNow } from "../report.ts";
import { findRun, withCohort } from "../session.ts";
import { parseDuration } from "../text/measure.ts";
import { jsonLine } from "../text/neutralise.ts";
import { plainLine } from "../view/plain-lines.ts";
import { RunView } from "../view/run-view.ts";

export interface EventsOptions {
  readonly after?: number;
  readonly limit?: number;
  readonly wait?: string;
  readonly json?: boolean;
}

function waitOf(text: string | undefined): number {
  if (text === undefined) return 0;
  const waitMs = parseDuration(text);
  if (waitMs === null || waitMs > POLL_WAIT_MS_MAX)
    throw new CohortError("USAGE", { on: `--wait ${text}`, hint: "up to a minute: 500ms, 30s" });
  return waitMs;
}

export function eventsCommand(written: string, options: EventsOptions): Promise<number> {
  const waitMs = waitOf(options.wait);
  const { after = 0, limit = 100, json = false } = options;
  if (limit < 1 || limit > 1000) throw new CohortError("USAGE", { on: `--limit ${limit}`, hint: "from 1 to 1000" });
  return withCohort(async (cohort) => {
    const { run, title, counts } = await findRun(cohort, written);
    const page = await cohort.attach(run).poll({ after, limit, waitMs });
    const view = new RunView(run, title, counts.total, () => undefined);
    for (const { cursor, event } of page.events) {
      view.apply(event);
      if (json) writeNow(1, jsonLine({ type: "event", cursor, event }));
      else writeNow(1, plainLine(event, view) ?? "");
    }
    const { next, finished } = page;
    if (json) writeNow(1, jsonLine({ type: "next", next, finished }));
    else writeNow(2, finished ? "cohort: the run has finished\n" : `cohort: go on with --after ${next}\n`);
    return 0;
  });
}
