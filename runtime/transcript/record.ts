/** One line of a transcript: some bytes of one stream, with the offset they begin at. */
import { isUtf8 } from "node:buffer";

/** Longer chunks become several records, so that a reader's line buffer is bounded. */
export const RECORD_DATA_BYTES_MAX = 64 * 1024;
/** JSON writes a control byte as six characters; the rest is field names and a stream's name. */
export const RECORD_LINE_BYTES_MAX = RECORD_DATA_BYTES_MAX * 6 + 1024;
const STREAM_NAME = /^[a-z][a-z0-9-]{0,62}$/;

export interface TranscriptRecord {
  readonly stream: string;
  /** Bytes of this stream before these. */
  readonly offset: number;
  readonly bytes: Buffer;
}

export function isStreamName(stream: string): boolean {
  return STREAM_NAME.test(stream);
}

/** With its newline. Bytes that are not UTF-8 (a character cut by a chunk's end, too) travel as base64. */
export function encodeRecord(atMs: number, stream: string, offset: number, bytes: Buffer): string {
  const content = isUtf8(bytes) ? `"d":${JSON.stringify(bytes.toString("utf8"))}` : `"b":"${bytes.toString("base64")}"`;
  return `{"t":${atMs},"s":"${stream}","o":${offset},${content}}\n`;
}

/** Null for anything that encodeRecord did not write: a torn line, or rubbish after a power cut. */
export function parseRecord(line: Buffer): TranscriptRecord | null {
  const value = parseJson(line.toString("utf8"));
  if (typeof value !== "object" || value === null) return null;
  const { t, s, o, d, b } = value as { readonly [field: string]: unknown };
  if (typeof t !== "number" || typeof s !== "string" || !isStreamName(s)) return null;
  if (typeof o !== "number" || !Number.isSafeInteger(o) || o < 0) return null;
  if (typeof d === "string" && b === undefined) return { stream: s, offset: o, bytes: Buffer.from(d, "utf8") };
  if (typeof b === "string" && d === undefined) return { stream: s, offset: o, bytes: Buffer.from(b, "base64") };
  return null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
