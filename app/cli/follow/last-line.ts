/** The last line that failed tasks wrote to stderr: what a person wants to see first. */
import type { TaskResult } from "../../../machines/messages/result.ts";
import type { FollowedRun } from "./followed-run.ts";
import { wholePreview } from "./output-order.ts";

const LINE_CHARS_MAX = 400;
const LOOKUP_MS_MAX = 2000;

export function lastLineOf(text: string): string {
  const lines = text.split("\n").map((line) => line.trim());
  return (lines.findLast((line) => line !== "") ?? "").slice(0, LINE_CHARS_MAX);
}

async function tailOfStderr(run: FollowedRun, result: TaskResult, untilMs: number): Promise<string> {
  const decoder = new TextDecoder();
  let tail = "";
  for await (const item of run.logs(result.index, { attempt: result.attempt })) {
    if (item.stream === "stderr") tail = (tail + decoder.decode(item.bytes, { stream: true })).slice(-4 * LINE_CHARS_MAX);
    if (Date.now() > untilMs) return "";
  }
  return tail;
}

/** By index. Tasks whose logs take too long to read are left out: their logs can be asked for. */
export async function lastLines(run: FollowedRun, failures: readonly TaskResult[]): Promise<ReadonlyMap<number, string>> {
  const untilMs = Date.now() + LOOKUP_MS_MAX;
  const found = new Map<number, string>();
  for (const result of failures) {
    const whole = wholePreview(result.stderr);
    try {
      const text = whole ?? (Date.now() > untilMs ? "" : await tailOfStderr(run, result, untilMs));
      found.set(result.index, lastLineOf(text));
    } catch {
      // The summary still names the task and the command that shows its logs, and that command will name the error.
      found.set(result.index, "");
    }
  }
  return found;
}
