/** Figures that the documents state for people, beside those that the code uses. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseSize } from "../../app/cli/text/measure.ts";
import { GRACE_MS } from "../../machines/child-context.ts";
import { RUN_TASKS_MAX, runSpecSchema, taskSchema } from "../../machines/messages/task.ts";

const root = join(import.meta.dirname, "../..");
const taskFile = readFileSync(join(root, "docs/task-file.md"), "utf8");
const task = { title: "t", command: ["true"] };

/** The last cell of the row whose first is made of these fields. */
function stated(fields: string): string[] {
  const row = taskFile.split("\n").find((line) => line.startsWith(`| ${fields} |`));
  const cell = row?.split("|").at(-2)?.trim() ?? "no such row";
  return cell.split(", ");
}

test("the limits that docs/task-file.md states are those of a task that names none", () => {
  const { limits } = taskSchema.parse(task);
  const sizes = (fields: string): (number | null)[] => stated(fields).map(parseSize);
  expect(sizes("`memory`")).toEqual([limits.memoryBytes]);
  expect(sizes("`disk`, `inodes`")).toEqual([limits.diskBytes, limits.diskInodes]);
  expect(sizes("`tmp`")).toEqual([limits.tmpBytes]);
  expect(sizes("`processes`")).toEqual([limits.pidsMax]);
  expect(sizes("`openFiles`")).toEqual([limits.openFilesMax]);
  expect(sizes("`output`")).toEqual([limits.outputBytes]);
  expect(sizes("`collect`, `files`")).toEqual([limits.outBytes, limits.outFiles]);
  expect([stated("`cpu`"), limits.cpuPermille]).toEqual([["a fair share"], 0]);
});

test("the limits of a run are those that docs/task-file.md and SPECIFICATION.md state", () => {
  const specification = readFileSync(join(root, "SPECIFICATION.md"), "utf8");
  const jobs = (count: number): boolean => runSpecSchema.safeParse({ title: "r", jobs: count, tasks: [task] }).success;
  const mounts = (count: number): boolean =>
    taskSchema.safeParse({ ...task, mounts: Array.from({ length: count }, (_, at) => ({ path: `/srv/${at}` })) }).success;
  expect([jobs(4000), jobs(4001), mounts(16), mounts(17), RUN_TASKS_MAX]).toEqual([true, false, true, false, 100_000]);
  expect(taskFile).toContain("children at once, 1 to 4000");
  expect(taskFile).toContain("1 to 100,000 tasks");
  expect(taskFile).toContain("At most 16 |");
  expect(specification).toContain("100,000 tasks a run, 4000 children of a run at once, 16 mounts a task");
});

test("the grace of a cancelled child is the one that the documents state", () => {
  expect(GRACE_MS).toBe(5000);
  expect(readFileSync(join(root, "docs/cli.md"), "utf8")).toContain("killed 5 s later");
  expect(readFileSync(join(root, "SPECIFICATION.md"), "utf8")).toContain("a child gets 5 s between SIGTERM and SIGKILL");
});
