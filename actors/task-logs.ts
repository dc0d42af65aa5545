/** The output of one attempt, from its transcript and then live: each byte once and in order. Owns nothing but its subscription. */
import { CohortError, isCohortError } from "../runtime/kernel/error.ts";
import { readTranscript } from "../runtime/transcript/transcript-reader.ts";
import type { OutputItem } from "../machines/messages/api.ts";
import type { OutputStream } from "../vm/backend.ts";
import type { LogsRequest } from "./contract.ts";
import type { LiveOutput, LiveSubscriber } from "./live-output.ts";
import type { Session } from "./session.ts";

export interface TaskLogsParts {
  readonly live: LiveOutput;
  transcriptPath(run: string, index: number, attempt: number): string;
  /** Of this attempt, while output of it can still come. */
  session(attempt: number): Pick<Session, "isSilent" | "prepare"> | null;
  /** The attempt that runs, else the last one that was settled; not-yet or never when the task has not begun. */
  latestAttempt(run: string, index: number): Promise<number | "not-yet" | "never">;
}

/** While a task has not begun: how often it is asked whether it ever will. Its output itself is pushed. */
const NEVER_POLL_MS = 200;
const FIRST_ATTEMPT = 1;

type Offsets = Record<OutputStream, number>;

export async function* taskLogs(parts: TaskLogsParts, request: LogsRequest, signal: AbortSignal): AsyncGenerator<OutputItem> {
  const { run, index, follow } = request;
  const latest = request.attempt ?? (await parts.latestAttempt(run, index));
  if (latest === "never" || (latest === "not-yet" && !follow)) return;
  const attempt = latest === "not-yet" ? FIRST_ATTEMPT : latest;
  const offsets: Offsets = { stdout: request.stdoutOffset, stderr: request.stderrOffset };
  const path = parts.transcriptPath(run, index, attempt);
  if (!follow) {
    yield* written(path, offsets, signal);
    return;
  }
  // Subscribed before the file is read: what is written meanwhile comes twice rather than never, and is dropped by its offset.
  const { subscriber, leave } = parts.live.subscribe(run, index, attempt);
  const never = latest === "not-yet" ? endWhenNever(parts, request, subscriber) : null;
  try {
    // A task that has not begun is subscribed to ahead; one that began between the question and the subscription is live or settled now.
    const session = parts.session(attempt);
    session?.prepare();
    if (session === null && (await parts.latestAttempt(run, index)) !== "not-yet") subscriber.end(null);
    // Of one that has said nothing yet the first byte comes to the subscriber.
    if (session === null || !session.isSilent) yield* written(path, offsets, signal);
    while (!signal.aborted) {
      const { chunks, behind, ended, totals } = await subscriber.next(signal);
      for (const { stream, offset, bytes } of chunks) {
        const fresh = offset + bytes.length - offsets[stream];
        if (fresh <= 0) continue;
        // A hole means that something was missed: the transcript has it.
        if (fresh > bytes.length) break;
        yield { stream, offset: offsets[stream], bytes: bytes.subarray(bytes.length - fresh) };
        offsets[stream] += fresh;
      }
      const hasAll = totals !== null && offsets.stdout >= totals.stdout && offsets.stderr >= totals.stderr;
      if (behind || (ended && !hasAll)) yield* written(path, offsets, signal);
      if (ended) return;
    }
  } finally {
    if (never !== null) clearInterval(never);
    leave();
  }
}

/** A run may end without ever starting the task: then nobody else ends the subscription. */
function endWhenNever(parts: TaskLogsParts, { run, index }: LogsRequest, subscriber: LiveSubscriber): NodeJS.Timeout {
  return setInterval(() => {
    parts.latestAttempt(run, index).then(
      (latest) => latest === "never" && subscriber.end(null),
      // The journal is closing: so is this stream.
      () => subscriber.end(null),
    );
  }, NEVER_POLL_MS);
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
