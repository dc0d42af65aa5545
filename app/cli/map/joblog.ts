/** Pure: the columns of GNU parallel's --joblog. */
import type { TaskResult } from "../../../machines/messages/result.ts";
import { shellQuote } from "./template.ts";

export const JOBLOG_HEADER = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

/** Exitval is -1 where parallel writes it too: the command was ended before it could say anything. */
export function joblogLine(result: TaskResult, command: readonly string[]): string {
  const shown =
    command[0] === "/bin/sh" && command[1] === "-c" && command.length === 3 ? (command[2] ?? "") : command.map(shellQuote).join(" ");
  return `${[
    result.index + 1,
    ":",
    (result.startedAtMs / 1000).toFixed(3),
    (result.wallMs / 1000).toFixed(3).padStart(10),
    0,
    result.stdout.bytes,
    result.exitCode ?? -1,
    result.signal ?? 0,
    shown.replace(/[\t\n\r]/g, " "),
  ].join("\t")}\n`;
}
