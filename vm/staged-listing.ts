/** Reads an archive of a staged diff from its file: its entries, without their content. */
import { closeSync, openSync, readSync } from "node:fs";
import { CohortError } from "../runtime/kernel/error.ts";
import { StagedArchive, type StagedEntry } from "./staged-archive.ts";

export interface StagedListing {
  readonly entries: readonly StagedEntry[];
  readonly truncated: boolean;
}

const READ_BYTES = 256 * 1024;

/** Blocks: call it in a worker. Throws STAGED_INVALID, CONTENT_GONE. */
export function readStagedListing(path: string): StagedListing {
  const archive = new StagedArchive();
  const file = openArchive(path);
  try {
    const piece = Buffer.allocUnsafe(READ_BYTES);
    for (let position = 0; ;) {
      const count = readSync(file, piece, 0, piece.length, position);
      if (count === 0) break;
      archive.push(piece.subarray(0, count));
      position += count;
      const skipped = archive.skippable;
      archive.skip(skipped);
      position += skipped;
    }
    archive.end();
  } finally {
    closeSync(file);
  }
  return { entries: archive.entries, truncated: archive.truncated };
}

export function openArchive(path: string): number {
  try {
    return openSync(path, "r");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") throw new CohortError("CONTENT_GONE", { cause });
    throw cause;
  }
}
