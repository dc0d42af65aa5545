/** Pure: what a sandbox refused, in one line for a person. */
import type { TaskResult } from "../../../machines/messages/result.ts";
import { neutraliseLine } from "../text/neutralise.ts";

const KINDS_IN_A_LINE_MAX = 3;

type Denied = Pick<TaskResult, "denied" | "deniedTimes">;

/** `3 × socket(AF_INET, SOCK_STREAM) by curl` */
export function refusalText({ program, call, detail, times }: TaskResult["denied"][number]): string {
  const named = `${times} × ${call}${detail === "" ? "" : `(${detail})`}`;
  return neutraliseLine(program === "" ? named : `${named} by ${program}`);
}

/** Empty when nothing was refused. */
export function refusalsLine({ denied, deniedTimes }: Denied): string {
  if (deniedTimes === 0) return "";
  const shown = denied.slice(0, KINDS_IN_A_LINE_MAX);
  const rest = deniedTimes - shown.reduce((sum, { times }) => sum + times, 0);
  return `refused: ${[...shown.map(refusalText), ...(rest > 0 ? [`${rest} more`] : [])].join(", ")}`;
}
