/** Ninety tasks that are fine, beside one that fails, one that hangs and one that takes all the memory it can get: each ends as what it is. */
import assert from "node:assert/strict";
import { connect, type TaskInput, type TaskResult } from "../../sdk/index.ts";

const fine: readonly TaskInput[] = Array.from({ length: 90 }, (_, index) => ({
  title: `fine ${index}`,
  command: ["echo", `result ${index}`],
}));
const bad: readonly TaskInput[] = [
  { title: "fails", command: ["sh", "-c", "echo it will not work >&2; exit 3"] },
  { title: "hangs", command: ["sleep", "infinity"], timeoutMs: 1500 },
  { title: "bombs memory", command: ["tail", "/dev/zero"], limits: { memoryBytes: 32 * 1024 ** 2 } },
];

await using cohort = await connect();
const tasks = [...fine.slice(0, 30), ...bad, ...fine.slice(30)];
const run = await cohort.run({ title: "survive the bad ones", tasks });
const results = new Map<string, TaskResult>();
for await (const result of run.results()) results.set(result.title, result);

const ends = Object.fromEntries(bad.map(({ title }) => [title, results.get(title)?.status]));
assert.deepEqual(ends, { fails: "failed", hangs: "timed-out", "bombs memory": "out-of-memory" });
assert.equal(results.get("fails")?.exitCode, 3);
assert.equal(results.get("fails")?.stderr.preview, "it will not work\n");
for (const [index, { title }] of fine.entries()) assert.equal(results.get(title)?.stdout.preview, `result ${index}\n`);
const { counts, status } = await run.finished();
assert.deepEqual(
  { status, counts },
  { status: "completed", counts: { total: 93, waiting: 0, running: 0, succeeded: 90, cancelled: 0, failed: 3 } },
);
console.log(
  `run ${run.id}: ${counts.succeeded} succeeded; ${Object.entries(ends)
    .map(([title, end]) => `"${title}" ${end}`)
    .join(", ")}`,
);
