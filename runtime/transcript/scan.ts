/** Walks the records of a transcript from its beginning to the end of its clean prefix. */
import type { FileHandle } from "node:fs/promises";
import { parseRecord, RECORD_LINE_BYTES_MAX, type TranscriptRecord } from "./record.ts";

const BLOCK_BYTES = 256 * 1024;
const NEWLINE = 0x0a;

export interface ScannedBlock {
  readonly records: readonly TranscriptRecord[];
  /** Position in the file behind the last of these records. */
  readonly end: number;
}

/**
 * Yields what each block of the file completed. Ends, without an error, at the first line that is torn, malformed, or leaves a gap in its
 * stream: what stands before it is the transcript.
 */
export async function* scanTranscript(file: FileHandle): AsyncGenerator<ScannedBlock> {
  const { size } = await file.stat();
  const block = Buffer.allocUnsafe(Math.min(BLOCK_BYTES, Math.max(size, 1)));
  const nextOffsets = new Map<string, number>();
  let carried: Buffer[] = [];
  let carriedBytes = 0;
  let end = 0;
  for (let position = 0; ;) {
    const { bytesRead } = await file.read(block, 0, block.length, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    const records: TranscriptRecord[] = [];
    let start = 0;
    for (;;) {
      const newline = block.subarray(0, bytesRead).indexOf(NEWLINE, start);
      if (newline < 0) break;
      const rest = block.subarray(start, newline);
      const line = carriedBytes === 0 ? rest : Buffer.concat([...carried, rest]);
      carried = [];
      carriedBytes = 0;
      const record = parseRecord(line);
      if (record === null || record.offset !== (nextOffsets.get(record.stream) ?? 0)) {
        yield { records, end };
        return;
      }
      nextOffsets.set(record.stream, record.offset + record.bytes.length);
      records.push(record);
      end += line.length + 1;
      start = newline + 1;
    }
    if (records.length > 0) yield { records, end };
    carriedBytes += bytesRead - start;
    if (carriedBytes > RECORD_LINE_BYTES_MAX) return;
    if (start < bytesRead) carried.push(Buffer.from(block.subarray(start, bytesRead)));
  }
}
