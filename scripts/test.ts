/** `npm test` and `npm run test:long`: brings what the tests need, builds, runs vitest; its last line is the totals. */
import { dirname } from "node:path";
import { runProgram } from "./process.ts";
import { ensureSystemPackages } from "./system-packages.ts";

const root = dirname(import.meta.dirname);
const [first, ...rest] = process.argv.slice(2);
const isLong = first === "--long";
const filters = isLong ? rest : process.argv.slice(2);

async function main(): Promise<number> {
  ensureSystemPackages(["build", "test"]);
  const built = await runProgram(process.execPath, ["scripts/build.ts"], { cwd: root });
  if (built !== 0) return built;
  const projects = isLong ? ["--project", "long"] : ["--project", "main", "--project", "style"];
  return runProgram("vitest", ["run", ...projects, "--reporter=default", "--reporter=./scripts/test-reporter.ts", ...filters], {
    cwd: root,
  });
}

process.exitCode = await main();
