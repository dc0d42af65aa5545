/** `cohort map`: one task for each item, for those who know xargs and GNU parallel. */
import { closeSync, constants, openSync, readFileSync, writeSync } from "node:fs";
import { availableParallelism } from "node:os";
import path from "node:path";
import { isatty } from "node:tty";
import { RUN_TASKS_MAX, type RunSpecInput } from "../../../machines/messages/task.ts";
import type { TaskResult } from "../../../machines/messages/result.ts";
import { CohortError } from "../../../runtime/kernel/error.ts";
import { AnchoredDirectory, entryOf } from "../follow/anchored-directory.ts";
import { CollectedFiles } from "../follow/collected-files.ts";
import { combine, splitArguments, splitItems, type ItemSource } from "../map/arguments.ts";
import { JOBLOG_HEADER, joblogLine } from "../map/joblog.ts";
import { planMap, type MapOptions } from "../map/plan.ts";
import { withPreAnswersOf, type PreAnswerOptions } from "../map/pre-answers.ts";
import { shellQuote } from "../map/template.ts";
import { writeNow } from "../report.ts";
import { readAll } from "../standard-input.ts";
import { jsonLine, neutraliseLine } from "../text/neutralise.ts";
import { startAndFollow, startedFrom, type ShowOptions } from "./following.ts";

export interface MapCommandOptions extends MapOptions, PreAnswerOptions, ShowOptions {
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

function unusable(option: string, error: unknown): CohortError {
  return new CohortError("USAGE", { on: `${option}: ${error instanceof Error ? error.message : String(error)}`, cause: error });
}

/** Opened before anything runs: a log that cannot be written is a reason not to begin. */
async function openJoblog(file: string | undefined, writable: readonly string[]): Promise<number | null> {
  if (file === undefined) return null;
  try {
    const fd = await openLog(file, writable);
    writeSync(fd, JOBLOG_HEADER);
    return fd;
  } catch (error) {
    throw unusable("--joblog", error);
  }
}

/** In a writable mount an earlier task may have left a link or a FIFO under this name. */
async function openLog(file: string, writable: readonly string[]): Promise<number> {
  const anchored = await AnchoredDirectory.find(path.dirname(file), writable);
  try {
    if (!anchored.isWritableByTasks) return openSync(file, "w", 0o666);
    const parent = await anchored.enter(anchored.parts);
    const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW, O_NONBLOCK } = constants;
    try {
      return openSync(entryOf(parent, path.basename(file)), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK, 0o666);
    } finally {
      await parent.close();
    }
  } finally {
    await anchored.close();
  }
}

async function openOut(directory: string | undefined, writable: readonly string[]): Promise<CollectedFiles | null> {
  if (directory === undefined) return null;
  try {
    return await CollectedFiles.into(directory, writable);
  } catch (error) {
    throw unusable("--out", error);
  }
}

/** The same for every task of a map. */
function writableMounts(spec: RunSpecInput): readonly string[] {
  return (spec.tasks[0]?.mounts ?? []).filter(({ mode }) => mode === "rw").map((mount) => mount.path);
}

export async function mapCommand(words: readonly string[], options: MapCommandOptions): Promise<number> {
  const { command, sources } = splitArguments(words);
  const rows = await rowsOf(sources, options);
  if (rows.length === 0) {
    if (options.json !== true && options.quiet !== true) writeNow(2, "cohort: there are no items: nothing was run\n");
    return 0;
  }
  const around = { workingDirectory: process.cwd(), environment: process.env, cores: availableParallelism() };
  const spec = withPreAnswersOf(planMap(options, command, rows, around), options);
  if (options.dryRun === true) {
    showPlan(spec, options.json === true);
    return 0;
  }
  const writable = writableMounts(spec);
  const joblog = await openJoblog(options.joblog, writable);
  const collected = await openOut(options.out, writable);
  const onResult = async (result: TaskResult): Promise<readonly string[]> => {
    if (joblog !== null) writeSync(joblog, joblogLine(result, spec.tasks[result.index]?.command ?? []));
    return collected === null ? [] : collected.copy(result);
  };
  try {
    return await startAndFollow(options, async (cohort) => {
      const run = await cohort.run(spec, options.runKey === undefined ? {} : { key: options.runKey });
      return { ...startedFrom(run, spec), tagOf: (index: number) => (rows[index] ?? []).join(" "), onResult };
    });
  } finally {
    if (joblog !== null) closeSync(joblog);
    await collected?.close();
  }
}
