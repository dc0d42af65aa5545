/**
 * Owns results.jsonl of every run that is being written: one line per settled attempt, with previews and file lists, and where each begins.
 * Does not own which line counts: the journal refers to lines by offset.
 *
 * 1. append resolves after fdatasync; appends of one moment share one. What attach answers is durable with the outcome that carries it.
 * 2. What an interrupted append left behind is cut off at the next opening: lines are whole.
 * 3. A line that the journal does not refer to is harmless, and so is the place of one that was never written: it reads as NULs.
 */
import { hash } from "node:crypto";
import { constants, existsSync } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { CohortError } from "../runtime/kernel/error.ts";
import type { FileWrite } from "../runtime/contract.ts";
import { resultHandle } from "../machines/content-handle.ts";
import type { RecordRef } from "../machines/messages/facts.ts";
import type { TaskResult } from "../machines/messages/result.ts";
import { hasCode, syncDirectory, type Content } from "./content.ts";

interface Append {
  readonly line: Buffer;
  readonly offset: number;
  readonly done: PromiseWithResolvers<void>;
}

interface Writer {
  readonly path: string;
  /** Opened by the first append of its own. */
  file: FileHandle | null;
  /** With what is still on its way. */
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

  /** For what must be on the disk before the outcome is. */
  async append(run: string, result: TaskResult): Promise<RecordRef> {
    const writer = await this.#writer(run);
    const { line, ref } = place(writer, result);
    const done = Promise.withResolvers<void>();
    writer.queue.push({ line, offset: ref.offset, done });
    writer.draining ??= drain(writer);
    await done.promise;
    return ref;
  }

  /** Hands the line to whoever commits the outcome; readable by its reference from that commit on. */
  async attach(run: string, result: TaskResult, attach: (file: FileWrite) => void): Promise<RecordRef> {
    const { line, ref } = place(await this.#writer(run), result);
    attach({ path: this.#content.resultsName(run), offset: ref.offset, bytes: line, fresh: false });
    return ref;
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
    const lines = await this.#readLines(run, refs);
    return lines.map((line) => {
      const result = JSON.parse(line.toString("utf8")) as TaskResult;
      return { ...unknownToEarlierVersions, ...result, handle: resultHandle(run, result.index, result.attempt) };
    });
  }

  async #readLines(run: string, refs: readonly RecordRef[]): Promise<Buffer[]> {
    let file: FileHandle;
    try {
      file = await open(this.#content.resultsPath(run), "r");
    } catch (error) {
      if (!hasCode(error, "ENOENT")) throw error;
      // Deleted is what the whole run is.
      if (existsSync(this.#content.runDirectory(run)))
        throw new CohortError("JOURNAL_FULL", { on: `results of run ${run} wait for space` });
      throw new CohortError("CONTENT_GONE", { on: `results of run ${run}`, cause: error });
    }
    try {
      const found: Buffer[] = [];
      for (const { offset, bytes } of refs) {
        const line = Buffer.allocUnsafe(bytes);
        const { bytesRead } = await file.read(line, 0, bytes, offset);
        // It stands in the journal, and is written here as soon as there is room.
        if (bytesRead < bytes) throw new CohortError("JOURNAL_FULL", { on: `a result of run ${run} waits for space` });
        found.push(line);
      }
      return found;
    } finally {
      await file.close();
    }
  }

  /** As it stands in the file. Throws CONTENT_GONE, or JOURNAL_FULL where it waits for space. */
  async line(run: string, ref: RecordRef): Promise<Buffer> {
    const [line] = await this.#readLines(run, [ref]);
    if (line === undefined) throw new CohortError("CONTENT_GONE", { on: `results of run ${run}` });
    return line;
  }

  /** The line that an earlier supervisor wrote for this attempt before it could say so; null if there is none. Reads the whole file. */
  async find(run: string, index: number, attempt: number): Promise<RecordRef | null> {
    const writer = await this.#writer(run);
    const file = await opened(writer);
    const wanted = `{"index":${index},`;
    let offset = 0;
    for await (const line of lines(file, writer.sizeBytes)) {
      const begin = Math.max(
        0,
        line.findIndex((byte) => byte !== 0),
      );
      const text = line.toString("utf8", begin);
      if (text.startsWith(wanted) && (JSON.parse(text) as TaskResult).attempt === attempt)
        return { offset: offset + begin, bytes: line.length - begin, sha256: sha256(line.subarray(begin)) };
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
    await writer.file?.close();
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

function sha256(line: Uint8Array): string {
  return hash("sha256", line, "hex");
}

function place(writer: Writer, result: TaskResult): { readonly line: Buffer; readonly ref: RecordRef } {
  const line = Buffer.from(`${JSON.stringify(result)}\n`);
  const ref = { offset: writer.sizeBytes, bytes: line.length, sha256: sha256(line) };
  writer.sizeBytes += line.length;
  writer.recent.set(ref.offset, result);
  for (const offset of writer.recent.keys()) {
    if (writer.recent.size <= RECENT_MAX) break;
    writer.recent.delete(offset);
  }
  return { line, ref };
}

/** A run of this supervisor has no results yet; those of an earlier one are looked at. */
async function openWriter(path: string): Promise<Writer> {
  const writer: Writer = { path, file: null, sizeBytes: 0, queue: [], draining: null, recent: new Map() };
  if (!existsSync(path)) return writer;
  const file = await opened(writer);
  const { size } = await file.stat();
  for await (const line of lines(file, size)) if (line.at(-1) === 0x0a) writer.sizeBytes += line.length;
  if (writer.sizeBytes < size) await file.truncate(writer.sizeBytes);
  return writer;
}

async function opened(writer: Writer): Promise<FileHandle> {
  if (writer.file !== null) return writer.file;
  const isNew = !existsSync(writer.path);
  const file = await open(writer.path, constants.O_RDWR | constants.O_CREAT, 0o600);
  if (isNew) await syncDirectory(dirname(writer.path));
  // Two at once: the first one stays.
  if (writer.file !== null) await file.close();
  return (writer.file ??= file);
}

async function drain(writer: Writer): Promise<void> {
  while (writer.queue.length > 0) {
    const batch = writer.queue;
    writer.queue = [];
    try {
      const file = await opened(writer);
      for (const { line, offset } of batch) {
        const { bytesWritten } = await file.write(line, 0, line.length, offset);
        if (bytesWritten < line.length) throw new CohortError("JOURNAL_FULL", { on: "results" });
      }
      await file.datasync();
      for (const { done } of batch) done.resolve();
    } catch (error) {
      const full = hasCode(error, "ENOSPC") || hasCode(error, "EDQUOT");
      for (const { done } of batch) done.reject(full ? new CohortError("JOURNAL_FULL", { on: "results", cause: error }) : error);
    }
  }
  writer.draining = null;
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
