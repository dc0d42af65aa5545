/**
 * Owns the state of reading one collect archive (docs/design/wire.md), as its bytes come. The archive is written inside the sandbox: hostile.
 * Does not own files: what it yields is for the caller to write.
 *
 * 1. Between a `file` and its `fileEnd` come exactly sizeBytes of `data`; a path comes at most once and is never a directory of another.
 * 2. Never more than bytesMax of data and filesMax of files; more is an archive that the honest side did not write.
 * 3. Memory is bounded by NAMES_BYTES_MAX of paths; content is passed on as views of the chunk, unbuffered.
 * 4. Only an archive with its end record, and nothing behind it, is complete.
 */
import { CohortError } from "../runtime/kernel/error.ts";
import { COLLECT_PATH_BYTES_MAX, readCollectPath } from "./collect-path.ts";

/** A walk of a million files over the limit names each; beyond this it is a flood. */
const SKIPPED_RECORDS_MAX = 2_000_000;
/** Further ones are counted, not named. */
const SKIPPED_NAMED_MAX = 1000;
/** Of all names and directories together: 100,000 files with names of 300 bytes. */
const NAMES_BYTES_MAX = 32 * 1024 * 1024;
const MODE_MASK = 0o777;

const skipReasons = ["not-a-file", "over-max-bytes", "over-max-files", "unreadable", "name-too-long", "too-deep"] as const;
export type SkipReason = (typeof skipReasons)[number];

export type CollectEvent =
  | { readonly type: "file"; readonly path: string; readonly mode: number; readonly sizeBytes: number }
  | { readonly type: "data"; readonly bytes: Uint8Array }
  | { readonly type: "fileEnd"; readonly path: string }
  | { readonly type: "skipped"; readonly path: string; readonly reason: SkipReason };

export interface CollectLimits {
  readonly bytesMax: number;
  readonly filesMax: number;
}

type Expecting = "kind" | "pathLength" | "path" | "fileTail" | "skipTail" | "content" | "nothing";

export class CollectArchive {
  readonly #limits: CollectLimits;
  readonly #field = Buffer.alloc(COLLECT_PATH_BYTES_MAX);
  #fieldBytes = 0;
  #wanted = 1;
  #expecting: Expecting = "kind";
  #isFile = false;
  #pathBytes: Buffer = Buffer.alloc(0);
  /** The file whose content comes now; null: its content is dropped. */
  #openPath: string | null = null;
  #contentLeft = 0;
  readonly #files = new Set<string>();
  readonly #directories = new Set<string>();
  #namesBytes = 0;
  #bytes = 0;
  #fileRecords = 0;
  #skippedRecords = 0;

  constructor(limits: CollectLimits) {
    this.#limits = limits;
  }

  /** How many `skipped` were not named, because there were too many. */
  get skippedUnnamed(): number {
    return Math.max(0, this.#skippedRecords - SKIPPED_NAMED_MAX);
  }

  /** Throws COLLECT_INVALID; then nothing of the archive is to be trusted. */
  push(chunk: Uint8Array): readonly CollectEvent[] {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const events: CollectEvent[] = [];
    let position = 0;
    while (position < bytes.length) {
      if (this.#expecting === "nothing") throw invalid("bytes behind the end record");
      if (this.#expecting === "content") {
        const part = bytes.subarray(position, position + this.#contentLeft);
        position += part.length;
        this.#contentLeft -= part.length;
        if (this.#openPath !== null) events.push({ type: "data", bytes: part });
        if (this.#contentLeft === 0) this.#endFile(events);
        continue;
      }
      const copied = bytes.copy(this.#field, this.#fieldBytes, position, position + this.#wanted - this.#fieldBytes);
      position += copied;
      this.#fieldBytes += copied;
      if (this.#fieldBytes < this.#wanted) break;
      this.#fieldBytes = 0;
      this.#take(this.#expecting, this.#field.subarray(0, this.#wanted), events);
    }
    return events;
  }

  /** Call it when the stream ended. Throws COLLECT_INVALID when the end record is missing. */
  end(): void {
    if (this.#expecting !== "nothing") throw invalid("its end record is missing");
  }

  #expect(expecting: Expecting, wanted: number): void {
    this.#expecting = expecting;
    this.#wanted = wanted;
  }

  #take(expecting: Exclude<Expecting, "content" | "nothing">, field: Buffer, events: CollectEvent[]): void {
    switch (expecting) {
      case "kind": {
        const kind = field.readUInt8(0);
        if (kind > 2) throw invalid(`a record of kind ${kind}`);
        this.#isFile = kind === 1;
        return kind === 0 ? this.#expect("nothing", 0) : this.#expect("pathLength", 2);
      }
      case "pathLength": {
        const length = field.readUInt16BE(0);
        if (length === 0 || length > COLLECT_PATH_BYTES_MAX) throw invalid(`a path of ${length} bytes`);
        return this.#expect("path", length);
      }
      case "path":
        this.#pathBytes = Buffer.from(field);
        return this.#isFile ? this.#expect("fileTail", 12) : this.#expect("skipTail", 1);
      case "fileTail":
        return this.#startFile(field.readUInt32BE(0), field.readBigUInt64BE(4), events);
      case "skipTail": {
        const reason = skipReasons[field.readUInt8(0) - 1];
        if (reason === undefined) throw invalid(`skipped for reason ${field.readUInt8(0)}`);
        this.#skip(this.#usablePath().path, reason, events);
        return this.#expect("kind", 1);
      }
      default:
        return expecting satisfies never;
    }
  }

  #startFile(mode: number, size: bigint, events: CollectEvent[]): void {
    const path = this.#usablePath();
    this.#fileRecords += 1;
    if (this.#fileRecords > this.#limits.filesMax) throw invalid(`more than ${this.#limits.filesMax} files`);
    if (size > BigInt(this.#limits.bytesMax - this.#bytes)) throw invalid(`more than ${this.#limits.bytesMax} bytes`);
    const sizeBytes = Number(size);
    this.#bytes += sizeBytes;
    if (path.type === "safe") {
      this.#claim(path.path);
      this.#openPath = path.path;
      events.push({ type: "file", path: path.path, mode: mode & MODE_MASK, sizeBytes });
    } else {
      this.#openPath = null;
      this.#skip(path.path, path.reason, events);
    }
    this.#contentLeft = sizeBytes;
    this.#expect("content", 0);
    if (sizeBytes === 0) this.#endFile(events);
  }

  #endFile(events: CollectEvent[]): void {
    if (this.#openPath !== null) events.push({ type: "fileEnd", path: this.#openPath });
    this.#openPath = null;
    this.#expect("kind", 1);
  }

  #usablePath(): Exclude<ReturnType<typeof readCollectPath>, { readonly type: "forged" }> {
    const path = readCollectPath(this.#pathBytes);
    if (path.type === "forged") throw invalid(path.why);
    return path;
  }

  /** A tree has each path once, as a file or as a directory. */
  #claim(path: string): void {
    if (this.#files.has(path) || this.#directories.has(path)) throw invalid(`${JSON.stringify(path)} twice`);
    for (let slash = path.indexOf("/"); slash >= 0; slash = path.indexOf("/", slash + 1)) {
      const directory = path.slice(0, slash);
      if (this.#files.has(directory)) throw invalid(`${JSON.stringify(directory)} as a file and as a directory`);
      if (!this.#directories.has(directory)) this.#countName(directory);
      this.#directories.add(directory);
    }
    this.#countName(path);
    this.#files.add(path);
  }

  #countName(name: string): void {
    this.#namesBytes += name.length;
    if (this.#namesBytes > NAMES_BYTES_MAX) throw invalid(`more than ${NAMES_BYTES_MAX} bytes of names`);
  }

  #skip(path: string, reason: SkipReason, events: CollectEvent[]): void {
    this.#skippedRecords += 1;
    if (this.#skippedRecords > SKIPPED_RECORDS_MAX) throw invalid(`more than ${SKIPPED_RECORDS_MAX} files skipped`);
    if (this.#skippedRecords <= SKIPPED_NAMED_MAX) events.push({ type: "skipped", path, reason });
  }
}

function invalid(on: string): CohortError {
  return new CohortError("COLLECT_INVALID", { on });
}
