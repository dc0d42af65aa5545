/**
 * The program cohortd. `start`, `vm-up`, `vm-down` and `journal` are steps that a client runs and hears of in one line of JSON; `serve` is the daemon itself.
 */
import { fileURLToPath } from "node:url";
import { CohortError, isCohortError } from "../../runtime/kernel/error.ts";
import { errorToRemote } from "../../runtime/transport/remote-error.ts";
import { EXIT_JOURNAL_LOCKED, EXIT_REFUSED, EXIT_SOFTWARE } from "./exit-status.ts";

async function step(work: () => Promise<unknown>): Promise<void> {
  try {
    process.stdout.write(`${JSON.stringify({ answer: (await work()) ?? null })}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ error: errorToRemote(error) })}\n`);
    process.exitCode = 1;
  }
}

async function main(args: readonly string[]): Promise<void> {
  const [name = "", first = "", second = ""] = args;
  switch (name) {
    case "start":
    case "vm-up":
    case "vm-down": {
      const { startDaemon, startWarden, stopWarden } = await import("./launch.ts");
      if (name === "start") return step(() => startDaemon(fileURLToPath(import.meta.url), process.env));
      return step(() => (name === "vm-up" ? startWarden(first, process.env) : stopWarden(first, process.env)));
    }
    case "journal": {
      const { answerFromCopy } = await import("./journal-copy.ts");
      return step(async () => answerFromCopy(first, process.env));
    }
    case "serve": {
      const { serve } = await import("./serve.ts");
      await serve({ stateDirectory: first, wardenSocket: second, environment: process.env });
      // Whatever still holds the event loop has been told to stop; the daemon does not wait for it.
      process.exit(0);
    }
    // falls through is impossible: exit does not return
    default:
      throw new CohortError("USAGE", { on: "cohortd serve STATE-DIRECTORY WARDEN-SOCKET", hint: "cohort starts it by itself" });
  }
}

/** The last line that a start step reads from the log (launch.ts). Written at once: the process ends behind it. */
function fatal(error: unknown): never {
  process.stderr.write(
    `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n${JSON.stringify({ fatal: errorToRemote(error) })}\n`,
  );
  if (isCohortError(error, "JOURNAL_LOCKED")) process.exit(EXIT_JOURNAL_LOCKED);
  process.exit(isCohortError(error, "NOT_AUTHORIZED") ? EXIT_REFUSED : EXIT_SOFTWARE);
}

process.on("uncaughtException", fatal);
process.on("unhandledRejection", fatal);
await main(process.argv.slice(2)).catch(fatal);
