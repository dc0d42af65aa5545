/** The output of one attempt, from its transcript and then live: each byte once and in order. Owns nothing but its subscription. */
import { CohortError, isCohortError } from "../runtime/kernel/error.ts";
import { readTranscript } from "../runtime/transcript/transcript-reader.ts";
import type { OutputItem } from "../machines/messages/api.ts";
import type { OutputStream } from "../vm/backend.ts";
import type { LogsRequest } from "./contract.ts";
import type { LiveOutput } from "./live-output.ts";

export interface TaskLogsParts {
  readonly live: LiveOutput;
  transcriptPath(run: string, index: number, attempt: number): string;
  /** Whether output of this attempt can still come. */
  isLive(run: string, index: number, attempt: number): boolean;
  /** The attempt that runs, else the last one that was settled; not-yet or never when the task has not begun. */
  latestAttempt(run: string, index: number): Promise<number | "not-yet" | "never">;
}

const START_POLL_MS = 200;

type Offsets = Record<OutputStream, number>;

export async function* taskLogs(parts: TaskLogsParts, request: LogsRequest, signal: AbortSignal): AsyncGenerator<OutputItem> {
  const { run, index, follow } = request;
  const attempt = request.attempt ?? (await attemptOf(parts, request, signal));
  if (attempt === null) return;
  const offsets: Offsets = { stdout: request.stdoutOffset, stderr: request.stderrOffset };
  const path = parts.transcriptPath(run, index, attempt);
  if (!follow) {
    yield* written(path, offsets, signal);
    return;
  }
  // Subscribed before the file is read: what is written meanwhile comes twice rather than never, and is dropped by its offset.
  const { subscriber, leave } = parts.live.subscribe(run, index, attempt);
  try {
    if (!parts.isLive(run, index, attempt)) subscriber.end();
    yield* written(path, offsets, signal);
    while (!signal.aborted) {
      const { chunks, behind, ended } = await subscriber.next(signal);
      for (const { stream, offset, bytes } of chunks) {
        const fresh = offset + bytes.length - offsets[stream];
        if (fresh <= 0) continue;
        // A hole means that something was missed: the transcript has it.
        if (fresh > bytes.length) break;
        yield { stream, offset: offsets[stream], bytes: bytes.subarray(bytes.length - fresh) };
        offsets[stream] += fresh;
      }
      if (behind || ended) yield* written(path, offsets, signal);
      if (ended) return;
    }
  } finally {
    leave();
  }
}

/** With follow it waits until the task begins. */
async function attemptOf(parts: TaskLogsParts, { run, index, follow }: LogsRequest, signal: AbortSignal): Promise<number | null> {
  while (!signal.aborted) {
    const attempt = await parts.latestAttempt(run, index);
    if (typeof attempt === "number") return attempt;
    if (attempt === "never" || !follow) return null;
    await new Promise<void>((resolve) => setTimeout(resolve, START_POLL_MS));
  }
  return null;
}

async function* written(path: string, offsets: Offsets, signal: AbortSignal): AsyncGenerator<OutputItem> {
  try {
    for await (const { stream, offset, bytes } of readTranscript(path, offsets)) {
      if (signal.aborted) return;
      if (stream !== "stdout" && stream !== "stderr") throw new CohortError("INTERNAL", { on: `stream ${stream} in ${path}` });
      offsets[stream] = offset + bytes.length;
      yield { stream, offset, bytes };
    }
  } catch (error) {
    // Nothing was said: no transcript.
    if (!isCohortError(error, "CONTENT_GONE")) throw error;
  }
}
