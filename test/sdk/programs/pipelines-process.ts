/** Runs pipelines to their end, unless it is killed: `pipelines-process.ts DIRECTORY SHARED NAMES`. Says how each ended. */
import { connect } from "../../../sdk/index.ts";
import { confinedTasks, openActors } from "../../../sdk/actors.ts";
import { pipeline } from "./pipeline.ts";

const [, , directory = "", shared = "", names = ""] = process.argv;

await using cohort = await connect();
await using actors = await openActors({ directory, actors: [pipeline], effects: confinedTasks(cohort) });
const ends = await Promise.all(
  names.split(",").map(async (name) => {
    const input = { name, steps: 4, script: 'echo "$1 $2" >> ~/mnt/shared/ledger; sleep 0.1', shared };
    const one = await actors.start(pipeline, name, input);
    const { value, context } = await one.ended({ timeoutMs: 60_000 });
    return [name, value, context.statuses];
  }),
);
console.log(JSON.stringify(ends));
