/** `npm run sim`: simulates seeds, says what went wrong and how often everything happened. `-- --seed N` replays one with its whole trace. */
import { availableParallelism } from "node:os";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { unreached } from "../test/simulation/coverage.ts";
import type { Verdict } from "../test/simulation/verdict.ts";
import { runBatch } from "./sim-batch.ts";

const USAGE = "usage: npm run sim -- [--seeds N] [--from SEED] [--jobs N] [--twice] [--exhaustive] [--json] | --seed SEED";
const JOBS_MAX = 2;
const PROGRESS_MS = 5000;
const FAILURES_SHOWN_MAX = 20;
const TRACE_LINES = 25;

const root = dirname(import.meta.dirname);

function options(): { from: number; count: number; jobs: number; twice: boolean; exhaustive: boolean; json: boolean; replay: boolean } {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "200" },
      from: { type: "string", default: "1" },
      seed: { type: "string" },
      jobs: { type: "string", default: String(Math.min(JOBS_MAX, availableParallelism())) },
      twice: { type: "boolean", default: false },
      exhaustive: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  const replay = values.seed !== undefined;
  const found = {
    from: Number(values.seed ?? values.from),
    count: replay ? 1 : Number(values.seeds),
    jobs: Number(values.jobs),
    twice: values.twice,
    exhaustive: values.exhaustive,
    json: values.json,
    replay,
  };
  for (const number of [found.from, found.count, found.jobs]) if (!Number.isSafeInteger(number) || number < 1) throw new Error(USAGE);
  return found;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function sayFailure({ seed, violations, last, hash }: Verdict): void {
  say(`seed ${seed} failed (trace ${hash}):`);
  for (const violation of violations) say(`  ${violation}`);
  say("  the last steps:");
  for (const line of last.slice(-TRACE_LINES)) say(`    ${line}`);
  say(`  replay: npm run sim -- --seed ${seed}`);
}

const add = (into: Record<string, number>, counts: Readonly<Record<string, number>>): void => {
  for (const [name, count] of Object.entries(counts)) into[name] = (into[name] ?? 0) + count;
};

/** States and events have many lines of their own; the rest is what a reader wants to see. */
function sayCounts(counts: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(counts).toSorted(([left], [right]) => (left < right ? -1 : 1)))
    if (!name.startsWith("state ") && !name.startsWith("event ")) say(`  ${String(count).padStart(9)}  ${name}`);
}

async function main(): Promise<number> {
  const { from, count, jobs, twice, exhaustive, json, replay } = options();
  const startedMs = performance.now();
  const counts: Record<string, number> = {};
  const failed: Verdict[] = [];
  let done = 0;
  let steps = 0;
  const rate = (): number => done / ((performance.now() - startedMs) / 1000);
  const progress = setInterval(() => {
    if (!json && !replay) say(`${done} of ${count} seeds, ${failed.length} failed, ${rate().toFixed(1)} a second`);
  }, PROGRESS_MS);
  const verdict = (found: Verdict): boolean => {
    done++;
    steps += found.steps;
    add(counts, found.counts);
    if (found.violations.length === 0) return true;
    failed.push(found);
    if (!json && failed.length <= FAILURES_SHOWN_MAX) sayFailure(found);
    return true;
  };
  try {
    await runBatch({ root, from, count, jobs, twice, exhaustive, verdict, ...(replay ? { print: say } : {}) });
  } finally {
    clearInterval(progress);
  }
  const missing = unreached(counts);
  const seconds = (performance.now() - startedMs) / 1000;
  if (json) {
    say(
      JSON.stringify({
        seeds: done,
        seconds,
        steps,
        failed: failed.map(({ seed, violations }) => ({ seed, violations })),
        counts,
        unreached: missing,
      }),
    );
  } else {
    say(`${done} seeds, ${steps} steps in ${seconds.toFixed(1)} s: ${failed.length === 0 ? "clean" : `${failed.length} failed`}`);
    if (!replay) {
      sayCounts(counts);
      say(missing.length === 0 ? "every state and event of the machines was reached" : `never reached: ${missing.join(", ")}`);
    }
  }
  return failed.length === 0 ? 0 : 1;
}

process.exitCode = await main();
