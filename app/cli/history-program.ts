/** The commands about what a run has been: its journal, given to the machines again. */
import type { Command } from "commander";
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
}
