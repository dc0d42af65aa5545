/**
 * Owns one transcript file while it grows: which bytes of which stream it holds.
 * Does not own who produces them, nor live subscribers.
 *
 * 1. Each byte of a stream stands in the file once and in order: what is there already is dropped, a gap is refused.
 * 2. append resolves after write(2) returned: the death of this process loses nothing that resolved.
 * 3. sync resolves after fdatasync (and, for a new file, fsync of its directory): a power cut loses nothing before it.
 * 4. After a failed write the file is cut back to its last whole record and the offsets to what stands there; a retry can succeed.
 * 5. digest() covers every byte of the file, whoever wrote it.
 * 6. Appends of one piece of work, and those that come during a write, leave in one write.
 */
import { createHash, type Hash } from "node:crypto";
import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { CohortError } from "../kernel/error.ts";
import { encodeRecord, isStreamName, RECORD_DATA_BYTES_MAX } from "./record.ts";
import { scanTranscript } from "./scan.ts";

/** Producers wait for their appends, so this is only reached by one that does not. */
const QUEUE_BYTES_MAX = 64 * 1024 * 1024;

const HASH_BLOCK_BYTES = 256 * 1024;

interface Append {
  readonly stream: string;
  readonly end: number;
  readonly lines: string;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class TranscriptWriter {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #now: () => number;
  /** What the file holds, and what it will hold when the queue is written. */
  readonly #written: Map<string, number>;
  #accepted: Map<string, number>;
  #sizeBytes: number;
  /** Of what stands in the file; null where an earlier writer began it, until it is asked for. */
  #hash: Hash | null;
  #queue: Append[] = [];
  #queueBytes = 0;
  #draining: Promise<void> | null = null;
  #directorySynced = false;
  #closed = false;
  /** Set when the file can neither be written nor cut: it takes no more. */
  #broken: Error | null = null;

  private constructor(path: string, file: FileHandle, sizeBytes: number, written: Map<string, number>, now: () => number) {
    this.#path = path;
    this.#file = file;
    this.#sizeBytes = sizeBytes;
    this.#hash = sizeBytes === 0 ? createHash("sha256") : null;
    this.#written = written;
    this.#accepted = new Map(written);
    this.#now = now;
  }

  /** Creates the file 0600, or takes up an existing one: cuts its torn tail, knows its offsets. */
  static async open(path: string, now: () => number = Date.now): Promise<TranscriptWriter> {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;
    try {
      // Nearly every transcript is new, and then there is nothing to look for.
      return new TranscriptWriter(path, await explained(path, () => open(path, flags | constants.O_EXCL, 0o600)), 0, new Map(), now);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    }
    const file = await explained(path, () => open(path, flags, 0o600));
    try {
      const offsets = new Map<string, number>();
      let end = 0;
      for await (const block of scanTranscript(file)) {
        for (const record of block.records) offsets.set(record.stream, record.offset + record.bytes.length);
        end = block.end;
      }
      if ((await file.stat()).size > end) await file.truncate(end);
      return new TranscriptWriter(path, file, end, offsets, now);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Where the next new byte of this stream begins: everything before was written. */
  nextOffset(stream: string): number {
    return this.#written.get(stream) ?? 0;
  }

  /** Rejects with INTERNAL for a gap, JOURNAL_FULL when the disk is full. Bytes that stand there already are dropped. */
  append(stream: string, offset: number, bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw new CohortError("INTERNAL", { on: `append to ${this.#path} after close` });
      if (this.#broken !== null) throw this.#broken;
      if (!isStreamName(stream)) throw new CohortError("INTERNAL", { on: `${JSON.stringify(stream)} is no name of a stream` });
      const next = this.#accepted.get(stream) ?? 0;
      if (offset > next) throw new CohortError("INTERNAL", { on: `${stream} of ${this.#path} has a gap from ${next} to ${offset}` });
      if (this.#queueBytes > QUEUE_BYTES_MAX)
        throw new CohortError("MAILBOX_FULL", { on: `${this.#queueBytes} bytes wait for ${this.#path}` });
      const fresh = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).subarray(next - offset);
      const end = next + fresh.length;
      const lines = encodeLines(this.#now(), stream, next, fresh);
      this.#accepted.set(stream, end);
      // A duplicate waits like the rest: the bytes it repeats may still be in the queue.
      this.#queue.push({ stream, end, lines, resolve, reject });
      this.#queueBytes += lines.length;
      this.#draining ??= this.#drain();
    });
  }

  async sync(): Promise<void> {
    await this.#draining;
    await explained(this.#path, async () => {
      await this.#file.datasync();
      if (!this.#directorySynced) await syncDirectory(dirname(this.#path));
    });
    this.#directorySynced = true;
  }

  /** Of the whole file, after what was accepted is written. */
  async digest(): Promise<{ readonly bytes: number; readonly sha256: string }> {
    await this.#draining;
    this.#hash ??= await this.#hashed();
    return { bytes: this.#sizeBytes, sha256: this.#hash.copy().digest("hex") };
  }

  async #hashed(): Promise<Hash> {
    const hash = createHash("sha256");
    const block = Buffer.allocUnsafe(HASH_BLOCK_BYTES);
    for (let position = 0; position < this.#sizeBytes;) {
      const { bytesRead } = await this.#file.read(block, 0, Math.min(block.length, this.#sizeBytes - position), position);
      if (bytesRead === 0) throw new CohortError("INTERNAL", { on: `${this.#path} was cut while it was read` });
      hash.update(block.subarray(0, bytesRead));
      position += bytesRead;
    }
    return hash;
  }

  /** Writes what was accepted, then closes. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#draining;
    await this.#file.close();
  }

  async #drain(): Promise<void> {
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#queue;
      this.#queue = [];
      this.#queueBytes = 0;
      try {
        await this.#write(Buffer.from(batch.map((append) => append.lines).join("")));
      } catch (error) {
        await this.#fail(batch, error);
        continue;
      }
      for (const append of batch) {
        this.#written.set(append.stream, append.end);
        append.resolve();
      }
    }
    this.#draining = null;
  }

  async #write(bytes: Buffer): Promise<void> {
    let position = 0;
    while (position < bytes.length) {
      const { bytesWritten } = await this.#file.write(bytes, position, bytes.length - position, null);
      position += bytesWritten;
    }
    this.#sizeBytes += bytes.length;
    this.#hash?.update(bytes);
  }

  /** Whatever waited behind the failed batch would leave a gap: it is refused too. */
  async #fail(batch: readonly Append[], cause: unknown): Promise<void> {
    let reason = explain(this.#path, cause);
    try {
      await this.#file.truncate(this.#sizeBytes);
    } catch (error) {
      // More appends would stand behind the torn record, where no reader goes.
      reason = this.#broken = new CohortError("INTERNAL", { on: `${this.#path} can neither be written nor cut`, cause: error });
    }
    const refused = [...batch, ...this.#queue];
    this.#queue = [];
    this.#queueBytes = 0;
    this.#accepted = new Map(this.#written);
    for (const append of refused) append.reject(reason);
  }
}

function encodeLines(atMs: number, stream: string, offset: number, bytes: Buffer): string {
  let lines = "";
  for (let position = 0; position < bytes.length; position += RECORD_DATA_BYTES_MAX) {
    lines += encodeRecord(atMs, stream, offset + position, bytes.subarray(position, position + RECORD_DATA_BYTES_MAX));
  }
  return lines;
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function explain(path: string, error: unknown): Error {
  if (!(error instanceof Error)) return new CohortError("INTERNAL", { on: path, cause: error });
  const code = "code" in error ? error.code : undefined;
  return code === "ENOSPC" || code === "EDQUOT" ? new CohortError("JOURNAL_FULL", { on: path, cause: error }) : error;
}

async function explained<T>(path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw explain(path, error);
  }
}
