/**
 * Owns the state of reading one archive of a staged diff (docs/design/staged.md), as its bytes come. The archive is written inside the sandbox: hostile.
 * Does not own the archive's bytes: they are kept as they are, and an entry says where its content stands in them.
 *
 * 1. A path comes at most once; entries have the numbers that cohort-apply counts them with.
 * 2. Memory is bounded: ENTRIES_MAX entries, NAMES_BYTES_MAX of paths and links, no content.
 * 3. Only an archive with its end record, and nothing behind it, is complete.
 */
import { CohortError } from "../runtime/kernel/error.ts";
import { COLLECT_PATH_BYTES_MAX, escapePath, readCollectPath } from "./collect-path.ts";

export const STAGED_ENTRIES_MAX = 200_000;
const NAMES_BYTES_MAX = 64 * 1024 * 1024;
const MAGIC = Buffer.from("cohort-diff 1\n");
const BEFORE_BYTES = 62;
const FLAG_CONFLICT = 1;
const FLAG_MOVED = 2;
const END_TRUNCATED = 1;

const records = ["end", "file", "directory", "symlink", "deleted", "mode", "refused"] as const;
const kinds = ["absent", "file", "directory", "symlink", "other"] as const;
const refusals = [
  "a FIFO",
  "a device",
  "a socket",
  "a set-user-id or set-group-id file",
  "unreadable",
  "its name is too long",
  "too deep",
  "over the limit of bytes",
  "over the limit of files",
] as const;

export type StagedRecord = Exclude<(typeof records)[number], "end">;
export type StagedKind = (typeof kinds)[number];

export interface StagedEntry {
  readonly number: number;
  readonly record: StagedRecord;
  /** Relative; bytes that are not UTF-8 stand as \\xNN. */
  readonly path: string;
  /** The source changed underneath after the child had taken it up. */
  readonly conflict: boolean;
  /** It came here with a directory that the child renamed. */
  readonly moved: boolean;
  /** What the source had there when the diff was made. */
  readonly before: { readonly kind: StagedKind; readonly mode: number; readonly sizeBytes: number; readonly sha256: string };
  readonly mode: number;
  readonly sizeBytes: number;
  /** Where the content of a file begins in the archive. */
  readonly contentAt: number;
  readonly link: string;
  /** Why it cannot be applied; empty for all but `refused`. */
  readonly refusal: string;
}

type Draft = { -readonly [K in keyof StagedEntry]: StagedEntry[K] };
type Expecting =
  | "magic"
  | "record"
  | "pathLength"
  | "path"
  | "before"
  | "number"
  | "size"
  | "linkLength"
  | "link"
  | "refusal"
  | "end"
  | "content"
  | "nothing";

export class StagedArchive {
  readonly entries: StagedEntry[] = [];
  /** Something was left out: it shows what there is, but is not to be applied. */
  truncated = false;
  readonly #paths = new Set<string>();
  #namesBytes = 0;
  readonly #field = Buffer.alloc(COLLECT_PATH_BYTES_MAX);
  #fieldBytes = 0;
  #expecting: Expecting = "magic";
  #wanted = MAGIC.length;
  #position = 0;
  #contentLeft = 0;
  #entry: Draft = emptyEntry(0);

  /** Content bytes that come next and need not be given: `skip` passes over them. */
  get skippable(): number {
    return this.#expecting === "content" ? this.#contentLeft : 0;
  }

  skip(bytes: number): void {
    if (bytes === 0) return;
    if (bytes > this.skippable) throw invalid("content that is not there");
    this.#position += bytes;
    this.#contentLeft -= bytes;
    if (this.#contentLeft === 0) this.#expect("record", 1);
  }

  /** Throws STAGED_INVALID; then nothing of the archive is to be trusted. */
  push(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    for (let position = 0; position < bytes.length;) {
      if (this.#expecting === "nothing") throw invalid("bytes behind the end record");
      if (this.#expecting === "content") {
        const part = Math.min(this.#contentLeft, bytes.length - position);
        position += part;
        this.skip(part);
        continue;
      }
      const copied = bytes.copy(this.#field, this.#fieldBytes, position, position + this.#wanted - this.#fieldBytes);
      position += copied;
      this.#position += copied;
      this.#fieldBytes += copied;
      if (this.#fieldBytes < this.#wanted) break;
      this.#fieldBytes = 0;
      this.#take(this.#expecting, this.#field.subarray(0, this.#wanted));
    }
  }

  /** Call it when the stream ended. Throws STAGED_INVALID when the end record is missing. */
  end(): void {
    if (this.#expecting !== "nothing") throw invalid("its end record is missing");
  }

  #expect(expecting: Expecting, wanted: number): void {
    this.#expecting = expecting;
    this.#wanted = wanted;
  }

  #take(expecting: Exclude<Expecting, "content" | "nothing">, field: Buffer): void {
    const entry = this.#entry;
    switch (expecting) {
      case "magic":
        if (!field.equals(MAGIC)) throw invalid("another format");
        return this.#expect("record", 1);
      case "record":
        return this.#begin(field.readUInt8(0));
      case "pathLength":
      case "linkLength":
        return this.#expect(expecting === "pathLength" ? "path" : "link", textLength(field.readUInt16BE(0)));
      case "path":
        entry.path = this.#uniquePath(field);
        return this.#expect("before", BEFORE_BYTES);
      case "before":
        return this.#before(field);
      case "number":
        entry.mode = field.readUInt32BE(0) & 0o777;
        return entry.record === "file" ? this.#expect("size", 8) : this.#finish();
      case "size":
        return this.#content(field.readBigUInt64BE(0));
      case "link":
        entry.link = this.#link(field);
        return this.#finish();
      case "refusal":
        entry.refusal = refusals[field.readUInt8(0) - 1] ?? "";
        if (entry.refusal === "") throw invalid(`refused for reason ${field.readUInt8(0)}`);
        return this.#finish();
      case "end":
        this.truncated = (field.readUInt8(0) & END_TRUNCATED) !== 0;
        return this.#expect("nothing", 0);
      default:
        return expecting satisfies never;
    }
  }

  #begin(kind: number): void {
    const record = records[kind];
    if (record === undefined) throw invalid(`a record of kind ${kind}`);
    if (record === "end") return this.#expect("end", 1);
    if (this.entries.length >= STAGED_ENTRIES_MAX) throw invalid(`more than ${STAGED_ENTRIES_MAX} entries`);
    this.#entry = { ...emptyEntry(this.entries.length), record };
    this.#expect("pathLength", 2);
  }

  #before(field: Buffer): void {
    const entry = this.#entry;
    const flags = field.readUInt8(0);
    const kind = kinds[field.readUInt8(1)];
    if (kind === undefined) throw invalid(`a file of kind ${field.readUInt8(1)}`);
    const size = field.readBigUInt64BE(6);
    if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw invalid(`a source of ${size} bytes`);
    entry.conflict = (flags & FLAG_CONFLICT) !== 0;
    entry.moved = (flags & FLAG_MOVED) !== 0;
    entry.before = { kind, mode: field.readUInt32BE(2) & 0o777, sizeBytes: Number(size), sha256: field.toString("hex", 30, 62) };
    if (entry.record === "file" || entry.record === "directory" || entry.record === "mode") return this.#expect("number", 4);
    if (entry.record === "symlink") return this.#expect("linkLength", 2);
    return entry.record === "refused" ? this.#expect("refusal", 1) : this.#finish();
  }

  #content(size: bigint): void {
    if (size > BigInt(Number.MAX_SAFE_INTEGER - this.#position)) throw invalid(`a file of ${size} bytes`);
    this.#entry.sizeBytes = Number(size);
    this.#entry.contentAt = this.#position;
    this.#finish();
    if (size > 0n) this.#expect("content", 0);
    this.#contentLeft = Number(size);
  }

  #finish(): void {
    this.entries.push(this.#entry);
    this.#expect("record", 1);
  }

  #uniquePath(bytes: Buffer): string {
    const read = readCollectPath(bytes);
    if (read.type === "forged") throw invalid(read.why);
    if (this.#paths.has(read.path)) throw invalid(`${JSON.stringify(read.path)} twice`);
    this.#paths.add(read.path);
    return this.#counted(read.path);
  }

  /** May lead anywhere: cohort-apply refuses what leads out. */
  #link(bytes: Buffer): string {
    if (bytes.includes(0)) throw invalid("a link with a NUL");
    return this.#counted(escapePath(bytes));
  }

  #counted(text: string): string {
    this.#namesBytes += text.length;
    if (this.#namesBytes > NAMES_BYTES_MAX) throw invalid(`more than ${NAMES_BYTES_MAX} bytes of names`);
    return text;
  }
}

function emptyEntry(number: number): Draft {
  const before = { kind: "absent", mode: 0, sizeBytes: 0, sha256: "" } as const;
  return {
    number,
    record: "deleted",
    path: "",
    conflict: false,
    moved: false,
    before,
    mode: 0,
    sizeBytes: 0,
    contentAt: 0,
    link: "",
    refusal: "",
  };
}

function textLength(length: number): number {
  if (length === 0 || length > COLLECT_PATH_BYTES_MAX) throw invalid(`a text of ${length} bytes`);
  return length;
}

function invalid(on: string): CohortError {
  return new CohortError("STAGED_INVALID", { on });
}
