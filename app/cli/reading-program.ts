/** The commands that read what a run wrote and how it went. What a command does is loaded when it is called. */
import { InvalidArgumentError, type Command } from "commander";
import type { EventsOptions } from "./commands/events.ts";
import type { ResultsOptions } from "./commands/list.ts";
import type { LogsOptions } from "./commands/logs.ts";
import type { ReadOptions } from "./commands/read.ts";

export const runNote = "\nRUN is a run's id, the beginning of one, or @ (also: last) for the newest.";

type SetStatus = (status: number) => void;

function attemptNumber(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new InvalidArgumentError("a number from 1");
  return Number(text);
}

function cursorNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("a number from 0");
  return Number(text);
}

export function addReading(program: Command, status: SetStatus): void {
  program
    .command("logs")
    .summary("show what tasks wrote")
    .description("Shows what the tasks of a run wrote; with an index, one task's output.")
    .usage("RUN[/INDEX] [options]")
    .argument("<run>", "RUN or RUN/INDEX")
    .option("-f, --follow", "go on until it ends")
    .option("--attempt <n>", "an earlier attempt, from 1", attemptNumber)
    .option("--tag", "begin every line with the task and a tab")
    .option("--json", "one JSON object a line")
    .addHelpText("after", `${runNote}\n\nExamples:\n  cohort logs @/3 -f\n  cohort logs k3f9 --tag | grep error`)
    .action(async (run: string, options: LogsOptions) => status(await (await import("./commands/logs.ts")).logsCommand(run, options)));
  program
    .command("results")
    .summary("show how tasks ended")
    .description("Shows how the finished tasks of a run ended; with an index, the files of one, too.")
    .usage("RUN[/INDEX] [options]")
    .argument("<run>", "RUN or RUN/INDEX")
    .option("--failed", "only those that failed")
    .option("--after <cursor>", "only those behind this cursor; each has its own in --json", cursorNumber)
    .option("--json", "one result a line")
    .addHelpText("after", runNote)
    .action(async (run: string, options: ResultsOptions) =>
      status(await (await import("./commands/list.ts")).resultsCommand(run, options)),
    );
  addPolling(program, status);
}

function addPolling(program: Command, status: SetStatus): void {
  program
    .command("events")
    .summary("what happened in a run behind a cursor, and where to go on")
    .description(
      "Prints what happened in a run behind a cursor, and as its last line the cursor to go on from: for programs that ask now and then.\nEach event comes once, whatever becomes of cohortd in between.",
    )
    .argument("<run>")
    .option("--after <cursor>", "begin behind it (default: 0, the beginning)", cursorNumber)
    .option("--limit <n>", "at most so many, up to 1000 (default: 100)", cursorNumber)
    .option("--wait <time>", "when there is nothing, wait so long for something, up to 1m (default: not at all)")
    .option("--json", "one JSON object a line")
    .addHelpText("after", `${runNote}\n\nExamples:\n  cohort events @ --json\n  cohort events k3f9 --after 17 --wait 30s --json`)
    .action(async (run: string, options: EventsOptions) =>
      status(await (await import("./commands/events.ts")).eventsCommand(run, options)),
    );
  program
    .command("read")
    .summary("any part of what a result only previews")
    .description(
      "Prints bytes of an output or of a collected file, by the handle of its result with /stdout, /stderr or /out/PATH behind it.",
    )
    .argument("<handle>")
    .option("--offset <n>", "begin at this byte", cursorNumber)
    .option("--bytes <n>", "print so many (default: to the end)", cursorNumber)
    .addHelpText(
      "after",
      "\nExamples:\n  cohort results @ --json | jq -r .handle\n  cohort read k3f9aaaa/0/1/stdout --offset 1048576 --bytes 4096",
    )
    .action(async (handle: string, options: ReadOptions) =>
      status(await (await import("./commands/read.ts")).readCommand(handle, options)),
    );
}
