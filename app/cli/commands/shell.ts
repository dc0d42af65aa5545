/**
 * `cohort shell`: a command beside a child's task, in its sandbox, on this terminal.
 * Owns: the mode of the terminal while the command runs. Does not own: the sandbox, the command, which ends with the session.
 * T1 the terminal is given back as it was, however this ends. T2 the child's bytes pass the pty filter.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { isatty } from "node:tty";
import type { ExecSession } from "../../../sdk/index.ts";
import { Sink } from "../follow/sink.ts";
import { writeNow } from "../report.ts";
import { chooseChild, withCohort } from "../session.ts";
import { PtyFilter } from "../text/pty-filter.ts";

const DEFAULT_SHELL = "if command -v bash >/dev/null 2>&1; then exec bash -i; else exec sh -i; fi";
const TERM_NAME = /^[A-Za-z0-9._+-]{1,64}$/;
/** Answers that the child made the terminal send arrive within this; they must not become input of the person's own shell. */
const LATE_ANSWERS_MS = 40;

function commandFor(words: readonly string[], interactive: boolean): readonly string[] {
  const given = words[0] === "--" ? words.slice(1) : words;
  const command = given.length > 0 ? given : interactive ? ["/bin/sh", "-c", DEFAULT_SHELL] : ["/bin/sh"];
  const term = process.env["TERM"] ?? "";
  return interactive && TERM_NAME.test(term) ? ["/usr/bin/env", `TERM=${term}`, ...command] : command;
}

/** Key strokes or a pipe, with the session's own backpressure. Failures show in the session's end. */
function pumpInput(session: ExecSession): void {
  let turn: Promise<void> = Promise.resolve();
  const ended = (): void => {
    process.stdin.pause();
  };
  process.stdin.on("data", (bytes: Buffer) => {
    process.stdin.pause();
    turn = turn.then(() => session.write(bytes)).then(() => void process.stdin.resume(), ended);
  });
  process.stdin.once("end", () => {
    turn = turn.then(() => session.end()).catch(ended);
  });
}

async function pumpOutput(session: ExecSession, filter: PtyFilter | null): Promise<void> {
  const sinks = { stdout: new Sink(1, () => session.close()), stderr: new Sink(2, () => {}) };
  for await (const item of session.output()) await sinks[item.stream].write(filter === null ? item.bytes : filter.push(item.bytes));
}

function size(): { readonly rows: number; readonly columns: number } {
  return { rows: process.stdout.rows || 24, columns: process.stdout.columns || 80 };
}

async function onTerminal(session: ExecSession): Promise<void> {
  const filter = new PtyFilter();
  const resize = (): void => {
    const { rows, columns } = size();
    session.resize(rows, columns).catch(() => session.close());
  };
  const hangUp = (): void => session.close();
  process.stdout.on("resize", resize);
  process.on("SIGTERM", hangUp).on("SIGHUP", hangUp);
  process.stdin.setRawMode(true);
  try {
    pumpInput(session);
    await pumpOutput(session, filter);
    await sleep(LATE_ANSWERS_MS);
  } finally {
    process.stdin.removeAllListeners("data");
    process.stdin.pause();
    process.stdin.setRawMode(false);
    process.stdout.off("resize", resize);
    process.off("SIGTERM", hangUp).off("SIGHUP", hangUp);
    writeNow(1, filter.reset());
  }
}

/** Exit status of the command; 128 and its number if a signal ended it. */
export function shellCommand(written: string, words: readonly string[]): Promise<number> {
  return withCohort(async (cohort) => {
    const { child } = chooseChild(written, await cohort.children());
    const interactive = isatty(0) && isatty(1);
    const session = await cohort.openExec(child, { command: commandFor(words, interactive), pty: interactive ? size() : null });
    if (interactive) {
      await onTerminal(session);
    } else {
      pumpInput(session);
      await pumpOutput(session, null);
    }
    const exit = await session.exit();
    return exit.signal > 0 ? 128 + exit.signal : exit.code;
  });
}
