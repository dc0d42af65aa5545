/** The file of what a run was asked: its head, then a line for each task; written, or found in what an earlier supervisor wrote. Owns nothing. */
import { open, type FileHandle } from "node:fs/promises";
import type { PreAnswer } from "../machines/messages/approval.ts";
import type { Halt, RunSpec } from "../machines/messages/task.ts";

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

/** Open for reading. */
export interface OpenRun {
  readonly head: RunHead;
  /** Null: the block has all of it. */
  readonly file: FileHandle | null;
  /** Where task i begins; one more for the end. */
  readonly offsets: Float64Array;
  /** What was read last: tasks are started in their order, so that one read serves many. */
  block: { readonly from: number; readonly bytes: Buffer };
}

/** Tasks encoded between two turns of the event loop. */
const TASKS_PER_TURN = 200;
/** More than this is not for the journal to carry. */
const SMALL_RUN_BYTES_MAX = 256 * 1024;
const SCAN_BLOCK_BYTES = 1024 * 1024;
const LINE_FEED = 0x0a;

/** Null for one that is too large to travel with its spawn. */
export function encodeSmall(head: RunHead, tasks: RunSpec["tasks"]): OpenRun | null {
  if (tasks.length > TASKS_PER_TURN) return null;
  const offsets = new Float64Array(tasks.length + 1);
  const lines = [Buffer.from(`${JSON.stringify(head)}\n`)];
  let position = lines[0]?.length ?? 0;
  for (const [index, task] of tasks.entries()) {
    const line = Buffer.from(`${JSON.stringify(task)}\n`);
    offsets[index] = position;
    position += line.length;
    if (position > SMALL_RUN_BYTES_MAX) return null;
    lines.push(line);
  }
  offsets[tasks.length] = position;
  return { head, file: null, offsets, block: { from: 0, bytes: Buffer.concat(lines) } };
}

/** The file stays open, for reading; it is not yet on the disk. */
export async function writeAsked(path: string, head: RunHead, tasks: RunSpec["tasks"]): Promise<OpenRun> {
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
export async function readAsked(file: FileHandle): Promise<OpenRun> {
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
