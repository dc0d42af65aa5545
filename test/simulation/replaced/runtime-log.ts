/** Stands in for the operational log: its lines are part of the trace. */
import { computer } from "../machine/computer.ts";

type Line = (facts: object | string, text?: string) => void;

function line(level: string): Line {
  return (facts, text) => {
    if (typeof facts === "string") return computer().trace.add(`log ${level}`, facts);
    const error = "error" in facts && facts.error instanceof Error ? `: ${facts.error.message}` : "";
    computer().trace.add(`log ${level}`, `${text ?? ""}${error}`);
  };
}

const log = { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };

export function openRuntimeLog(): { readonly log: typeof log; close(): void } {
  return { log, close: () => {} };
}
