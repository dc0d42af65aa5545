/** `cohort completion`: scripts made from the commands themselves, so that they cannot fall behind. */
import type { Command } from "commander";
import type { Cohort } from "../../../sdk/index.ts";
import { writeNow } from "../report.ts";
import { withCohort } from "../session.ts";

interface Completed {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly { readonly flag: string; readonly takesValue: boolean; readonly description: string }[];
  readonly choices: readonly string[];
  /** What its first argument names. */
  readonly names: Names;
}

type Names = "runs" | "children" | "approvals" | "grants" | "files";

const COMMANDS_OF: Readonly<Record<Exclude<Names, "files">, ReadonlySet<string>>> = {
  runs: new Set(["logs", "results", "events", "cancel", "resume", "replay", "rm"]),
  children: new Set(["shell", "doctor", "grant", "freeze", "thaw"]),
  approvals: new Set(["approve", "deny"]),
  grants: new Set(["revoke", "diff", "apply", "discard", "undo"]),
};

function namesOf(command: string): Names {
  for (const kind of ["runs", "children", "approvals", "grants"] as const) if (COMMANDS_OF[kind].has(command)) return kind;
  return "files";
}

/** Plain words only: they stand in shell scripts between single quotes. */
const inert = (text: string): string => text.replace(/[^A-Za-z0-9 .,;=%|{}#+_/()-]/g, " ");

function describe(program: Command): readonly Completed[] {
  return program.commands
    .filter((command) => command.name() !== "complete-names")
    .map((command) => ({
      name: command.name(),
      summary: inert(command.summary()),
      options: command.options.flatMap((option) =>
        [option.short, option.long]
          .filter((flag) => flag !== undefined && flag !== null)
          .map((flag) => ({ flag, takesValue: option.required, description: inert(option.description) })),
      ),
      choices: command.registeredArguments.flatMap((argument) => argument.argChoices ?? []),
      names: namesOf(command.name()),
    }));
}

function candidates(command: Completed): string {
  if (command.choices.length > 0) return `compgen -W '${command.choices.join(" ")}' -- "$word"`;
  return command.names === "files"
    ? `compgen -f -- "$word"`
    : `compgen -W "$(cohort complete-names ${command.names} 2>/dev/null)" -- "$word"`;
}

function bash(commands: readonly Completed[]): string {
  const cases = commands.map(
    (command) => `    ${command.name})
      if [[ $word == -* ]]; then COMPREPLY=($(compgen -W '${command.options.map((option) => option.flag).join(" ")}' -- "$word"))
      else COMPREPLY=($(${candidates(command)})); fi ;;`,
  );
  return `# bash completion of cohort
_cohort() {
  local word=\${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${commands.map((command) => command.name).join(" ")} --help --version' -- "$word"))
    return
  fi
  case \${COMP_WORDS[1]} in
${cases.join("\n")}
  esac
}
complete -o default -F _cohort cohort
`;
}

function zsh(commands: readonly Completed[]): string {
  const cases = commands.map((command) => {
    const flags = command.options.map((option) => `'${option.flag}[${option.description}]${option.takesValue ? ":value:_files" : ""}'`);
    const rest =
      command.choices.length > 0
        ? `'*: :(${command.choices.join(" ")})'`
        : command.names === "files"
          ? "'*: :_files'"
          : `"*: :($(cohort complete-names ${command.names} 2>/dev/null))"`;
    return `    ${command.name}) _arguments ${[...flags, rest].join(" ")} ;;`;
  });
  return `#compdef cohort
# zsh completion of cohort
_cohort() {
  local -a names
  names=(${commands.map((command) => `'${command.name}:${command.summary}'`).join(" ")})
  if (( CURRENT == 2 )); then _describe command names; return; fi
  local name=$words[2]
  shift words; (( CURRENT-- ))
  case $name in
${cases.join("\n")}
  esac
}
compdef _cohort cohort
`;
}

function fish(commands: readonly Completed[]): string {
  const lines = commands.flatMap((command) => {
    const when = `-n '__fish_seen_subcommand_from ${command.name}'`;
    const first = `complete -c cohort -n __fish_use_subcommand -f -a ${command.name} -d '${command.summary}'`;
    const rest =
      command.choices.length > 0
        ? [`complete -c cohort ${when} -f -a '${command.choices.join(" ")}'`]
        : command.names === "files"
          ? []
          : [`complete -c cohort ${when} -f -a '(cohort complete-names ${command.names} 2>/dev/null)'`];
    const flags = command.options.map((option) => {
      const long = option.flag.startsWith("--");
      return `complete -c cohort ${when} ${long ? `-l ${option.flag.slice(2)}` : `-s ${option.flag.slice(1)}`}${option.takesValue ? " -r" : ""} -d '${option.description}'`;
    });
    return [first, ...rest, ...flags];
  });
  return `# fish completion of cohort\n${lines.join("\n")}\n`;
}

export function completionCommand(program: Command, shell: "bash" | "zsh" | "fish"): number {
  const commands = describe(program);
  const write = { bash, zsh, fish }[shell];
  writeNow(1, write(commands));
  return 0;
}

async function namesNow(cohort: Cohort, kind: string): Promise<readonly string[]> {
  switch (kind) {
    case "children":
      return (await cohort.children()).map((child) => child.child);
    case "approvals":
      return (await cohort.approvals.list()).map((approval) => approval.approval);
    case "grants":
      return (await cohort.grants.list({ ended: true, limit: 100 })).map((grant) => grant.grant);
    default:
      return ["@", ...(await cohort.runs({ limit: 50 })).map((run) => run.run)];
  }
}

/** Names for the scripts above. Nothing is started for a key stroke: without a cohortd there are none. */
export async function namesCommand(kind: string): Promise<number> {
  try {
    return await withCohort(
      async (cohort) => {
        writeNow(1, `${(await namesNow(cohort, kind)).join("\n")}\n`);
        return 0;
      },
      { start: false },
    );
  } catch {
    // A completion that writes an error breaks the line that a person is typing.
    return 1;
  }
}
