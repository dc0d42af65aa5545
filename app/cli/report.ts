/** How errors are told: a sentence and a hint for people, one object for programs. */
import { writeSync } from "node:fs";
import { CohortError } from "../../runtime/kernel/error.ts";
import { EXIT_STATUS_ERROR } from "./follow/exit-status.ts";
import { withOwnPath } from "./own-program.ts";
import { jsonLine, neutraliseLine } from "./text/neutralise.ts";

interface Told {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  /** A task file's problems with line, column and field. */
  readonly problems?: unknown;
}

function tell(error: unknown): Told {
  if (error instanceof CohortError) {
    const { code, message, hint } = error;
    return "problems" in error ? { code, message, hint, problems: error.problems } : { code, message, hint };
  }
  const message = error instanceof Error ? error.message : String(error);
  return {
    code: "INTERNAL",
    message: `a fault in cohort itself: ${message}`,
    hint: "report it with `cohort doctor --json`; COHORT_DEBUG=1 shows where it happened",
  };
}

/** Writes at once, blocking: the process is about to end. A reader that is gone is no further error. */
export function writeNow(fd: 1 | 2, text: string): void {
  const bytes = Buffer.from(text);
  let offset = 0;
  while (offset < bytes.length) {
    try {
      offset += writeSync(fd, bytes, offset);
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "EAGAIN") continue;
      return;
    }
  }
}

export function reportError(error: unknown, json: boolean): number {
  const told = tell(error);
  if (json) {
    writeNow(1, jsonLine({ type: "error", error: told }));
  } else {
    const lines = [`cohort: ${told.message}`, ...(told.hint === "" ? [] : [`  hint: ${withOwnPath(told.hint)}`])].join("\n");
    writeNow(2, `${lines.split("\n").map(neutraliseLine).join("\n")}\n`);
    if (process.env["COHORT_DEBUG"] === "1" && error instanceof Error)
      writeNow(2, `${(error.stack ?? "").split("\n").map(neutraliseLine).join("\n")}\n`);
  }
  return EXIT_STATUS_ERROR;
}
