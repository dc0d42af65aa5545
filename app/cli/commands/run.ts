/** `cohort run` and `cohort resume`: a task file, or what an earlier run left undone. */
import { findRun } from "../session.ts";
import { withPreAnswersOf, type PreAnswerOptions } from "../map/pre-answers.ts";
import { writeNow } from "../report.ts";
import { startAndFollow, startedFrom, type ShowOptions } from "./following.ts";

export interface RunCommandOptions extends ShowOptions, PreAnswerOptions {
  readonly runKey?: string;
  /** Only check the file. */
  readonly check?: boolean;
}

export async function runCommand(file: string, options: RunCommandOptions): Promise<number> {
  const { loadTaskFile } = await import("../task-file/load.ts");
  const spec = withPreAnswersOf(await loadTaskFile(file), options);
  if (options.check === true) {
    writeNow(2, `cohort: ${spec.tasks.length} ${spec.tasks.length === 1 ? "task" : "tasks"}, no problem found\n`);
    return 0;
  }
  return startAndFollow(options, async (cohort) =>
    startedFrom(await cohort.run(spec, options.runKey === undefined ? {} : { key: options.runKey }), spec),
  );
}

export function resumeCommand(written: string, options: ShowOptions & { readonly runKey?: string }): Promise<number> {
  return startAndFollow(options, async (cohort) => {
    const earlier = await findRun(cohort, written);
    const run = await cohort.resume(earlier.run, options.runKey === undefined ? {} : { key: options.runKey });
    const { counts, title } = await run.summary();
    return { run, title, total: counts.total, titleOf: () => undefined, haltsAtFirst: false };
  });
}
