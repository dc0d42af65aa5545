/**
 * Owns denials.jsonl of the runs in which something was refused lately: a line for each refusal that the journal refers to, with the words that
 * the journal does not keep.
 *
 * 1. Lines are whole or not there: what a crash cut off is never referred to.
 * 2. Nothing is synced. It is advice, and a line that was lost reads as "not known".
 */
import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { z } from "zod";
import { CohortError } from "../runtime/kernel/error.ts";
import type { RecordRef } from "../machines/messages/facts.ts";
import { hasCode, type Content } from "./content.ts";

const lineSchema = z.object({ pid: z.number(), program: z.string(), call: z.string(), detail: z.string() });
export type DeniedWords = z.infer<typeof lineSchema>;

/** Of a refusal whose line is gone. */
const unknownWords: DeniedWords = { pid: 0, program: "", call: "", detail: "" };

interface Writer {
  readonly file: FileHandle;
  sizeBytes: number;
  queue: Promise<unknown>;
}

export class DenialFile {
  readonly #content: Content;
  readonly #writers = new Map<string, Promise<Writer>>();

  constructor(content: Content) {
    this.#content = content;
  }

  async append(run: string, words: DeniedWords): Promise<RecordRef> {
    const writer = await this.#writer(run);
    const line = Buffer.from(`${JSON.stringify(words)}\n`);
    const written = writer.queue.then(async () => {
      await writer.file.write(line, 0, line.length, writer.sizeBytes);
      const ref = { offset: writer.sizeBytes, bytes: line.length };
      writer.sizeBytes += line.length;
      return ref;
    });
    writer.queue = written.catch(() => undefined);
    return written;
  }

  async read(run: string, { offset, bytes }: RecordRef): Promise<DeniedWords> {
    try {
      await using file = await open(this.#content.denialsPath(run), "r");
      const line = Buffer.alloc(bytes);
      await file.read(line, 0, bytes, offset);
      return lineSchema.parse(JSON.parse(line.toString("utf8")));
    } catch (error) {
      if (hasCode(error, "ENOENT") || error instanceof SyntaxError || error instanceof z.ZodError) return unknownWords;
      throw error;
    }
  }

  async close(run: string): Promise<void> {
    const opening = this.#writers.get(run);
    this.#writers.delete(run);
    if (opening === undefined) return;
    const writer = await opening;
    await writer.queue;
    await writer.file.close();
  }

  async closeAll(): Promise<void> {
    for (const run of [...this.#writers.keys()]) await this.close(run);
  }

  #writer(run: string): Promise<Writer> {
    const known = this.#writers.get(run);
    if (known !== undefined) return known;
    const opening = openWriter(this.#content.denialsPath(run));
    this.#writers.set(run, opening);
    opening.catch(() => this.#writers.delete(run));
    return opening;
  }
}

async function openWriter(path: string): Promise<Writer> {
  try {
    const file = await open(path, constants.O_WRONLY | constants.O_CREAT, 0o600);
    return { file, sizeBytes: (await file.stat()).size, queue: Promise.resolve() };
  } catch (error) {
    if (hasCode(error, "ENOENT")) throw new CohortError("CONTENT_GONE", { on: path, cause: error });
    throw error;
  }
}
