/** Runs seeds one after the other, and writes one verdict a line: started by scripts/sim.ts with hooks.ts loaded before. */
import { replaceGlobals } from "./machine/globals.ts";

replaceGlobals();
const { simulateSystem } = await import("./system/simulate-system.ts");

const [first = "1", count = "1", step = "1", print = ""] = process.argv.slice(2);
let last = Number(first);
process.on("unhandledRejection", (error) => {
  process.stderr.write(`seed ${last}: an unhandled rejection: ${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
});
for (let done = 0; done < Number(count); done++) {
  last = Number(first) + done * Number(step);
  const verdict = await simulateSystem(last, print === "" ? {} : { print: (line) => process.stdout.write(`${line}\n`) });
  const { counts, ...rest } = verdict;
  process.stdout.write(`${JSON.stringify(verdict.violations.length > 0 ? { ...rest, counts } : { seed: last, hash: rest.hash, steps: rest.steps, counts, violations: [] })}\n`);
}
