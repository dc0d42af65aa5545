/** `cohort rm`: says what goes, and what stays. */
import { CohortError } from "../../../sdk/index.ts";
import { reportError, writeNow } from "../report.ts";
import { findRun, withCohort } from "../session.ts";
import { formatSize } from "../text/measure.ts";
import { jsonLine } from "../text/neutralise.ts";
import { shortRun } from "../view/run-view.ts";

export interface RemoveOptions {
  readonly discard?: boolean;
  readonly json?: boolean;
}

/** One after the other; what fails is told, and the others go on. 0 all of them · 1 some not. */
export function removeCommand(written: readonly string[], { discard = false, json = false }: RemoveOptions): Promise<number> {
  return withCohort(async (cohort) => {
    // All names first: @ is another run once the newest is gone.
    const runs = await Promise.all(written.map((name) => findRun(cohort, name)));
    let failed = false;
    for (const run of new Set(runs.map((found) => found.run))) {
      try {
        const deleted = await cohort.delete(run, { discard });
        if (json) writeNow(1, jsonLine(deleted));
        else {
          const { files, bytes, complete } = deleted;
          const what = `${files} ${files === 1 ? "file" : "files"}, ${formatSize(bytes)}, and what the journal says of it`;
          const yet = complete ? "" : "; its disk is full: the journal lets go of it when there is space";
          writeNow(2, `cohort: run ${shortRun(run)} is deleted: ${what}${yet}. That it was, and when it went, stays\n`);
        }
      } catch (error) {
        if (!(error instanceof CohortError)) throw error;
        reportError(error, json);
        failed = true;
      }
    }
    return failed ? 1 : 0;
  });
}
