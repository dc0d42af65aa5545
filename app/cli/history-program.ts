/** The commands about what has been: the journal, given to the machines again, looked into, and let go of. */
import { InvalidArgumentError, type Command } from "commander";
import type { JournalAction, JournalCommandOptions } from "./commands/journal.ts";
import type { RemoveOptions } from "./commands/remove.ts";
import type { ReplayOptions } from "./commands/replay.ts";
import type { SetStatus } from "./program.ts";

const REPLAY_NOTE = `
RUN is a run's id, the beginning of one, or @ (also: last) for the newest.

A file for --what-if exports an xstate machine as run, child, relay, grant or approval.
It is loaded into this process, never into cohortd.

Examples:
  cohort replay @
  cohort replay k3f9 --what-if child.ts

Exit status: 0 the same, 1 something departs, or could not be compared.`;

const JOURNAL_NOTE = `
events [OF]   what happened, oldest first; OF is RUN, RUN/INDEX, or an actor: KIND:ID
effects       what is planned, started, or being undone
actor OF      one actor: its state, timers, effects
verify        that nothing of it was changed, removed or moved, nor any result or transcript
backup FILE   a consistent copy as one new file, also while cohortd runs

Where no cohortd runs, a private copy of the files is read; nothing is locked or changed.

Examples:
  cohort journal
  cohort journal events @ --type exited --json
  cohort journal backup ~/journal-$(date +%F).sqlite

Exit status: verify ends with 1 when something is not as it was written.`;

function whole(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("a whole number");
  return Number(text);
}

function addJournal(program: Command, status: SetStatus): void {
  program
    .command("journal")
    .summary("look into the journal, check it, back it up")
    .description("Shows what is written down of everything that happened; with an action, parts of it, a check, a backup.")
    .addArgument(
      program.createArgument("[action]").choices(["summary", "events", "effects", "actor", "verify", "backup"]).default("summary"),
    )
    .argument("[of]")
    .option("--type <type>", "events: only those of this type")
    .option("--after <n>", "events, effects: go on behind this number", whole)
    .option("--limit <n>", "events, effects: at most so many (default: 200)", whole)
    .option("--json", "one JSON object; of events and effects one a line")
    .addHelpText("after", JOURNAL_NOTE)
    .action(async (action: JournalAction, of: string | undefined, options: JournalCommandOptions) =>
      status(await (await import("./commands/journal.ts")).journalCommand(action, of, options)),
    );
}

function addRemove(program: Command, status: SetStatus): void {
  program
    .command("rm")
    .summary("delete runs that have ended, for good")
    .description(
      "Deletes runs that have ended, for good: what they were asked, wrote, collected and left, and what the journal says of it.\nThat they were, and when they went, stays; their ids are never used again. Runs that ended 30 days ago go by themselves.",
    )
    .argument("<run...>")
    .option("--discard", "also what was changed in staged directories and not applied")
    .option("--json", "one JSON object each")
    .action(async (runs: string[], options: RemoveOptions) =>
      status(await (await import("./commands/remove.ts")).removeCommand(runs, options)),
    );
}

export function addHistory(program: Command, status: SetStatus): void {
  program
    .command("replay")
    .summary("prove from its journal that a run went as its machines say")
    .description(
      "Gives every event of a run's journal to its machines again, without effects, and compares outcomes, states and ends.\nWith --what-if, to changed machines, too: it tells the first event after which each would have gone another way.",
    )
    .argument("<run>")
    .option("--what-if <file>", "a TypeScript or JavaScript module with changed machines")
    .option("--json", "one actor a line, then the summary")
    .addHelpText("after", REPLAY_NOTE)
    .action(async (run: string, options: ReplayOptions) =>
      status(await (await import("./commands/replay.ts")).replayCommand(run, options)),
    );
  addJournal(program, status);
  addRemove(program, status);
}
