/** The first characters of an output: from the bytes as they came, or from a transcript. */
import { readTranscript } from "../runtime/transcript/transcript-reader.ts";
import { isCohortError } from "../runtime/kernel/error.ts";
import type { OutputStream } from "../vm/backend.ts";
import { PREVIEW_CHARS_MAX, type streamSummarySchema } from "../machines/messages/result.ts";
import type { z } from "zod";

export type StreamSummary = z.infer<typeof streamSummarySchema>;

/** A character has at most four bytes. */
const PREVIEW_BYTES_MAX = PREVIEW_CHARS_MAX * 4;

export class PreviewBuffer {
  #parts: Uint8Array[] = [];
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  get isFull(): boolean {
    return this.#bytes >= PREVIEW_BYTES_MAX;
  }

  /** False when bytes before these are missing. What is there already, or beyond the preview, is passed over. */
  push(offset: number, bytes: Uint8Array): boolean {
    if (this.isFull) return true;
    if (offset > this.#bytes) return false;
    const fresh = bytes.subarray(this.#bytes - offset, PREVIEW_BYTES_MAX - offset);
    if (fresh.length > 0) this.#parts.push(Uint8Array.from(fresh));
    this.#bytes += fresh.length;
    return true;
  }

  summary(totalBytes: number): StreamSummary {
    const cut = this.#bytes < totalBytes;
    // With `stream` a character that the cut tore apart is left out.
    const text = new TextDecoder("utf-8").decode(Buffer.concat(this.#parts), { stream: cut });
    const preview = text.slice(0, PREVIEW_CHARS_MAX);
    return { bytes: totalBytes, preview, truncated: cut || preview.length < text.length };
  }
}

export type Previews = Readonly<Record<OutputStream, PreviewBuffer>>;

export function emptyPreviews(): Previews {
  return { stdout: new PreviewBuffer(), stderr: new PreviewBuffer() };
}

/** Empty where there is no transcript: nothing was said. */
export async function previewsOf(transcriptPath: string): Promise<Previews> {
  const previews = emptyPreviews();
  try {
    for await (const { stream, offset, bytes } of readTranscript(transcriptPath)) {
      if (stream === "stdout" || stream === "stderr") previews[stream].push(offset, bytes);
      if (previews.stdout.isFull && previews.stderr.isFull) break;
    }
  } catch (error) {
    if (!isCohortError(error, "CONTENT_GONE")) throw error;
  }
  return previews;
}
