/** The command line itself: every command, option and example. What a command does is loaded when it is called. */
import { Command } from "commander";
import type { CancelOptions } from "./commands/cancel.ts";
import type { ShowOptions } from "./commands/following.ts";
import type { PsOptions } from "./commands/list.ts";
import type { LearnOptions } from "./commands/learn.ts";
import type { JsonOption, VmOptions } from "./commands/machine.ts";
import type { MapCommandOptions } from "./commands/map.ts";
import type { RunCommandOptions } from "./commands/run.ts";
import { addHistory } from "./history-program.ts";
import { addReading, runNote } from "./reading-program.ts";
import { addPermissions, collect, withPreAnswers } from "./permissions-program.ts";

/** Answers the exit status. */
export type SetStatus = (status: number) => void;

function withShowOptions(command: Command): Command {
  return command
    .option("-k, --keep-order", "print outputs in the order of the tasks, not as they finish")
    .option("--tag", "begin every line of output with the task and a tab")
    .option("--no-output", "do not print what tasks write (see: cohort logs)")
    .option("-q, --quiet", "no progress and no summary, only what the tasks write")
    .option("--detach", "start, print the run's id, and do not wait")
    .option("--json", "a stream of JSON objects, one a line, on standard output");
}

function addRun(program: Command, status: SetStatus): void {
  const run = program
    .command("run")
    .summary("run the tasks of a file, each confined in a child of its own")
    .description(
      'Runs the tasks of a YAML or JSON file, each confined in a child of its own. "-" reads standard input.\nThe file is checked whole before anything runs. Its format: docs/task-file.md',
    )
    .argument("<file>", "task file, or -")
    .option("--check", "only check the file")
    .option("--run-key <key>", "the same key again shows the earlier run, and starts none");
  withShowOptions(withPreAnswers(run))
    .addHelpText(
      "after",
      "\nExamples:\n  cohort run tasks.yaml\n  generate-tasks | cohort run - --json > events.jsonl\n  cohort run tasks.yaml --check\n\nExit status: as of cohort map.",
    )
    .action(async (file: string, options: RunCommandOptions) =>
      status(await (await import("./commands/run.ts")).runCommand(file, options)),
    );
}

const MAP_EXAMPLES = `
Replacement strings: {} item, {.} without extension, {/} basename, {//} directory,
{/.} basename without extension, {#} number of the task from 1, {1} {2/.} … of the
first, second … source. Without any, the item is appended. Items come from ::: on
the command line, from files after ::::, or from standard input.

The working directory is mounted read-only and is the task's working directory;
other paths need --in, --write or --staged. There is no network, or with --network proxied an
HTTP proxy. Files that a task leaves in $COHORT_OUT are collected.

Examples:
  cohort map -- wc -l {} ::: *.txt
  ls *.jpg | cohort map --shell --out thumbs -- 'convert {} -resize 200 $COHORT_OUT/{/}'
  cohort map -j 4 --tag --halt now,fail=1 -- ./check {1} {2} ::: a b ::: x y

Exit status: 0 all succeeded, 1-100 so many tasks failed, 101 more than 100 failed,
the failed task's own with --halt soon|now,fail=1, 130 after Ctrl-C, 2 wrong use,
255 any other error.`;

function addMap(program: Command, status: SetStatus): void {
  const map = program
    .command("map")
    .summary("run one command for each item, as xargs and GNU parallel do, each confined")
    .description("Runs one command for each item, each in a child of its own. No shell is involved unless --shell asks for it.")
    .usage("[options] -- COMMAND {} ::: items…")
    .argument("[command...]", "command with replacement strings, then ::: and items")
    .passThroughOptions()
    .option("-j, --jobs <n>", "children at once: N, N% of the cores, +N, -N, 0 as many as possible (default: twice the cores)")
    .option("-a, --arg-file <file>", "items from the lines of a file (repeatable)", collect)
    .option("-0, --null", "items end with NUL, not with a newline")
    .option("--shell", "the command is a line for /bin/sh; items are quoted")
    .option("--halt <when>", "never · soon|now,fail=N · soon|now,fail=N% (default: never)")
    .option("--timeout <time>", "wall time of one attempt: 30s, 5m, or seconds")
    .option("--deadline <time>", "wall time of the whole run")
    .option("--stuck-after <time>", "without any sign of life for so long a task counts as stuck (default: 2m)")
    .option("--silent-after <time>", "so also without output for so long, although it computes (default: never)")
    .option("--on-stuck <what>", "tell, or cancel: end it (default: tell)")
    .option("--retries <n>", "further attempts after a failure")
    .option("--idempotent", "a task may be run again when its outcome is unknown")
    .option("--env <name>", "pass a variable (NAME or NAME,NAME), or set one (NAME=VALUE) (repeatable)", collect)
    .option("--memory <size>", "most memory of a child (default: 512MiB)")
    .option("--disk <size>", "size of a child's home (default: 256MiB)")
    .option("--cpu <cores>", "most cores of a child: 0.5, 2 (default: a fair share)")
    .option("--in <dir>", "mount a directory read-only as ~/mnt/NAME: DIR or DIR:NAME (repeatable)", collect)
    .option("--write <dir>", "mount a directory that tasks may change: DIR or DIR:NAME (repeatable)", collect)
    .option("--staged <dir>", "the same, but nothing counts before cohort apply (repeatable)", collect)
    .option("--network <mode>", "none, or proxied: HTTP by way of a proxy, as far as the policy allows (default: none)")
    .option("--no-cwd", "do not mount the working directory")
    .option("--out <dir>", "copy collected files there; {#} in it is the number of the task")
    .option("--joblog <file>", "write a line for each finished task, in the columns of GNU parallel")
    .option("--title <text>", "title of the run")
    .option("--run-key <key>", "the same key again shows the earlier run, and starts none")
    .option("--dry-run", "print the commands, run nothing");
  withShowOptions(withPreAnswers(map))
    .addHelpText("after", MAP_EXAMPLES)
    .action(async (words: string[], options: MapCommandOptions) =>
      status(await (await import("./commands/map.ts")).mapCommand(words, options)),
    );
}

function addRuns(program: Command, status: SetStatus): void {
  program
    .command("ps")
    .summary("list runs and children")
    .description("Lists what runs now, and the living children.")
    .option("-a, --all", "earlier runs, too")
    .option("--json", "one JSON object")
    .action(async (options: PsOptions) => status(await (await import("./commands/list.ts")).psCommand(options)));
  addReading(program, status);
  program
    .command("cancel")
    .summary("end a run; what was done is kept")
    .description(
      "Asks the children of a run to end, kills them after their grace, starts no more, and waits until nothing is left. Results are kept.",
    )
    .argument("<run>")
    .option("--kill", "kill at once")
    .option("--json", "the run's summary as JSON")
    .addHelpText("after", runNote)
    .action(async (run: string, options: CancelOptions) =>
      status(await (await import("./commands/cancel.ts")).cancelCommand(run, options)),
    );
  withShowOptions(
    program
      .command("resume")
      .summary("run again what did not succeed")
      .description("Starts a new run of those tasks of an earlier one that did not succeed.")
      .argument("<run>")
      .option("--run-key <key>", "the same key again shows the earlier run, and starts none")
      .addHelpText("after", runNote),
  ).action(async (run: string, options: ShowOptions & { runKey?: string }) =>
    status(await (await import("./commands/run.ts")).resumeCommand(run, options)),
  );
  program
    .command("shell")
    .summary("open a shell in a living child")
    .description("Opens a shell (or runs a command) beside a child's task, in its sandbox.")
    .usage("CHILD [-- COMMAND…]")
    .argument("<child>", "name of a child, or the beginning of one")
    .argument("[command...]")
    .passThroughOptions()
    .action(async (child: string, words: string[]) => status(await (await import("./commands/shell.ts")).shellCommand(child, words)));
}

function addLearn(program: Command, status: SetStatus): void {
  program
    .command("learn")
    .summary("propose the least that a command needs, as a task file")
    .description(
      "Runs a command with the working directory read-only and nothing else, or reads what an earlier run said, and prints a task file\nthat mounts the directories of this machine that it named and missed. Paths that look like secrets are listed, never proposed.",
    )
    .argument("<words...>", "a run, or -- and a command")
    .option("--no-cwd", "do not show the working directory either")
    .addHelpText(
      "after",
      "\nExamples:\n  cohort learn -- make test > tasks.yaml\n  cohort learn k3f9aaaa\n\nLimits: it knows the paths in the command's arguments, and those in messages about files that were missing or not writable. What a\nprogram misses without a word it does not see; it runs once, so what comes after the first failure shows in the next run.",
    )
    .action(async (words: readonly string[], options: LearnOptions) =>
      status(await (await import("./commands/learn.ts")).learnCommand(words, options, process.argv.includes("--"))),
    );
}

function addMachine(program: Command, status: SetStatus): void {
  program
    .command("doctor")
    .summary("what this machine offers, and whether every layer of a child is active")
    .description(
      "Checks this machine; with a child, every layer of its confinement, from inside and outside. Exit status 1: something is missing.",
    )
    .argument("[child]")
    .option("--json", "one JSON object")
    .action(async (child: string | undefined, options: JsonOption) =>
      status(await (await import("./commands/machine.ts")).doctorCommand(child, options)),
    );
  program
    .command("vm")
    .summary("the warden that builds sandboxes: up, down, status")
    .description("Starts (root: sudo cohort vm up) or ends the warden, the only part that stays root. Ending it ends every child.")
    .addArgument(program.createArgument("<action>").choices(["up", "down", "status"]))
    .option("--user <name>", "whose warden (default: who called sudo)")
    .option("--json", "one JSON object")
    .action(async (action: "up" | "down" | "status", options: VmOptions) =>
      status(await (await import("./commands/machine.ts")).vmCommand(action, options)),
    );
  program
    .command("daemon")
    .summary("cohortd, the supervisor: stop, status")
    .description("Shows or ends your cohortd. It starts by itself, and ends when idle. Children go on until the warden's lease ends.")
    .addArgument(program.createArgument("<action>").choices(["stop", "status"]))
    .option("--json", "one JSON object")
    .action(async (action: "stop" | "status", options: JsonOption) =>
      status(await (await import("./commands/machine.ts")).daemonCommand(action, options)),
    );
  program
    .command("completion")
    .summary("completion for bash, zsh or fish")
    .description("Prints completion for a shell. For example, in ~/.bashrc: source <(cohort completion bash)")
    .addArgument(program.createArgument("<shell>").choices(["bash", "zsh", "fish"]))
    .action(async (shell: "bash" | "zsh" | "fish") => status((await import("./commands/completion.ts")).completionCommand(program, shell)));
  program
    .command("complete-names", { hidden: true })
    .argument("<kind>")
    .action(async (kind: string) => status(await (await import("./commands/completion.ts")).namesCommand(kind)));
}

export function buildProgram(version: string, status: SetStatus): Command {
  const program = new Command("cohort");
  program
    .description(
      "Runs many commands in parallel, each confined to a Linux user, mounts, process tree and network of its own, under a supervisor that never loses a result.",
    )
    .version(version, "-V, --version")
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .addHelpText(
      "after",
      "\nExamples:\n  cohort map -- wc -l {} ::: *.txt\n  cohort run tasks.yaml\n  cohort ps\n\nState: $COHORT_HOME, or ~/.local/state/cohort. More: docs/cli.md",
    );
  addRun(program, status);
  addMap(program, status);
  addRuns(program, status);
  addPermissions(program, status);
  addHistory(program, status);
  addLearn(program, status);
  addMachine(program, status);
  return program;
}
