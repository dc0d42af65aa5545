/** The commands about what children may use: approvals, grants, and what staged directories hold. */
import { InvalidArgumentError, Option, type Command } from "commander";
import type { ApprovalsOptions, ApproveCommandOptions, DenyOptions } from "./commands/approvals.ts";
import type { GrantCommandOptions, GrantsOptions } from "./commands/grants.ts";
import type { JsonOption } from "./commands/machine.ts";
import type { ApplyOptions, DiffOptions } from "./commands/staged.ts";
import type { SetStatus } from "./program.ts";

export function collect(value: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, value];
}

function uses(text: string): number {
  if (!/^([1-9]\d?|100)$/.test(text)) throw new InvalidArgumentError("a number from 1 to 100");
  return Number(text);
}

const modeOption = (description: string): Option => new Option("--mode <mode>", description).choices(["ro", "staged", "rw"]);
const JSON_OBJECT = "one JSON object";

const MODES_NOTE = `
ro      the child may read it.
staged  the child may change it, and nothing counts before you apply it: cohort diff.
rw      what the child changes is changed at once.`;

/** Options of run and map; the first that fits an ask decides it. */
export function withPreAnswers(command: Command): Command {
  return command
    .option("--grant <path>", "what a child asks for there it is given: PATH (ro), PATH:staged, PATH:rw (repeatable)", collect)
    .option("--deny <path>", "what a child asks for there it is denied (repeatable)", collect);
}

function addApprovals(program: Command, status: SetStatus): void {
  program
    .command("approvals")
    .summary("list what children ask for")
    .description("Lists what children ask for and nobody has answered yet, oldest first. Without an answer it is denied after 24 hours.")
    .option("-f, --follow", "go on, and show each that comes")
    .option("-a, --all", "answered ones, too")
    .option("--json", `${JSON_OBJECT}; with --follow one approval a line`)
    .action(async (options: ApprovalsOptions) => status(await (await import("./commands/approvals.ts")).approvalsCommand(options)));
  program
    .command("approve")
    .summary("give a child what it asked for, or less")
    .description("Gives children what they asked for, or less. It ends after its time, and can be taken back: cohort revoke.")
    .argument("<approval...>", "as cohort approvals names them: a3")
    .addOption(modeOption("less than what was asked for"))
    .option("--ttl <time>", "for how long: 5m, 2h, 1d (default: 30m)")
    .option("--uses <n>", "so many attempts of the task may have it (default: 1)", uses)
    .option("--accept-unprotected", "rw: also where a name like .git or .bashrc could be created in it")
    .option("--accept-home", "ro: also your home directory as a whole")
    .option("--json", `${JSON_OBJECT} each`)
    .addHelpText("after", MODES_NOTE)
    .action(async (ids: string[], options: ApproveCommandOptions) =>
      status(await (await import("./commands/approvals.ts")).approveCommand(ids, options)),
    );
  program
    .command("deny")
    .summary("refuse a child what it asked for")
    .description("Refuses children what they asked for. They are told the reason, and go on without it.")
    .argument("<approval...>", "as cohort approvals names them: a3")
    .option("--reason <text>", "what the child is told")
    .option("--json", `${JSON_OBJECT} each`)
    .action(async (ids: string[], options: DenyOptions) =>
      status(await (await import("./commands/approvals.ts")).denyCommand(ids, options)),
    );
}

function addGrants(program: Command, status: SetStatus): void {
  program
    .command("grant")
    .summary("give a living child a directory or file")
    .description("Gives a living child a directory or file of this machine, as ~/mnt/NAME, for a time. Prints the grant's id.")
    .argument("<child>", "name of a child, or the beginning of one")
    .argument("<path>")
    .addOption(modeOption("what the child may do with it (default: ro)"))
    .option("--ttl <time>", "for how long: 5m, 2h, 1d (default: 30m)")
    .option("--uses <n>", "so many attempts of the task may have it (default: 1)", uses)
    .option("--reason <text>", "why: kept with the grant")
    .option("--as <name>", "its name under ~/mnt (default: that of the path)")
    .option("--accept-unprotected", "rw: also where a name like .git or .bashrc could be created in it")
    .option("--accept-home", "ro: also your home directory as a whole")
    .option("--json", JSON_OBJECT)
    .addHelpText("after", `${MODES_NOTE}\n\nExample:\n  cohort grant serene ~/project/data --mode staged --ttl 1h`)
    .action(async (child: string, path: string, options: GrantCommandOptions) =>
      status(await (await import("./commands/grants.ts")).grantCommand(child, path, options)),
    );
  program
    .command("grants")
    .summary("list what children hold")
    .description("Lists what living children were given while they run, and the staged directories of their tasks.")
    .option("-a, --all", "ended ones, too")
    .option("--run <run>", "only those of a run")
    .option("--json", JSON_OBJECT)
    .action(async (options: GrantsOptions) => status(await (await import("./commands/grants.ts")).grantsCommand(options)));
  program
    .command("revoke")
    .summary("take a grant back")
    .description(
      "Takes grants back, and answers when nothing in the sandbox holds them any more: a process that does not let go is killed. What a child changed in a staged directory is kept.",
    )
    .argument("<grant...>", "as cohort grants names them: g17")
    .option("--discard", "throw away what the child changed in a staged directory")
    .option("--json", `${JSON_OBJECT} each`)
    .action(async (ids: string[], options: JsonOption & { discard?: boolean }) =>
      status(await (await import("./commands/grants.ts")).revokeCommand(ids, options)),
    );
  for (const [name, summary, description] of [
    ["freeze", "let a child stand still", "Stops all processes of a child where they are, until cohort thaw. Its time limits go on."],
    ["thaw", "let a frozen child go on", "Lets all processes of a frozen child go on."],
  ] as const)
    program
      .command(name)
      .summary(summary)
      .description(description)
      .argument("<child>", "name of a child, or the beginning of one")
      .option("--json", JSON_OBJECT)
      .action(async (child: string, options: JsonOption) => {
        const { freezeCommand, thawCommand } = await import("./commands/grants.ts");
        status(await (name === "freeze" ? freezeCommand : thawCommand)(child, options));
      });
}

function addStaged(program: Command, status: SetStatus): void {
  program
    .command("diff")
    .summary("show what a child changed in a staged directory")
    .description("Shows what a child changed in a staged directory, also of a child that has ended. Changes nothing.")
    .argument("<grant>", "a grant, or a run: all its staged directories")
    .option("-p, --patch", "the text files' differences, too")
    .option("--json", `${JSON_OBJECT} a grant`)
    .action(async (grant: string, options: DiffOptions) =>
      status(await (await import("./commands/staged.ts")).diffCommand(grant, options)),
    );
  program
    .command("apply")
    .summary("let what a child changed count")
    .description(
      "Writes what cohort diff shows to your directory, as you. Nothing is written while anything was changed there, too. Protected names such as .git are left out unless they are named.",
    )
    .argument("<grant>", "a grant, or a run: all its staged directories")
    .option("--only <path>", "only this path, and what lies below it (repeatable)", collect)
    .option("--accept-protected <name>", "a protected name that is written, too (repeatable)", collect)
    .option("--dry-run", "tell what would be written, write nothing")
    .option("--json", `${JSON_OBJECT} a grant`)
    .addHelpText("after", "\nExit status: 0 all of it, 1 something was not applied.")
    .action(async (grant: string, options: ApplyOptions) =>
      status(await (await import("./commands/staged.ts")).applyCommand(grant, options)),
    );
  program
    .command("discard")
    .summary("throw away what a child changed")
    .description("Throws away what a child changed in a staged directory, for good. Your directory stays as it is.")
    .argument("<grant>")
    .option("--json", JSON_OBJECT)
    .action(async (grant: string, options: JsonOption) =>
      status(await (await import("./commands/staged.ts")).discardCommand(grant, options)),
    );
  program
    .command("undo")
    .summary("bring back what a child overwrote or deleted")
    .description("Brings back what stood in a directory that was given for writing (rw), where a copy was kept. What was added stays.")
    .argument("<grant>")
    .option("--json", JSON_OBJECT)
    .action(async (grant: string, options: JsonOption) => status(await (await import("./commands/staged.ts")).undoCommand(grant, options)));
}

export function addPermissions(program: Command, status: SetStatus): void {
  addApprovals(program, status);
  addGrants(program, status);
  addStaged(program, status);
}
