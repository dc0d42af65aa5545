/** The program `cohort`. */
import { readFileSync } from "node:fs";
import { CommanderError } from "commander";
import { EXIT_STATUS_ERROR } from "./follow/exit-status.ts";
import { buildProgram } from "./program.ts";
import { reportError, writeNow } from "./report.ts";
import { neutraliseText } from "./text/neutralise.ts";

/** From source it is two folders up, from a bundle one. */
function version(): string {
  for (const place of ["../../package.json", "../package.json"]) {
    try {
      const manifest = JSON.parse(readFileSync(new URL(place, import.meta.url), "utf8")) as {
        readonly name?: string;
        readonly version?: string;
      };
      if (manifest.name === "cohort" && manifest.version !== undefined) return manifest.version;
    } catch {
      // The next place.
    }
  }
  return "unknown";
}

/** What stands before the command that tasks run: their own --json is not ours. */
function wantsJson(argv: readonly string[]): boolean {
  const end = argv.findIndex((word) => word === "--" || word === ":::");
  return argv.slice(0, end === -1 ? undefined : end).includes("--json");
}

async function main(argv: readonly string[]): Promise<number> {
  let status = 0;
  const program = buildProgram(version(), (answer) => (status = answer));
  const configure = (command: typeof program): void => {
    command.exitOverride().configureOutput({ writeErr: () => {}, writeOut: (text) => writeNow(1, text) });
    command.commands.forEach(configure);
  };
  configure(program);
  try {
    await program.parseAsync(argv, { from: "user" });
    return status;
  } catch (error) {
    if (!(error instanceof CommanderError)) return reportError(error, wantsJson(argv));
    if (error.exitCode === 0) return 0;
    // commander answers an unknown topic of `cohort help` with everything, and no word about it.
    const topic = error.code === "commander.help" && argv[0] === "help" ? argv[1] : undefined;
    const message = topic === undefined ? error.message.replace(/^error: /, "") : `unknown command '${topic}'`;
    if (wantsJson(argv))
      writeNow(1, `${JSON.stringify({ type: "error", error: { code: "USAGE", message, hint: "see cohort --help" } })}\n`);
    else if (error.code === "commander.help" && topic === undefined) writeNow(2, program.helpInformation());
    else writeNow(2, neutraliseText(`cohort: ${message.split("\n").join("\n  ")}\n  hint: see cohort --help, or cohort COMMAND --help\n`));
    return EXIT_STATUS_ERROR;
  }
}

let status = EXIT_STATUS_ERROR;
try {
  status = await main(process.argv.slice(2));
} catch (error) {
  status = reportError(error, false);
}
process.exit(status);
