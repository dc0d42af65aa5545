/** `npm run demo`: from a fresh clone to the first example, which audits this checkout's own dependencies. */
import { dirname } from "node:path";
import { runProgram } from "./process.ts";
import { ensureSystemPackages } from "./system-packages.ts";

const root = dirname(import.meta.dirname);

async function main(): Promise<number> {
  ensureSystemPackages(["build"]);
  for (const script of ["scripts/build.ts", "examples/01-audit-dependencies/main.ts"]) {
    const status = await runProgram(process.execPath, [script], { cwd: root });
    if (status !== 0) return status;
  }
  return 0;
}

process.exitCode = await main();
