/** Runs a keyed scope of a race, a fan-out and a step after it; says what it got, or is killed before. Arguments: key, directory of the person's. */
import { connect } from "../../sdk/index.ts";
import type { ScopedTask } from "../../sdk/index.ts";

const [, , key = "", shared = ""] = process.argv;
const mounts = [{ path: shared, as: "shared", mode: "rw" as const }];
const task = (name: string, seconds: number): ScopedTask<string> => ({
  title: name,
  command: ["sh", "-c", `echo ${name} >> ~/mnt/shared/seen; sleep ${seconds}; echo ${name}`],
  mounts,
  read: ({ stdout }) => stdout.preview.trim(),
});

await using cohort = await connect();
const told = await cohort.scope(
  async (scope) => {
    const first = await scope.run(task("first", 0.2));
    const rest: string[] = [];
    for await (const outcome of scope.map(["a", "b", "c", "d"], (name) => task(name, 0.4), { limit: 2 })) {
      if (!outcome.ok) throw outcome.error;
      rest.push(outcome.value);
    }
    return [first, ...rest.toSorted(), await scope.run(task("last", 0.1))];
  },
  { key, timeoutMs: 60_000 },
);
console.log(JSON.stringify(told));
