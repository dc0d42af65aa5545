/** `cohort cancel`: says what it does, and waits until nothing is left. */
import { writeNow } from "../report.ts";
import { findRun, withCohort } from "../session.ts";
import { shortRun } from "../view/run-view.ts";
import { jsonLine } from "../text/neutralise.ts";

export interface CancelOptions {
  readonly kill?: boolean;
  readonly json?: boolean;
}

export function cancelCommand(written: string, options: CancelOptions): Promise<number> {
  return withCohort(async (cohort) => {
    const { run: id, status, counts } = await findRun(cohort, written);
    const told = (text: string): void => {
      if (options.json !== true) writeNow(2, `cohort: run ${shortRun(id)}: ${text}\n`);
    };
    if (status !== "running" && status !== "cancelling") {
      told(`has ended already: ${status}`);
      if (options.json === true) writeNow(1, jsonLine(await cohort.attach(id).summary()));
      return 0;
    }
    const mode = options.kill === true ? "kill" : "grace";
    const children = counts.running === 1 ? "1 child is" : `${counts.running} children are`;
    const waiting = counts.waiting === 1 ? "1 task" : `${counts.waiting} tasks`;
    const run = cohort.attach(id);
    // What is not written down is not so.
    await run.cancel(mode, "cohort cancel");
    told(`${children} ${mode === "kill" ? "killed" : "asked to end, and killed after a grace"}; ${waiting} will not start`);
    const summary = await run.finished();
    if (options.json === true) writeNow(1, jsonLine(summary));
    told(
      `${summary.status}: ${summary.counts.succeeded} succeeded, ${summary.counts.failed} failed, ${summary.counts.cancelled} cancelled; their results are kept`,
    );
    return 0;
  });
}
