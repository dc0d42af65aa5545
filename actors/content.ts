/**
 * Owns content/<run>/ of every run: what was asked (asked.jsonl: the run, then a line for each task), and where transcripts, notes, results and
 * collected files lie.
 * Does not own facts: the journal refers to content, never the other way round; deleting a run's directory leaves its facts true.
 *
 * 1. What was asked is durable with the run's spawn: a small run's is written by the journal in one step with it, a large one's lies on the disk before.
 * 2. Everything is 0600 in 0700.
 * 3. Reading one task costs at most one read, whatever the size of the run.
 */
import { mkdir, open, readFile, rename, rm, writeFile, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { FileWrite } from "../runtime/contract.ts";
import { CohortError } from "../runtime/kernel/error.ts";
import type { RunSpec, Task } from "../machines/messages/task.ts";
import { encodeSmall, readAsked, writeAsked, type OpenRun, type RunHead } from "./asked-file.ts";

const ASKED = "asked.jsonl";
/** Of one read of tasks. */
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
    return join(this.#directory, this.resultsName(run));
  }

  /** As the journal writes it. */
  resultsName(run: string): string {
    return join(run, "results.jsonl");
  }

  denialsPath(run: string): string {
    return join(this.#directory, run, "denials.jsonl");
  }

  outDirectory(run: string, index: number): string {
    return join(this.#directory, run, "out", String(index));
  }

  /**
   * For a run that nobody knows yet; what an earlier start left behind is replaced, because nothing refers to it. Answers what is to be written
   * with its spawn; a large run lies on the disk by then.
   */
  async createRun(head: RunHead, tasks: RunSpec["tasks"]): Promise<readonly FileWrite[]> {
    const small = encodeSmall(head, tasks);
    if (small !== null) {
      this.#keep(head.run, Promise.resolve(small));
      return [{ path: join(head.run, ASKED), offset: 0, bytes: small.block.bytes, fresh: true }];
    }
    const directory = this.runDirectory(head.run);
    return explainFull("the content of a new run", async () => {
      await rm(directory, { recursive: true, force: true });
      await mkdir(directory, { mode: 0o700 });
      const written = await writeAsked(this.#askedPath(head.run), head, tasks);
      try {
        // Side by side, so that they share one commit of the file system.
        await Promise.all([written.file?.datasync(), syncDirectory(directory), syncDirectory(this.#directory)]);
      } catch (error) {
        await written.file?.close();
        throw error;
      }
      // Its first task is read in a moment.
      this.#keep(head.run, Promise.resolve(written));
      return [];
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
      if (file === null) throw new CohortError("INTERNAL", { on: `run ${run} is not whole in memory` });
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
    return join(this.#directory, run, ASKED);
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
  if (settled.status === "fulfilled") await settled.value.file?.close();
}

export async function writeDurably(path: string, content: string | Uint8Array): Promise<void> {
  await writeFile(path, content, { mode: 0o600, flush: true });
}

/** Whenever a crash comes, the path has the old content or the new one. */
export async function replaceDurably(path: string, content: string | Uint8Array): Promise<void> {
  await writeDurably(`${path}.next`, content);
  await rename(`${path}.next`, path);
  await syncDirectory(dirname(path));
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

/** Gives a full disk the name that whoever asked can understand. */
export async function explainFull<T>(on: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (hasCode(error, "ENOSPC") || hasCode(error, "EDQUOT")) throw new CohortError("JOURNAL_FULL", { on, cause: error });
    throw error;
  }
}
