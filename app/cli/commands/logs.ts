/** `cohort logs`: what tasks wrote, byte by byte to a pipe, made harmless for a terminal. */
import { isatty } from "node:tty";
import type { ChildSummary, TaskResult } from "../../../machines/messages/result.ts";
import type { Cohort, Run } from "../../../sdk/index.ts";
import { OutputRecords } from "../follow/json-output.ts";
import { Outlet } from "../follow/outlet.ts";
import { outputOf } from "../follow/output-order.ts";
import { Printer } from "../follow/printer.ts";
import { Sink } from "../follow/sink.ts";
import { findRun, splitTarget, withCohort } from "../session.ts";
import { writeNow } from "../report.ts";
import { jsonLine, neutraliseLine } from "../text/neutralise.ts";
import { refusalsLine } from "../view/refusals.ts";
import { resultsByNow } from "./list.ts";

export interface LogsOptions {
  readonly follow?: boolean;
  readonly attempt?: number;
  readonly json?: boolean;
  readonly tag?: boolean;
}

const EXIT_STATUS_BROKEN_PIPE = 141;
const REFUSALS_SHOWN_MAX = 20;

interface Sinks {
  readonly stdout: Sink;
  readonly stderr: Sink;
}

async function oneTask(run: Run, index: number, options: LogsOptions, sinks: Sinks): Promise<void> {
  const wanted = { follow: options.follow === true, ...(options.attempt === undefined ? {} : { attempt: options.attempt }) };
  const printers = { stdout: new Printer({ terminal: isatty(1), tag: null }), stderr: new Printer({ terminal: isatty(2), tag: null }) };
  const records = {
    stdout: new OutputRecords(index, options.attempt ?? 0, "stdout"),
    stderr: new OutputRecords(index, options.attempt ?? 0, "stderr"),
  };
  for await (const item of run.logs(index, wanted)) {
    if (options.json === true) for (const record of records[item.stream].push(item.bytes)) await sinks.stdout.write(jsonLine(record));
    else await sinks[item.stream].write(printers[item.stream].push(item.bytes));
    if (sinks.stdout.broken) return;
  }
  for (const stream of ["stdout", "stderr"] as const) {
    if (options.json === true) for (const record of records[stream].end()) await sinks.stdout.write(jsonLine(record));
    else await sinks[stream].write(printers[stream].end());
  }
}

/** Where a person looks for why: behind what the task itself wrote, and never among it. */
function writeRefusals(result: TaskResult): void {
  const line = refusalsLine(result);
  if (line !== "") writeNow(2, `cohort: ${neutraliseLine(result.title)}: ${line}\n`);
}

/** Of the run, that are not among these: what they wrote so far is as much a part of its logs. */
async function livingTasks(cohort: Cohort, run: Run, shown: ReadonlySet<number>): Promise<readonly ChildSummary[]> {
  const children = await cohort.children();
  return children
    .filter((child) => child.run === run.id && child.state !== "starting" && !shown.has(child.index))
    .toSorted((one, other) => one.index - other.index);
}

async function allTasks(cohort: Cohort, run: Run, options: LogsOptions, sinks: Sinks): Promise<void> {
  const shown = new Set<number>();
  const results = options.follow === true ? run.results() : resultsByNow(run);
  if (options.json === true) {
    for await (const result of results) {
      shown.add(result.index);
      await oneTask(run, result.index, { json: true, attempt: result.attempt }, sinks);
      if (sinks.stdout.broken) return;
    }
    for (const { index, attempt } of await livingTasks(cohort, run, shown)) await oneTask(run, index, { json: true, attempt }, sinks);
    return;
  }
  const refused: TaskResult[] = [];
  const outlet = new Outlet(run, {
    ...sinks,
    stdoutIsTerminal: isatty(1),
    stderrIsTerminal: isatty(2),
    tagOf: options.tag === true ? (_, title) => title : null,
    before: () => {},
    after: () => {},
  });
  for await (const result of results) {
    shown.add(result.index);
    outlet.output(outputOf(result));
    if (result.deniedTimes > 0 && refused.length < REFUSALS_SHOWN_MAX) refused.push(result);
    await outlet.ready();
    if (sinks.stdout.broken) break;
  }
  for (const { index, attempt, title } of sinks.stdout.broken ? [] : await livingTasks(cohort, run, shown)) {
    await outlet.drained();
    outlet.note(`cohort: ${neutraliseLine(title)} goes on; so far it wrote:\n`);
    outlet.output({ index, attempt, title, stdout: null, stderr: null });
  }
  await outlet.drained();
  for (const result of refused) writeRefusals(result);
}

async function refusalsOf(run: Run, index: number): Promise<void> {
  for await (const result of resultsByNow(run)) if (result.index === index) writeRefusals(result);
}

/** Ctrl-C ends the reading, never the run. */
export function logsCommand(written: string, options: LogsOptions): Promise<number> {
  return withCohort(async (cohort) => {
    const target = splitTarget(written);
    const { run: id } = await findRun(cohort, target.run);
    const run = cohort.attach(id);
    const sinks = { stdout: new Sink(1, () => {}), stderr: new Sink(2, () => {}) };
    if (target.index === null) await allTasks(cohort, run, options, sinks);
    else await oneTask(run, target.index, options, sinks);
    if (target.index !== null && options.json !== true) await refusalsOf(run, target.index);
    return sinks.stdout.broken ? EXIT_STATUS_BROKEN_PIPE : 0;
  });
}
