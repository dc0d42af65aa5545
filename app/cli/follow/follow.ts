/** Follows a run to its end, shows it as the person wants to see it, and answers the exit status. */
import type { TaskResult } from "../../../machines/messages/result.ts";
import { isCohortError } from "../../../runtime/kernel/error.ts";
import type { Terminal } from "../terminal.ts";
import { neutraliseLine } from "../text/neutralise.ts";
import { LiveView } from "../view/live-view.ts";
import { plainLine } from "../view/plain-lines.ts";
import { RunView } from "../view/run-view.ts";
import { FAILURES_SHOWN_MAX, summaryText } from "../view/summary.ts";
import type { ApprovalsPort } from "./approval-prompt.ts";
import { exitStatusOf, EXIT_STATUS_ERROR } from "./exit-status.ts";
import type { FollowedRun, ListChildren } from "./followed-run.ts";
import type { Interrupts } from "./interrupts.ts";
import { followAsJson } from "./json-follow.ts";
import { lastLines } from "./last-line.ts";
import { Outlet } from "./outlet.ts";
import { OutputOrder, outputOf } from "./output-order.ts";
import { Questions } from "./questions.ts";
import { Sink } from "./sink.ts";
import { WaitingWord } from "./waiting-word.ts";

export interface FollowOptions {
  readonly title: string;
  readonly total: number;
  /** Undefined where this process does not know: a run that others began. */
  readonly titleOf: (index: number) => string | undefined;
  readonly json: boolean;
  /** No view, no lines and no summary: only what the tasks write. */
  readonly quiet: boolean;
  readonly output: "none" | "grouped" | "ordered";
  readonly tagOf: ((index: number, title: string) => string) | null;
  readonly haltsAtFirst: boolean;
  /** Called once for each finished task, in the order in which they finish; answers sentences about what went wrong. */
  readonly onResult: (result: TaskResult) => Promise<readonly string[]>;
}

/** Chars of finished outputs that --keep-order may hold back; beyond it they are read again from the supervisor. */
const HELD_CHARS_MAX = 16 * 1024 ** 2;

interface Following {
  readonly run: FollowedRun;
  readonly view: RunView;
  readonly options: FollowOptions;
  readonly terminal: Terminal;
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly troubles: string[];
}

async function followForPeople(following: Following, listChildren: ListChildren, approvals: ApprovalsPort | null): Promise<void> {
  const { run, view, options, terminal, stdout, stderr, troubles } = following;
  const animated = terminal.canAnimate && !options.quiet;
  const questions =
    !animated || approvals === null
      ? null
      : Questions.open(
          approvals,
          (text) => outlet.note(text),
          () => live?.redraw(),
        );
  const live = animated ? new LiveView(view, terminal, process.stderr, listChildren, questions?.prompt ?? null) : null;
  const outlet: Outlet = new Outlet(run, {
    stdout,
    stderr,
    stdoutIsTerminal: terminal.stdoutIsTerminal,
    stderrIsTerminal: terminal.stderrIsTerminal,
    tagOf: options.tagOf,
    before: () => live?.stepAside(),
    after: () => live?.comeBack(),
  });
  const order = new OutputOrder(options.output === "ordered", HELD_CHARS_MAX);
  const waiting = options.quiet ? new WaitingWord((text) => outlet.note(text)) : null;
  live?.start();
  questions?.listen(run.id);
  try {
    for await (const { event } of run.events()) {
      const line = live === null && !options.quiet ? plainLine(event, view) : null;
      view.apply(event);
      waiting?.heard(event);
      if (event.type === "task-finished") {
        troubles.push(...(await options.onResult(event.result)));
        if (options.output !== "none") for (const output of order.finished(outputOf(event.result))) outlet.output(output);
      }
      if (line !== null) outlet.note(line);
      await outlet.ready();
    }
    for (const output of order.rest()) outlet.output(output);
    await outlet.drained();
  } finally {
    waiting?.close();
    questions?.close();
    live?.close();
  }
}

/** `interrupts` is attached to the run here and closed by the caller. */
export async function follow(
  run: FollowedRun,
  options: FollowOptions,
  terminal: Terminal,
  interrupts: Interrupts,
  listChildren: ListChildren,
  approvals: ApprovalsPort | null = null,
): Promise<number> {
  const view = new RunView(run.id, options.title, options.total, options.titleOf);
  const broken = (name: string) => (error: NodeJS.ErrnoException) =>
    interrupts.brokenPipe(`${name} cannot be written: ${error.code ?? error.message}`);
  const stdout = new Sink(1, broken("standard output"));
  const stderr = new Sink(2, () => {});
  const following: Following = { run, view, options, terminal, stdout, stderr, troubles: [] };
  interrupts.attach(run);
  if (options.json) {
    const onResult = async (result: TaskResult): Promise<void> => void following.troubles.push(...(await options.onResult(result)));
    await followAsJson(run, view, { stdout, withOutput: options.output !== "none", onResult });
  } else {
    await followForPeople(following, listChildren, approvals);
    if (!options.quiet) {
      const lines = await lastLines(run, view.failures.slice(0, FAILURES_SHOWN_MAX));
      await stderr.write(summaryText(view, { style: terminal.stderrStyle, columns: terminal.columns(), lastLines: lines }));
    }
  }
  for (const trouble of following.troubles) await stderr.write(`cohort: ${neutraliseLine(trouble)}\n`);
  if (isCohortError(interrupts.failure) && view.end === null) throw interrupts.failure;
  const status = exitStatusOf({
    end: view.end ?? "cancelled",
    counts: view.counts,
    firstFailure: view.failures[0],
    haltsAtFirst: options.haltsAtFirst,
  });
  return interrupts.exitStatus ?? (status === 0 && following.troubles.length > 0 ? EXIT_STATUS_ERROR : status);
}
