/** What run, map and resume share: start a run, follow it, end with its status. */
import type { TaskResult } from "../../../machines/messages/result.ts";
import type { RunSpecInput } from "../../../machines/messages/task.ts";
import type { Cohort, Run } from "../../../sdk/index.ts";
import { follow, type FollowOptions } from "../follow/follow.ts";
import { Interrupts } from "../follow/interrupts.ts";
import { writeNow } from "../report.ts";
import { withCohort } from "../session.ts";
import { describeTerminal } from "../terminal.ts";
import { jsonLine } from "../text/neutralise.ts";
import { shortRun } from "../view/run-view.ts";

/** Options of run, map and resume that say how a run is shown. */
export interface ShowOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly keepOrder?: boolean;
  /** commander's name of --no-output. */
  readonly output: boolean;
  readonly tag?: boolean;
  readonly detach?: boolean;
}

export interface Started {
  readonly run: Run;
  readonly title: string;
  readonly total: number;
  readonly titleOf: (index: number) => string | undefined;
  readonly haltsAtFirst: boolean;
  /** Default: the title of the task. */
  readonly tagOf?: (index: number, title: string) => string;
  readonly onResult?: (result: TaskResult) => Promise<readonly string[]>;
}

/** What is known of a run whose spec this process wrote. */
export function startedFrom(run: Run, spec: RunSpecInput): Started {
  return {
    run,
    title: spec.title,
    total: spec.tasks.length,
    titleOf: (index) => spec.tasks[index]?.title,
    haltsAtFirst: spec.halt !== undefined && spec.halt.when !== "never" && (spec.halt.failures ?? 1) === 1,
  };
}

function optionsOf(started: Started, show: ShowOptions): FollowOptions {
  return {
    title: started.title,
    total: started.total,
    titleOf: started.titleOf,
    haltsAtFirst: started.haltsAtFirst,
    json: show.json === true,
    quiet: show.quiet === true,
    output: !show.output ? "none" : show.keepOrder === true ? "ordered" : "grouped",
    tagOf: show.tag === true ? (started.tagOf ?? ((_, title) => title)) : null,
    onResult: started.onResult ?? (() => Promise.resolve([])),
  };
}

export async function startAndFollow(show: ShowOptions, start: (cohort: Cohort) => Promise<Started>): Promise<number> {
  const terminal = describeTerminal(process.env);
  const say = (text: string): void => {
    // The live view says it itself.
    if (show.quiet === true || !terminal.canAnimate || show.json === true) writeNow(2, `cohort: ${text}\n`);
  };
  const interrupts = new Interrupts(say);
  let started = false;
  try {
    return await withCohort(async (cohort) => {
      const begun = await start(cohort);
      const { run } = begun;
      started = true;
      if (!run.created && show.quiet !== true && show.json !== true)
        writeNow(2, `cohort: run ${shortRun(run.id)} was started earlier under this key: it is shown again, and nothing is started\n`);
      if (show.detach === true) {
        writeNow(1, show.json === true ? jsonLine({ type: "run", run: run.id, created: run.created }) : `${run.id}\n`);
        return 0;
      }
      return follow(run, optionsOf(begun, show), terminal, interrupts, () => cohort.children(), cohort.approvals);
    });
  } catch (error) {
    // Ctrl-C on a terminal reaches the starting cohortd, too: that it did not start is then no news.
    if (interrupts.exitStatus !== null && !started) return interrupts.exitStatus;
    throw error;
  } finally {
    interrupts.close();
  }
}
