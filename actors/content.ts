/**
 * Owns content/<run>/ of every run: what was asked (run.json, tasks.jsonl), and where transcripts, notes, results and collected files lie.
 * Does not own facts: the journal refers to content, never the other way round; deleting a run's directory leaves its facts true.
 *
 * 1. A run's directory is whole and on the disk before its run is spawned.
 * 2. Everything is 0600 in 0700.
 * 3. Reading one task costs at most one read, whatever the size of the run.
 */
import { mkdir, open, readFile, rm, writeFile, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { CohortError } from "../runtime/kernel/error.ts";
import type { Halt, RunSpec, Task } from "../machines/messages/task.ts";

/** What was asked of the run as a whole. */
export interface RunHead {
  readonly run: string;
  readonly title: string;
  readonly key: string | null;
  readonly jobs: number;
  readonly halt: Halt;
  readonly deadlineMs: number | null;
  readonly total: number;
  readonly resumes: { readonly run: string; readonly indexes: readonly number[] } | null;
}

interface OpenRun {
  readonly head: RunHead;
  readonly tasks: FileHandle;
  /** Where task i begins; one more for the end. */
  readonly offsets: Float64Array;
  /** What was read last: tasks are started in their order, so that one read serves many. */
  block: { readonly from: number; readonly bytes: Buffer };
}

/** Tasks encoded between two turns of the event loop. */
const TASKS_PER_TURN = 200;
const TASK_BLOCK_BYTES = 64 * 1024;
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

  outDirectory(run: string, index: number): string {
    return join(this.#directory, run, "out", String(index));
  }

  /**
   * Resolves when the whole of it is on the disk. What an earlier start left behind is replaced: until the run is spawned nothing refers to it.
   * The syncs go side by side, so that they share one commit of the file system's.
   */
  async createRun(head: RunHead, tasks: RunSpec["tasks"]): Promise<void> {
    const directory = this.runDirectory(head.run);
    await explainFull(async () => {
      if (!(await makeDirectory(directory))) {
        await rm(directory, { recursive: true, force: true });
        await mkdir(directory, { mode: 0o700 });
      }
      const { file, offsets } = await writeTasks(join(directory, "tasks.jsonl"), tasks);
      try {
        await Promise.all([
          file.datasync(),
          writeDurably(join(directory, "tasks.index"), new Uint8Array(offsets.buffer)),
          writeDurably(join(directory, "run.json"), JSON.stringify(head)),
          syncDirectory(this.#directory),
        ]);
        await syncDirectory(directory);
      } catch (error) {
        await file.close();
        throw error;
      }
      // Its first task is read in a moment.
      this.#keep(head.run, Promise.resolve({ head, tasks: file, offsets, block: { from: 0, bytes: Buffer.alloc(0) } }));
    });
  }

  async head(run: string): Promise<RunHead> {
    return (await this.#opened(run)).head;
  }

  async task(run: string, index: number): Promise<Task> {
    const opened = await this.#opened(run);
    const { tasks, offsets } = opened;
    const from = offsets[index];
    const to = offsets[index + 1];
    if (from === undefined || to === undefined) throw new CohortError("TASK_UNKNOWN", { on: `${run} has no task ${index}` });
    let { block } = opened;
    if (from < block.from || to > block.from + block.bytes.length) {
      const bytes = Buffer.allocUnsafe(Math.max(to - from, TASK_BLOCK_BYTES));
      const { bytesRead } = await tasks.read(bytes, 0, bytes.length, from);
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

  async #openRun(run: string): Promise<OpenRun> {
    const directory = this.runDirectory(run);
    try {
      const [head, index, tasks] = await Promise.all([
        readFile(join(directory, "run.json"), "utf8"),
        readFile(join(directory, "tasks.index")),
        open(join(directory, "tasks.jsonl"), "r"),
      ]);
      return {
        head: JSON.parse(head) as RunHead,
        tasks,
        offsets: new Float64Array(new Uint8Array(index).buffer),
        block: { from: 0, bytes: Buffer.alloc(0) },
      };
    } catch (error) {
      if (hasCode(error, "ENOENT")) throw new CohortError("CONTENT_GONE", { on: `run ${run}`, cause: error });
      throw error;
    }
  }
}

/** A run that could not be opened has nothing to close. */
async function closeTasks(opened: Promise<OpenRun>): Promise<void> {
  const [settled] = await Promise.allSettled([opened]);
  if (settled.status === "fulfilled") await settled.value.tasks.close();
}

/** The file stays open, for reading; it is not yet on the disk. */
async function writeTasks(
  path: string,
  tasks: RunSpec["tasks"],
): Promise<{ readonly file: FileHandle; readonly offsets: Float64Array<ArrayBuffer> }> {
  const offsets = new Float64Array(tasks.length + 1);
  const file = await open(path, "wx+", 0o600);
  try {
    let position = 0;
    for (let first = 0; first < tasks.length; first += TASKS_PER_TURN) {
      const lines = tasks.slice(first, first + TASKS_PER_TURN).map((task, at) => {
        const line = Buffer.from(`${JSON.stringify(task)}\n`);
        offsets[first + at] = position;
        position += line.length;
        return line;
      });
      await file.writeFile(Buffer.concat(lines));
    }
    offsets[tasks.length] = position;
    return { file, offsets };
  } catch (error) {
    await file.close();
    throw error;
  }
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

async function explainFull(write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (hasCode(error, "ENOSPC") || hasCode(error, "EDQUOT"))
      throw new CohortError("JOURNAL_FULL", { on: "the content of a new run", cause: error });
    throw error;
  }
}
