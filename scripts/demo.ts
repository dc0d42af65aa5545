/**
 * `npm run demo`: from a fresh clone to the first example, which audits this checkout's own dependencies.
 * As root it starts a warden and a cohortd that serve until somebody ends them: what did not run before does not run afterwards.
 */
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { runProgram } from "./process.ts";
import { ensureSystemPackages } from "./system-packages.ts";

const root = dirname(import.meta.dirname);
const COHORT = join(root, "app/cli/main.ts");
const COHORT_TIMEOUT_MS = 60_000;
/** In the order in which they end. */
const SERVICES = [
  { status: ["daemon", "status"], end: ["daemon", "stop"] },
  { status: ["vm", "status"], end: ["vm", "down"] },
] as const;

/** Says nothing: whether it runs, or ends, is all that is asked. */
function cohort(words: readonly string[]): number | null {
  return spawnSync(process.execPath, ["--disable-warning=ExperimentalWarning", COHORT, ...words], {
    cwd: root,
    stdio: "ignore",
    timeout: COHORT_TIMEOUT_MS,
  }).status;
}

async function demo(): Promise<number> {
  for (const script of ["scripts/build.ts", "examples/01-audit-dependencies/main.ts"]) {
    const status = await runProgram(process.execPath, [script], { cwd: root });
    if (status !== 0) return status;
  }
  return 0;
}

async function main(): Promise<number> {
  ensureSystemPackages(["build"]);
  const absent = process.getuid?.() === 0 ? SERVICES.filter(({ status }) => cohort(status) !== 0) : [];
  try {
    return await demo();
  } finally {
    for (const { status, end } of absent) if (cohort(status) === 0) cohort(end);
  }
}

process.exitCode = await main();
