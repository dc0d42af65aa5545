/** `npm run chaos -- [--kills N] [--children N] [--seed N] [--json]`: storms until so many kills; the exit status says whether nothing was lost. */
import { Command, InvalidArgumentError } from "commander";
import { describeMachine } from "../../bench/machine.ts";
import { atMost, percentile, type Goal } from "../../bench/result.ts";
import { ownHomeUnavailable } from "../daemon/own-home.ts";
import { seeded } from "./seeded.ts";
import { storm, type StormReport } from "./storm.ts";

interface Options {
  readonly kills: number;
  readonly children: number;
  readonly seed: number;
  readonly json: boolean;
}

const KILLS_PER_STORM = 20;
const WATCHED_MAX = 8;

function count(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError("a whole number from 1 on");
  return value;
}

function goalsOf(reports: readonly StormReport[]): readonly Goal[] {
  const sum = (pick: (report: StormReport) => number): number => reports.reduce((total, report) => total + pick(report), 0);
  return [
    atMost(
      "resultsLost",
      "results",
      0,
      sum((report) => report.resultsLost),
    ),
    atMost(
      "resultsDoubled",
      "results",
      0,
      sum((report) => report.resultsDoubled),
    ),
    atMost(
      "streamsTorn",
      "streams",
      0,
      sum((report) => report.streamsTorn),
    ),
    atMost(
      "leftovers",
      "things",
      0,
      sum((report) => report.leftovers),
    ),
    atMost(
      "reattachedP95Ms",
      "ms",
      2000,
      percentile(
        reports.flatMap(({ reattachedMs }) => reattachedMs),
        95,
      ),
    ),
  ];
}

async function main(): Promise<number> {
  const program = new Command("chaos")
    .description("Kills cohortd with SIGKILL at random moments of runs of living children, and looks whether anything was lost.")
    .option("--kills <n>", "how often cohortd is killed in all", count, 100)
    .option("--children <n>", "children of each run, all alive at once", count, 200)
    .option("--seed <n>", "of the moments", count, Date.now() % 1_000_000)
    .option("--json", "one object", false)
    .parse();
  const { kills, children, seed, json } = program.opts<Options>();
  if (ownHomeUnavailable !== null) throw new Error(ownHomeUnavailable);
  const random = seeded(seed);
  const reports: StormReport[] = [];
  for (let done = 0, storms = 0; done < kills && storms < kills; storms += 1) {
    const report = await storm({
      kills: Math.min(KILLS_PER_STORM, kills - done),
      children,
      watched: Math.min(WATCHED_MAX, children),
      random,
    });
    done += report.kills;
    reports.push(report);
    if (!json)
      console.log(
        `${done} of ${kills} kills: lost ${report.resultsLost}, doubled ${report.resultsDoubled}, torn ${report.streamsTorn}, left ${report.leftovers}`,
      );
  }
  const goals = goalsOf(reports);
  const samples = { reattachedMs: reports.flatMap(({ reattachedMs }) => reattachedMs) };
  const problems = reports.flatMap((report) => report.problems);
  if (json) console.log(JSON.stringify({ name: "chaos", seed, kills, children, goals, samples, problems, machine: describeMachine() }));
  else {
    for (const { name, unit, goal, value, ok } of goals) console.log(`${ok ? "met   " : "MISSED"} ${name} ${value} (${goal} ${unit})`);
    for (const problem of problems) console.log(problem);
    console.log(`seed ${seed}, ${samples.reattachedMs.length} times seen to be attached again`);
  }
  return goals.every(({ ok }) => ok) ? 0 : 1;
}

process.exitCode = await main();
