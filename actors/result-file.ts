/**
 * Owns results.jsonl of every run that is being written: one line per settled attempt, with previews and file lists.
 * Does not own which line counts: the journal refers to lines by offset.
 *
 * 1. append resolves after fdatasync; appends of one moment share one.
 * 2. What an interrupted append left behind is cut off before the next: lines are whole.
 * 3. A line that the journal does not refer to is harmless.
 */
import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { CohortError } from "../runtime/kernel/error.ts";
import type { RecordRef } from "../machines/messages/facts.ts";
import type { TaskResult } from "../machines/messages/result.ts";
import { hasCode, syncDirectory, type Content } from "./content.ts";

interface Append {
  readonly result: TaskResult;
  readonly line: Buffer;
  readonly done: PromiseWithResolvers<RecordRef>;
}

interface Writer {
  readonly file: FileHandle;
  sizeBytes: number;
  queue: Append[];
  draining: Promise<void> | null;
  /** The last ones by offset: whoever watches asks for them at once. */
  readonly recent: Map<number, TaskResult>;
}

const RECENT_MAX = 256;

const unknownToEarlierVersions = { limitsHit: [], denied: [], deniedTimes: 0 } as const;

const READ_BLOCK_BYTES = 1024 * 1024;

export class ResultFile {
  readonly #content: Content;
  readonly #writers = new Map<string, Promise<Writer>>();

  constructor(content: Content) {
    this.#content = content;
  }

  async append(run: string, result: TaskResult): Promise<RecordRef> {
    const writer = await this.#writer(run);
    const done = Promise.withResolvers<RecordRef>();
    writer.queue.push({ result, line: Buffer.from(`${JSON.stringify(result)}\n`), done });
    writer.draining ??= drain(writer);
    return done.promise;
  }

  /** Throws CONTENT_GONE when the run's content was deleted. */
  async read(run: string, refs: readonly RecordRef[]): Promise<TaskResult[]> {
    const recent = await this.#recent(run, refs);
    return recent ?? this.#readFile(run, refs);
  }

  /** Null unless all of them were written just now. */
  async #recent(run: string, refs: readonly RecordRef[]): Promise<TaskResult[] | null> {
    const writer = await this.#writers.get(run);
    if (writer === undefined) return null;
    const found = refs.flatMap(({ offset }) => writer.recent.get(offset) ?? []);
    return found.length === refs.length ? found : null;
  }

  async #readFile(run: string, refs: readonly RecordRef[]): Promise<TaskResult[]> {
    let file: FileHandle;
    try {
      file = await open(this.#content.resultsPath(run), "r");
    } catch (error) {
      if (hasCode(error, "ENOENT")) throw new CohortError("CONTENT_GONE", { on: `results of run ${run}`, cause: error });
      throw error;
    }
    try {
      const results: TaskResult[] = [];
      for (const { offset, bytes } of refs) {
        const line = Buffer.allocUnsafe(bytes);
        await file.read(line, 0, bytes, offset);
        results.push({ ...unknownToEarlierVersions, ...(JSON.parse(line.toString("utf8")) as TaskResult) });
      }
      return results;
    } finally {
      await file.close();
    }
  }

  /** The line that an earlier supervisor wrote for this attempt before it could say so; null if there is none. Reads the whole file. */
  async find(run: string, index: number, attempt: number): Promise<RecordRef | null> {
    const { file, sizeBytes } = await this.#writer(run);
    const wanted = `{"index":${index},`;
    let offset = 0;
    for await (const line of lines(file, sizeBytes)) {
      const text = line.toString("utf8");
      if (text.startsWith(wanted) && (JSON.parse(text) as TaskResult).attempt === attempt) return { offset, bytes: line.length };
      offset += line.length;
    }
    return null;
  }

  async close(run: string): Promise<void> {
    const opening = this.#writers.get(run);
    this.#writers.delete(run);
    if (opening === undefined) return;
    const writer = await opening;
    await writer.draining;
    await writer.file.close();
  }

  async closeAll(): Promise<void> {
    for (const run of [...this.#writers.keys()]) await this.close(run);
  }

  #writer(run: string): Promise<Writer> {
    const known = this.#writers.get(run);
    if (known !== undefined) return known;
    const opening = openWriter(this.#content.resultsPath(run));
    this.#writers.set(run, opening);
    opening.catch(() => this.#writers.delete(run));
    return opening;
  }
}

async function openWriter(path: string): Promise<Writer> {
  const file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_APPEND, 0o600);
  const { size } = await file.stat();
  let sizeBytes = 0;
  for await (const line of lines(file, size)) if (line.at(-1) === 0x0a) sizeBytes += line.length;
  if (sizeBytes < size) await file.truncate(sizeBytes);
  if (size === 0) await syncDirectory(dirname(path));
  return { file, sizeBytes, queue: [], draining: null, recent: new Map() };
}

async function drain(writer: Writer): Promise<void> {
  while (writer.queue.length > 0) {
    const batch = writer.queue;
    writer.queue = [];
    try {
      await writer.file.appendFile(Buffer.concat(batch.map(({ line }) => line)));
      await writer.file.datasync();
      for (const { result, line, done } of batch) {
        writer.recent.set(writer.sizeBytes, result);
        done.resolve({ offset: writer.sizeBytes, bytes: line.length });
        writer.sizeBytes += line.length;
      }
      for (const offset of writer.recent.keys()) if (writer.recent.size > RECENT_MAX) writer.recent.delete(offset);
    } catch (error) {
      const reason = await cutBack(writer, error);
      for (const { done } of batch) done.reject(reason);
    }
  }
  writer.draining = null;
}

async function cutBack(writer: Writer, error: unknown): Promise<unknown> {
  try {
    await writer.file.truncate(writer.sizeBytes);
  } catch (cause) {
    return new CohortError("INTERNAL", { on: "results.jsonl can neither be written nor cut", cause });
  }
  return hasCode(error, "ENOSPC") || hasCode(error, "EDQUOT") ? new CohortError("JOURNAL_FULL", { on: "results", cause: error }) : error;
}

/** Each with its newline; the last one perhaps without. */
async function* lines(file: FileHandle, sizeBytes: number): AsyncGenerator<Buffer> {
  let carried: Buffer = Buffer.alloc(0);
  for (let position = 0; position < sizeBytes;) {
    const block = Buffer.allocUnsafe(Math.min(READ_BLOCK_BYTES, sizeBytes - position));
    const { bytesRead } = await file.read(block, 0, block.length, position);
    if (bytesRead === 0) break;
    position += bytesRead;
    const text: Buffer = Buffer.concat([carried, block.subarray(0, bytesRead)]);
    let start = 0;
    for (let newline = text.indexOf(0x0a); newline >= 0; newline = text.indexOf(0x0a, start)) {
      yield text.subarray(start, newline + 1);
      start = newline + 1;
    }
    carried = text.subarray(start);
  }
  if (carried.length > 0) yield carried;
}
