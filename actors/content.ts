/**
 * Owns content/<run>/ of every run: what was asked (asked.jsonl: the run, then a line for each task), and where transcripts, notes, results and
 * collected files lie.
 * Does not own facts: the journal refers to content, never the other way round; deleting a run's directory leaves its facts true.
 *
 * 1. A run's directory is whole and on the disk before its run is spawned.
 * 2. Everything is 0600 in 0700.
 * 3. Reading one task costs at most one read, whatever the size of the run.
 */
import { mkdir, open, readFile, rm, writeFile, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { CohortError } from "../runtime/kernel/error.ts";
import type { PreAnswer } from "../machines/messages/approval.ts";
import type { Halt, RunSpec, Task } from "../machines/messages/task.ts";

/** What was asked of the run as a whole. */
export interface RunHead {
  readonly run: string;
  readonly title: string;
  readonly key: string | null;
  readonly jobs: number;
  readonly halt: Halt;
  readonly deadlineMs: number | null;
  /** Absent in runs of earlier versions. */
  readonly preAnswers?: readonly PreAnswer[];
  readonly total: number;
  readonly resumes: { readonly run: string; readonly indexes: readonly number[] } | null;
}

interface OpenRun {
  readonly head: RunHead;
  readonly file: FileHandle;
  /** Where task i begins; one more for the end. */
  readonly offsets: Float64Array;
  /** What was read last: tasks are started in their order, so that one read serves many. */
  block: { readonly from: number; readonly bytes: Buffer };
}

/** Tasks encoded between two turns of the event loop. */
const TASKS_PER_TURN = 200;
const TASK_BLOCK_BYTES = 64 * 1024;
const SCAN_BLOCK_BYTES = 1024 * 1024;
const LINE_FEED = 0x0a;
/** Runs whose files are kept open; the rest are opened when they are read. */
const OPEN_RUNS_MAX = 64;
/** One read of one task takes milliseconds. */
const READ_MS_MAX = 5000;

export class Content {
  readonly #directory: string;
  readonly #open = new Map<string, Promise<OpenRun>>();
  /** Let go of, and closed when their timer says so. */
  readonly #closing = new Map<NodeJS.Timeout, Promise<OpenRun>>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  runDirectory(run: string): string {
    return join(this.#directory, run);
  }

  transcriptPath(run: string, index: number, attempt: number): string {
    return join(this.#directory, run, `${index}.${attempt}.jsonl`);
  }

  resultsPath(run: string): string {
    return join(this.#directory, run, "results.jsonl");
  }

  denialsPath(run: string): string {
    return join(this.#directory, run, "denials.jsonl");
  }

  outDirectory(run: string, index: number): string {
    return join(this.#directory, run, "out", String(index));
  }

  /**
   * Resolves with true when the whole of it is on the disk, and with false, having done nothing, when the run has a directory and `replace` is not
   * said. What an earlier start left behind may be replaced: until the run is spawned nothing refers to it.
   */
  async createRun(head: RunHead, tasks: RunSpec["tasks"], options: { readonly replace: boolean }): Promise<boolean> {
    const directory = this.runDirectory(head.run);
    return explainFull(async () => {
      if (!(await makeDirectory(directory))) {
        if (!options.replace) return false;
        await rm(directory, { recursive: true, force: true });
        await mkdir(directory, { mode: 0o700 });
      }
      const written = await writeAsked(this.#askedPath(head.run), head, tasks);
      try {
        // Side by side, so that they share one commit of the file system.
        await Promise.all([written.file.datasync(), syncDirectory(directory), syncDirectory(this.#directory)]);
      } catch (error) {
        await written.file.close();
        throw error;
      }
      // Its first task is read in a moment.
      this.#keep(head.run, Promise.resolve(written));
      return true;
    });
  }

  async head(run: string): Promise<RunHead> {
    return (await this.#opened(run)).head;
  }

  async task(run: string, index: number): Promise<Task> {
    const opened = await this.#opened(run);
    const { file, offsets } = opened;
    const from = offsets[index];
    const to = offsets[index + 1];
    if (from === undefined || to === undefined) throw new CohortError("TASK_UNKNOWN", { on: `${run} has no task ${index}` });
    let { block } = opened;
    if (from < block.from || to > block.from + block.bytes.length) {
      const bytes = Buffer.allocUnsafe(Math.max(to - from, TASK_BLOCK_BYTES));
      const { bytesRead } = await file.read(bytes, 0, bytes.length, from);
      block = { from, bytes: bytes.subarray(0, bytesRead) };
      if (block.bytes.length < to - from) throw new CohortError("CONTENT_GONE", { on: `task ${index} of run ${run}` });
      opened.block = block;
    }
    return JSON.parse(block.bytes.toString("utf8", from - block.from, to - block.from)) as Task;
  }

  /** A sentence about an attempt that does not belong into the journal. Rare: only for what went wrong. */
  async writeNote(run: string, index: number, attempt: number, text: string): Promise<void> {
    await writeDurably(this.#notePath(run, index, attempt), text.slice(0, 4000));
  }

  async readNote(run: string, index: number, attempt: number): Promise<string> {
    try {
      return await readFile(this.#notePath(run, index, attempt), "utf8");
    } catch (error) {
      if (hasCode(error, "ENOENT")) return "";
      throw error;
    }
  }

  /** Lets go of the run's files once reads that are under way are over; they are opened again when somebody reads. */
  release(run: string): void {
    const opened = this.#open.get(run);
    this.#open.delete(run);
    if (opened === undefined) return;
    const timer = setTimeout(() => {
      this.#closing.delete(timer);
      closeTasks(opened).catch(() => {
        // A descriptor that was only read from is gone whatever close says.
      });
    }, READ_MS_MAX);
    timer.unref();
    this.#closing.set(timer, opened);
  }

  async closeAll(): Promise<void> {
    for (const timer of this.#closing.keys()) clearTimeout(timer);
    for (const opened of [...this.#closing.values(), ...this.#open.values()]) await closeTasks(opened);
    this.#closing.clear();
    this.#open.clear();
  }

  #notePath(run: string, index: number, attempt: number): string {
    return join(this.#directory, run, `${index}.${attempt}.note`);
  }

  #opened(run: string): Promise<OpenRun> {
    const known = this.#open.get(run);
    if (known !== undefined) return known;
    const opening = this.#openRun(run);
    this.#keep(run, opening);
    opening.catch(() => this.#open.delete(run));
    return opening;
  }

  #keep(run: string, opening: Promise<OpenRun>): void {
    this.#open.set(run, opening);
    const oldest = this.#open.keys().next().value;
    if (this.#open.size > OPEN_RUNS_MAX && oldest !== undefined && oldest !== run) this.release(oldest);
  }

  #askedPath(run: string): string {
    return join(this.#directory, run, "asked.jsonl");
  }

  async #openRun(run: string): Promise<OpenRun> {
    let file: FileHandle;
    try {
      file = await open(this.#askedPath(run), "r");
    } catch (error) {
      if (hasCode(error, "ENOENT")) throw new CohortError("CONTENT_GONE", { on: `run ${run}`, cause: error });
      throw error;
    }
    try {
      return await readAsked(file);
    } catch (error) {
      await file.close();
      throw error;
    }
  }
}

/** A run that could not be opened has nothing to close. */
async function closeTasks(opened: Promise<OpenRun>): Promise<void> {
  const [settled] = await Promise.allSettled([opened]);
  if (settled.status === "fulfilled") await settled.value.file.close();
}

/** The file stays open, for reading; it is not yet on the disk. */
async function writeAsked(path: string, head: RunHead, tasks: RunSpec["tasks"]): Promise<OpenRun> {
  const offsets = new Float64Array(tasks.length + 1);
  const file = await open(path, "wx+", 0o600);
  try {
    const first = Buffer.from(`${JSON.stringify(head)}\n`);
    let position = first.length;
    let block: OpenRun["block"] = { from: position, bytes: Buffer.alloc(0) };
    for (let from = 0; from < tasks.length; from += TASKS_PER_TURN) {
      const lines = tasks.slice(from, from + TASKS_PER_TURN).map((task, at) => {
        const line = Buffer.from(`${JSON.stringify(task)}\n`);
        offsets[from + at] = position;
        position += line.length;
        return line;
      });
      const bytes = Buffer.concat(from === 0 ? [first, ...lines] : lines);
      if (from === 0) block = { from: first.length, bytes: bytes.subarray(first.length) };
      await file.writeFile(bytes);
    }
    offsets[tasks.length] = position;
    return { head, file, offsets, block };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Finds the lines of a run that an earlier supervisor was given: JSON has no line feed inside. */
async function readAsked(file: FileHandle): Promise<OpenRun> {
  const ends: number[] = [];
  const block = Buffer.allocUnsafe(SCAN_BLOCK_BYTES);
  for (let position = 0; ;) {
    const { bytesRead } = await file.read(block, 0, block.length, position);
    if (bytesRead === 0) break;
    const read = block.subarray(0, bytesRead);
    for (let at = read.indexOf(LINE_FEED); at >= 0; at = read.indexOf(LINE_FEED, at + 1)) ends.push(position + at + 1);
    position += bytesRead;
  }
  const headBytes = Buffer.alloc(ends[0] ?? 0);
  await file.read(headBytes, 0, headBytes.length, 0);
  return {
    head: JSON.parse(headBytes.toString()) as RunHead,
    file,
    offsets: Float64Array.from(ends),
    block: { from: 0, bytes: Buffer.alloc(0) },
  };
}

/** False when it is there already. */
async function makeDirectory(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o700 });
    return true;
  } catch (error) {
    if (hasCode(error, "EEXIST")) return false;
    throw error;
  }
}

export async function writeDurably(path: string, content: string | Uint8Array): Promise<void> {
  await writeFile(path, content, { mode: 0o600, flush: true });
}

export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

async function explainFull<T>(write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (hasCode(error, "ENOSPC") || hasCode(error, "EDQUOT"))
      throw new CohortError("JOURNAL_FULL", { on: "the content of a new run", cause: error });
    throw error;
  }
}
