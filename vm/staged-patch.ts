/** Unified diffs of the text files of a staged diff, bounded in every direction. Reads the archive and the source; changes nothing. */
import { createHash } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { isUtf8 } from "node:buffer";
import { join } from "node:path";
import { createTwoFilesPatch } from "diff";
import type { StagedEntry } from "./staged-archive.ts";
import { openArchive } from "./staged-listing.ts";

/** Larger files are told by their size: nobody reads such a diff, and comparing takes quadratic time. */
const FILE_BYTES_MAX = 512 * 1024;
/** Of one comparison; what differs wholly is shown as wholly different. */
const FILE_MS_MAX = 500;
const NUL = 0;

export interface PatchRequest {
  readonly archive: string;
  /** The directory on this machine. */
  readonly source: string;
  readonly entries: readonly StagedEntry[];
  readonly charsMax: number;
}

/** Of each text file, in the order of the entries; ends with a line that says so when not all of it fits. */
export function stagedPatch(request: PatchRequest): string {
  const file = openArchive(request.archive);
  let patch = "";
  let left = 0;
  try {
    for (const entry of request.entries) {
      if (left > 0) {
        left += 1;
        continue;
      }
      const piece = pieceOf(file, request.source, entry);
      if (patch.length + piece.length > request.charsMax) left += 1;
      else patch += piece;
    }
  } finally {
    closeSync(file);
  }
  return left === 0 ? patch : `${patch}# ${left} more not shown\n`;
}

function pieceOf(archive: number, source: string, entry: StagedEntry): string {
  const name = quoted(entry.path);
  if (entry.record !== "file" && (entry.record !== "deleted" || entry.before.kind !== "file")) return "";
  if (entry.sizeBytes > FILE_BYTES_MAX || entry.before.sizeBytes > FILE_BYTES_MAX) return `# ${name}: too large to show\n`;
  const after = entry.record === "file" ? contentOf(archive, entry) : Buffer.alloc(0);
  const before = entry.before.kind === "file" ? sourceOf(source, entry) : Buffer.alloc(0);
  if (before === null) return `# ${name}: the source changed since\n`;
  if (!isText(before) || !isText(after)) return `# ${name}: not text\n`;
  const from = entry.before.kind === "file" ? `a/${entry.path}` : "/dev/null";
  const to = entry.record === "file" ? `b/${entry.path}` : "/dev/null";
  const patch = createTwoFilesPatch(from, to, before.toString(), after.toString(), undefined, undefined, {
    context: 3,
    timeout: FILE_MS_MAX,
    headerOptions: { includeIndex: false, includeUnderline: false, includeFileHeaders: true },
  });
  return patch ?? `# ${name}: differs too much to show\n`;
}

/** As git does it: a name with bytes that could break the line is quoted. */
function quoted(path: string): string {
  return /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}"\\]/u.test(path) ? JSON.stringify(path) : path;
}

function contentOf(archive: number, entry: StagedEntry): Buffer {
  const bytes = Buffer.alloc(entry.sizeBytes);
  for (let done = 0; done < bytes.length;) {
    const count = readSync(archive, bytes, done, bytes.length - done, entry.contentAt + done);
    if (count === 0) throw new Error("the archive became shorter");
    done += count;
  }
  return bytes;
}

/** Null unless it is what the child had before it: whatever the path leads to, nothing else is shown. */
function sourceOf(source: string, entry: StagedEntry): Buffer | null {
  let file: number;
  try {
    file = openSync(join(source, entry.path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return null;
  }
  try {
    const status = fstatSync(file);
    if (!status.isFile() || status.size !== entry.before.sizeBytes) return null;
    const bytes = Buffer.alloc(status.size);
    let done = 0;
    while (done < bytes.length) {
      const count = readSync(file, bytes, done, bytes.length - done, done);
      if (count === 0) return null;
      done += count;
    }
    return createHash("sha256").update(bytes).digest("hex") === entry.before.sha256 ? bytes : null;
  } finally {
    closeSync(file);
  }
}

function isText(bytes: Buffer): boolean {
  return isUtf8(bytes) && !bytes.includes(NUL);
}
