/** `npm run docs`: writes docs/errors.md from the one error table. A test compares the two, so neither can be changed alone. */
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { errorTable, type ErrorEntry } from "../runtime/kernel/error-table.ts";

const AUDIENCES: Readonly<Record<ErrorEntry["audience"], string>> = {
  user: "the person who gave the command",
  operator: "whoever runs the machine",
  developer: "whoever works on Cohort, or with its SDK",
};

export function errorDocs(): string {
  const rows = Object.entries(errorTable).map(
    ([code, { message, hint, retryable, audience }]) =>
      `| \`${code}\` | ${message} | ${hint.replaceAll("|", "\\|")} | ${retryable ? "yes" : "no"} | ${audience} |`,
  );
  return [
    "# Errors",
    "",
    "Every error of Cohort is a `CohortError` with one of these codes. The command line prints the message, what it was about, and the hint;",
    "`--json` and the SDK carry the code. *Again* says whether the same request may succeed later without a change.",
    "",
    ...Object.entries(AUDIENCES).map(([audience, who]) => `- **${audience}**: ${who}`),
    "",
    "| code | what happened | what to do | again | audience |",
    "|---|---|---|---|---|",
    ...rows,
    "",
    "This file is written by `npm run docs` from `runtime/kernel/error-table.ts`; a test fails when they differ.",
    "",
  ].join("\n");
}

export const ERROR_DOCS_PATH = join(dirname(import.meta.dirname), "docs/errors.md");

// Also when it is imported by node24.mjs.
if (process.argv[1] === import.meta.filename) writeFileSync(ERROR_DOCS_PATH, errorDocs());
