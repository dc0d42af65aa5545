/** `cohort ps` and `cohort results`: what there is, as a table or as JSON. */
import type { JournalState } from "../../../machines/messages/journal.ts";
import type { ChildSummary, RunSummary, TaskResult } from "../../../machines/messages/result.ts";
import type { ResultsPage, Run } from "../../../sdk/index.ts";
import { CohortError } from "../../../runtime/kernel/error.ts";
import { writeNow } from "../report.ts";
import { findRun, splitTarget, withCohort } from "../session.ts";
import { stdoutColumns } from "../terminal.ts";
import { formatDuration, formatSize } from "../text/measure.ts";
import { jsonLine, neutraliseLine } from "../text/neutralise.ts";
import { table, type Column } from "../text/table.ts";
import { conditionText, progressText } from "../view/condition-text.ts";
import { refusalText } from "../view/refusals.ts";
import { reasonOf, shortRun, verdictOf } from "../view/run-view.ts";

export interface PsOptions {
  readonly all?: boolean;
  readonly json?: boolean;
}

export interface ResultsOptions {
  readonly failed?: boolean;
  readonly after?: number;
  readonly json?: boolean;
}

const RUNS_SHOWN_MAX = 1000;

function fullText({ reserveBytesLeft }: JournalState): string {
  const reserve = `${formatSize(reserveBytesLeft)} are kept for cancellations, revocations and deletions`;
  return `the disk of the journal is full: nothing new is accepted until there is space, nothing that was is lost; ${reserve}`;
}

const isLive = (run: RunSummary): boolean => run.status === "running" || run.status === "cancelling";

function runColumns(nowMs: number): readonly Column<RunSummary>[] {
  return [
    { title: "run", cell: (run) => shortRun(run.run) },
    { title: "status", cell: (run) => run.status },
    { title: "done", align: "right", cell: ({ counts }) => `${counts.succeeded + counts.failed + counts.cancelled}/${counts.total}` },
    { title: "failed", align: "right", cell: ({ counts }) => String(counts.failed) },
    { title: "running", align: "right", cell: ({ counts }) => String(counts.running) },
    { title: "queued", align: "right", cell: ({ counts }) => String(counts.waiting) },
    { title: "began", align: "right", cell: (run) => `${formatDuration(nowMs - run.createdAtMs)} ago` },
    { title: "took", align: "right", cell: (run) => formatDuration((run.finishedAtMs ?? nowMs) - run.createdAtMs) },
    { title: "title", cell: (run) => run.title },
  ];
}

function childColumns(nowMs: number): readonly Column<ChildSummary>[] {
  return [
    { title: "child", cell: (child) => child.child },
    { title: "task", cell: (child) => `${shortRun(child.run)}/${child.index}` },
    { title: "state", cell: (child) => conditionText(child.condition, nowMs) || child.state },
    { title: "for", align: "right", cell: (child) => formatDuration(nowMs - child.startedAtMs) },
    { title: "refused", align: "right", cell: (child) => (child.deniedTimes === 0 ? "–" : String(child.deniedTimes)) },
    { title: "last sign", align: "right", cell: (child) => `${formatDuration(nowMs - child.lastSignAtMs)} ago` },
    { title: "title", cell: (child) => [child.title, progressText(child)].filter((part) => part !== "").join(": ") },
  ];
}

export function psCommand(options: PsOptions): Promise<number> {
  return withCohort(async (cohort) => {
    const [runs, children, journal] = await Promise.all([
      cohort.runs({ limit: RUNS_SHOWN_MAX }),
      cohort.children(),
      cohort.journal.state(),
    ]);
    const shown = options.all === true ? runs : runs.filter(isLive);
    if (options.json === true) {
      writeNow(1, jsonLine({ runs: shown, children, ...(journal.full ? { journal } : {}) }));
      return 0;
    }
    if (journal.full) writeNow(2, `cohort: ${fullText(journal)}\n`);
    const nowMs = Date.now();
    const columns = stdoutColumns();
    if (shown.length > 0) writeNow(1, table(shown, runColumns(nowMs), columns));
    else writeNow(2, options.all === true ? "cohort: there was no run yet\n" : "cohort: nothing runs now; --all shows earlier runs\n");
    if (children.length > 0) writeNow(1, `\n${table(children, childColumns(nowMs), columns)}`);
    return 0;
  });
}

/** What has finished by now: a run that goes on is not waited for. */
export async function* resultsByNow(run: Run): AsyncGenerator<TaskResult> {
  const { status, counts } = await run.summary();
  let left = counts.succeeded + counts.failed + counts.cancelled;
  if (left === 0) return;
  for await (const result of run.results()) {
    yield result;
    left -= 1;
    if (left <= 0 && (status === "running" || status === "cancelling")) return;
  }
}

/** Those behind a cursor that have finished by now, each with its own. */
async function* resultsBehind(run: Run, cursor: number): AsyncGenerator<TaskResult & { readonly cursor: number }> {
  for (let after: number | null = cursor; after !== null;) {
    const page: ResultsPage = await run.resultsAfter(after);
    for (const { cursor: at, result } of page.results) yield { cursor: at, ...result };
    after = page.next;
  }
}

/** Of what was killed with its sandbox, or never ran, the kernel told nothing. */
function isMeasured(result: TaskResult): boolean {
  return result.maxRssBytes > 0;
}

const resultColumns: readonly Column<TaskResult>[] = [
  { title: "task", align: "right", cell: (result) => String(result.index) },
  { title: "end", cell: (result) => verdictOf(result) },
  { title: "tries", align: "right", cell: (result) => String(result.attempt) },
  { title: "wall", align: "right", cell: (result) => formatDuration(result.wallMs) },
  { title: "cpu", align: "right", cell: (result) => (isMeasured(result) ? formatDuration(result.cpuMs) : "–") },
  { title: "memory", align: "right", cell: (result) => (isMeasured(result) ? formatSize(result.maxRssBytes) : "–") },
  { title: "output", align: "right", cell: (result) => formatSize(result.stdout.bytes + result.stderr.bytes) },
  { title: "refused", align: "right", cell: (result) => (result.deniedTimes === 0 ? "–" : String(result.deniedTimes)) },
  { title: "files", align: "right", cell: (result) => String(result.out.length) },
  {
    title: "title",
    cell: (result) => (reasonOf(result) === "" ? result.title : `${result.title}: ${reasonOf(result)}`),
  },
];

function files(result: TaskResult): string {
  if (result.outDirectory === null) return "";
  const lines = [
    ...result.out.map((file) => `  ${file.sha256}  ${formatSize(file.bytes).padStart(10)}  ${neutraliseLine(file.path)}`),
    ...result.outSkipped.map((file) => `  not collected (${neutraliseLine(file.reason)}): ${neutraliseLine(file.path)}`),
  ];
  return `\nfiles in ${neutraliseLine(result.outDirectory)}\n${lines.join("\n")}\n`;
}

function refusals({ denied, deniedTimes }: TaskResult): string {
  if (deniedTimes === 0) return "";
  const shown = denied.reduce((sum, { times }) => sum + times, 0);
  const rest = deniedTimes > shown ? [`  ${deniedTimes - shown} more`] : [];
  return `\nrefused by its sandbox\n${[...denied.map((kind) => `  ${refusalText(kind)}`), ...rest].join("\n")}\n`;
}

function noSuchTask({ run, counts }: RunSummary, index: number): CohortError {
  return new CohortError("TASK_UNKNOWN", {
    on: `the tasks of run ${shortRun(run)} are 0 to ${counts.total - 1}, not ${index}`,
    hint: `list them: cohort results ${shortRun(run)}`,
  });
}

function nothingFound(summary: RunSummary, index: number | null, failed: boolean): string {
  const what = failed ? "not failed" : "no result";
  const yet = isLive(summary) ? " yet" : "";
  if (index !== null) return `task ${index} of run ${shortRun(summary.run)} has ${what}${yet}`;
  return `run ${shortRun(summary.run)} has ${failed ? "no failed task" : what}${yet}`;
}

export function resultsCommand(written: string, options: ResultsOptions): Promise<number> {
  return withCohort(async (cohort) => {
    const target = splitTarget(written);
    const summary = await findRun(cohort, target.run);
    const { run: id } = summary;
    if (target.index !== null && target.index >= summary.counts.total) throw noSuchTask(summary, target.index);
    const found: TaskResult[] = [];
    for await (const result of resultsBehind(cohort.attach(id), options.after ?? 0)) {
      if (options.failed === true && (result.status === "succeeded" || result.status === "cancelled")) continue;
      if (target.index !== null && result.index !== target.index) continue;
      if (options.json === true) writeNow(1, jsonLine(result));
      else found.push(result);
    }
    if (options.json === true) return 0;
    found.sort((left, right) => left.index - right.index);
    if (found.length === 0) writeNow(2, `cohort: ${nothingFound(summary, target.index, options.failed === true)}\n`);
    else writeNow(1, table(found, resultColumns, stdoutColumns()));
    const [only] = found;
    if (target.index !== null && only !== undefined) writeNow(1, `${files(only)}${refusals(only)}`);
    return 0;
  });
}
