/** Any part of what a result only previews: of an output, also while it grows, or of a collected file. Owns nothing. */
import { constants, type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { CohortError, isCohortError } from "../runtime/kernel/error.ts";
import { readTranscript } from "../runtime/transcript/transcript-reader.ts";
import { parseHandle } from "../machines/content-handle.ts";
import type { ContentItem } from "../machines/messages/api.ts";
import { hasCode, type Content } from "./content.ts";

const BLOCK_BYTES = 64 * 1024;

export interface ContentRequest {
  readonly handle: string;
  readonly offset: number;
  /** Absent: to the end. */
  readonly bytes?: number | undefined;
}

/** Ends where the part ends, or what there is. Throws REQUEST_INVALID for what is no handle, CONTENT_GONE for what is not there. */
export async function* readContent(content: Content, request: ContentRequest, signal: AbortSignal): AsyncGenerator<ContentItem> {
  const name = parseHandle(request.handle);
  if (name === null) throw new CohortError("REQUEST_INVALID", { on: `handle: ${JSON.stringify(request.handle.slice(0, 200))} is none` });
  const { run, index, attempt, part } = name;
  // Known, or content that nobody refers to any more.
  const { total } = await content.head(run);
  if (index >= total) throw new CohortError("TASK_UNKNOWN", { on: `the tasks of run ${run} are 0 to ${total - 1}, not ${index}` });
  if (part.type === "stream") yield* streamPart(content.transcriptPath(run, index, attempt), part.stream, request, signal);
  else yield* filePart(join(content.outDirectory(run, index), part.path), request, signal);
}

async function* streamPart(
  path: string,
  stream: "stdout" | "stderr",
  request: ContentRequest,
  signal: AbortSignal,
): AsyncGenerator<ContentItem> {
  const { offset: from, bytes: length = Number.POSITIVE_INFINITY } = request;
  const end = from + length;
  try {
    for await (const record of readTranscript(path, { [stream]: from })) {
      if (signal.aborted) return;
      if (record.stream !== stream) continue;
      const bytes = record.bytes.subarray(0, end - record.offset);
      if (bytes.length > 0) yield { offset: record.offset, bytes };
      if (record.offset + record.bytes.length >= end) return;
    }
  } catch (error) {
    // Nothing was said: no transcript.
    if (!isCohortError(error, "CONTENT_GONE")) throw error;
  }
}

async function* filePart(path: string, request: ContentRequest, signal: AbortSignal): AsyncGenerator<ContentItem> {
  const file = await opened(path);
  try {
    let left = request.bytes ?? Number.POSITIVE_INFINITY;
    for (let { offset } = request; left > 0 && !signal.aborted;) {
      const block = Buffer.allocUnsafe(Math.min(BLOCK_BYTES, left));
      const { bytesRead } = await file.read(block, 0, block.length, offset);
      if (bytesRead === 0) return;
      yield { offset, bytes: block.subarray(0, bytesRead) };
      offset += bytesRead;
      left -= bytesRead;
    }
  } finally {
    await file.close();
  }
}

async function opened(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (hasCode(error, "ENOENT") || hasCode(error, "ENOTDIR") || hasCode(error, "EISDIR"))
      throw new CohortError("CONTENT_GONE", { on: path, cause: error });
    throw error;
  }
}
