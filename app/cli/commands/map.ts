/** `cohort map`: one task for each item, for those who know xargs and GNU parallel. */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { availableParallelism } from "node:os";
import { isatty } from "node:tty";
import { RUN_TASKS_MAX, type RunSpecInput } from "../../../machines/messages/task.ts";
import type { TaskResult } from "../../../machines/messages/result.ts";
import { CohortError } from "../../../runtime/kernel/error.ts";
import { CollectedFiles } from "../follow/collected-files.ts";
import { combine, splitArguments, splitItems, type ItemSource } from "../map/arguments.ts";
import { JOBLOG_HEADER, joblogLine } from "../map/joblog.ts";
import { planMap, type MapOptions } from "../map/plan.ts";
import { shellQuote } from "../map/template.ts";
import { writeNow } from "../report.ts";
import { readAll } from "../standard-input.ts";
import { jsonLine, neutraliseLine } from "../text/neutralise.ts";
import { startAndFollow, startedFrom, type ShowOptions } from "./following.ts";

export interface MapCommandOptions extends MapOptions, ShowOptions {
  readonly null?: boolean;
  readonly argFile?: readonly string[];
  readonly dryRun?: boolean;
  readonly joblog?: string;
  readonly runKey?: string;
  readonly out?: string;
}

const ITEMS_BYTES_MAX = 64 * 1024 ** 2;

async function itemsOf(source: ItemSource, separator: "\n" | "\0"): Promise<readonly string[]> {
  if (source.type === "items") return source.items;
  if (source.path === "-" && isatty(0)) writeNow(2, "cohort: reading items from the terminal, one a line; Ctrl-D ends them\n");
  if (source.path === "-") return splitItems(await readAll(process.stdin, ITEMS_BYTES_MAX), separator);
  try {
    return splitItems(readFileSync(source.path, "utf8"), separator);
  } catch (error) {
    throw new CohortError("USAGE", { on: `items cannot be read: ${error instanceof Error ? error.message : String(error)}`, cause: error });
  }
}

async function rowsOf(sources: readonly ItemSource[], options: MapCommandOptions): Promise<readonly (readonly string[])[]> {
  const files = (options.argFile ?? []).map((path): ItemSource => ({ type: "file", path }));
  const chosen = [...files, ...sources];
  const lists: (readonly string[])[] = [];
  for (const source of chosen.length === 0 ? [{ type: "file", path: "-" } as const] : chosen)
    lists.push(await itemsOf(source, options.null === true ? "\0" : "\n"));
  return combine(lists, RUN_TASKS_MAX);
}

function showPlan(spec: RunSpecInput, json: boolean): void {
  if (json) writeNow(1, jsonLine({ type: "plan", spec }));
  else {
    for (const task of spec.tasks) {
      const [program, flag, line] = task.command;
      writeNow(1, `${neutraliseLine(program === "/bin/sh" && flag === "-c" ? (line ?? "") : task.command.map(shellQuote).join(" "))}\n`);
    }
  }
}

/** Opened before anything runs: a log that cannot be written is a reason not to begin. */
function openJoblog(path: string | undefined): number | null {
  if (path === undefined) return null;
  try {
    const fd = openSync(path, "w", 0o666);
    writeSync(fd, JOBLOG_HEADER);
    return fd;
  } catch (error) {
    throw new CohortError("USAGE", { on: `--joblog: ${error instanceof Error ? error.message : String(error)}`, cause: error });
  }
}

export async function mapCommand(words: readonly string[], options: MapCommandOptions): Promise<number> {
  const { command, sources } = splitArguments(words);
  const rows = await rowsOf(sources, options);
  if (rows.length === 0) {
    if (options.json !== true && options.quiet !== true) writeNow(2, "cohort: there are no items: nothing was run\n");
    return 0;
  }
  const spec = planMap(options, command, rows, {
    workingDirectory: process.cwd(),
    environment: process.env,
    cores: availableParallelism(),
  });
  if (options.dryRun === true) {
    showPlan(spec, options.json === true);
    return 0;
  }
  const joblog = openJoblog(options.joblog);
  const collected = new CollectedFiles();
  const onResult = async (result: TaskResult): Promise<readonly string[]> => {
    if (joblog !== null) writeSync(joblog, joblogLine(result, spec.tasks[result.index]?.command ?? []));
    if (options.out === undefined) return [];
    return collected.copy(result, options.out.replaceAll("{#}", String(result.index + 1)));
  };
  try {
    return await startAndFollow(options, async (cohort) => {
      const run = await cohort.run(spec, options.runKey === undefined ? {} : { key: options.runKey });
      return { ...startedFrom(run, spec), tagOf: (index: number) => (rows[index] ?? []).join(" "), onResult };
    });
  } finally {
    if (joblog !== null) closeSync(joblog);
  }
}
