/** The heavy work of staged diffs, each function a task of a WorkPool. What fails comes back as a code: errors lose theirs between threads. */
import { createHash } from "node:crypto";
import { closeSync, readSync } from "node:fs";
import { errorTable, type ErrorCode } from "../runtime/kernel/error-table.ts";
import { isCohortError } from "../runtime/kernel/error.ts";
import { openArchive, readStagedListing, type StagedListing } from "./staged-listing.ts";
import { stagedPatch, type PatchRequest } from "./staged-patch.ts";

export type WorkerAnswer<T> =
  | { readonly type: "done"; readonly value: T }
  | { readonly type: "failed"; readonly code: ErrorCode; readonly on: string };

function answer<T>(work: () => T): WorkerAnswer<T> {
  try {
    return { type: "done", value: work() };
  } catch (error) {
    if (!isCohortError(error)) throw error;
    // The message repeats the table's.
    return { type: "failed", code: error.code, on: error.message.slice(errorTable[error.code].message.length).replace(/^: /, "") };
  }
}

export function list({ archive }: { readonly archive: string }): WorkerAnswer<StagedListing> {
  return answer(() => readStagedListing(archive));
}

export function patch(request: PatchRequest): WorkerAnswer<string> {
  return answer(() => stagedPatch(request));
}

export interface HashRequest {
  readonly archive: string;
  readonly contents: readonly { readonly at: number; readonly sizeBytes: number }[];
}

/** SHA-256 of each of these parts of the archive. */
export function hash({ archive, contents }: HashRequest): WorkerAnswer<readonly string[]> {
  return answer(() => {
    const file = openArchive(archive);
    const piece = Buffer.allocUnsafe(256 * 1024);
    try {
      return contents.map(({ at, sizeBytes }) => {
        const sum = createHash("sha256");
        for (let done = 0; done < sizeBytes;) {
          const count = readSync(file, piece, 0, Math.min(piece.length, sizeBytes - done), at + done);
          if (count === 0) throw new Error("the archive became shorter");
          sum.update(piece.subarray(0, count));
          done += count;
        }
        return sum.digest("hex");
      });
    } finally {
      closeSync(file);
    }
  });
}
