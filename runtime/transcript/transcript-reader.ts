/** Reads a transcript back, also while it is being written: it ends where the clean prefix ends at that moment. */
import { open } from "node:fs/promises";
import { CohortError } from "../kernel/error.ts";
import type { TranscriptRecord } from "./record.ts";
import { scanTranscript } from "./scan.ts";

/**
 * Records in the order they were written. Of each stream that `fromOffsets` names, only bytes at or behind that offset.
 * Throws CONTENT_GONE when the file does not exist.
 */
export async function* readTranscript(path: string, fromOffsets: Readonly<Record<string, number>> = {}): AsyncGenerator<TranscriptRecord> {
  const from = new Map(Object.entries(fromOffsets));
  const file = await openForRead(path);
  try {
    for await (const block of scanTranscript(file)) {
      for (const record of block.records) {
        const skipped = Math.max(0, (from.get(record.stream) ?? 0) - record.offset);
        if (skipped === 0) yield record;
        else if (skipped < record.bytes.length) {
          yield { stream: record.stream, offset: record.offset + skipped, bytes: record.bytes.subarray(skipped) };
        }
      }
    }
  } finally {
    await file.close();
  }
}

async function openForRead(path: string): ReturnType<typeof open> {
  try {
    return await open(path, "r");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT")
      throw new CohortError("CONTENT_GONE", { on: path, cause: error });
    throw error;
  }
}
