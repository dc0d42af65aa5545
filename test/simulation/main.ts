/** Runs seeds one after the other, and writes one verdict a line: started by scripts/sim.ts, with hooks.ts loaded before it. */
import { replaceGlobals } from "./machine/globals.ts";
import type { Batch } from "./verdict.ts";

replaceGlobals();
const { simulate } = await import("./simulate.ts");
const { simulateEachDeath } = await import("./exhaustive.ts");

const { from, count, step, twice, exhaustive, print } = JSON.parse(process.argv[2] ?? "{}") as Batch;
let present = from;
process.on("unhandledRejection", (error) => {
  process.stderr.write(`seed ${present}: an unhandled rejection: ${error instanceof Error ? String(error.stack) : String(error)}\n`);
  process.exitCode = 1;
});
const options = print ? { print: (line: string) => void process.stdout.write(`${line}\n`) } : {};
for (let done = 0; done < count; done++) {
  present = from + done * step;
  const verdict = exhaustive ? await simulateEachDeath(present) : await simulate(present, options);
  const again = twice ? await simulate(present, options) : verdict;
  if (again.hash !== verdict.hash)
    process.stdout.write(
      `${JSON.stringify({ ...verdict, violations: [`two runs of one seed differ: ${verdict.hash}, ${again.hash}`] })}\n`,
    );
  else process.stdout.write(`${JSON.stringify(verdict.violations.length === 0 ? { ...verdict, last: [] } : verdict)}\n`);
}
