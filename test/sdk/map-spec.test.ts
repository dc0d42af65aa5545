import { expect, test } from "vitest";
import { RUN_TASKS_MAX, runSpecSchema } from "../../machines/messages/task.ts";
import { mapSpec } from "../../sdk/map-spec.ts";

test("each item becomes a task with what all have in common", async () => {
  const spec = await mapSpec(["wc", "-l", "{}"], ["a.txt", ""], { title: "count", jobs: 3, retries: 2, mounts: [{ path: "/srv" }] });
  expect(spec).toEqual({
    title: "count",
    jobs: 3,
    tasks: [
      { title: "a.txt", command: ["wc", "-l", "a.txt"], retries: 2, mounts: [{ path: "/srv" }] },
      { title: "#2", command: ["wc", "-l", ""], retries: 2, mounts: [{ path: "/srv" }] },
    ],
  });
  expect(runSpecSchema.safeParse(spec).success).toBe(true);
});

test("items may come one by one, and titles may be chosen", async () => {
  async function* items(): AsyncGenerator<string> {
    yield "x";
    yield "y";
  }
  const spec = await mapSpec(["echo"], items(), { taskTitle: (item, index) => `${index}: ${item}` });
  expect(spec.tasks.map(({ title, command }) => [title, command])).toEqual([
    ["0: x", ["echo", "x"]],
    ["1: y", ["echo", "y"]],
  ]);
});

test("no command, no item, and endless items are refused", async () => {
  function* endless(): Generator<string> {
    for (;;) yield "x";
  }
  await expect(mapSpec([], ["x"], {})).rejects.toMatchObject({ code: "REQUEST_INVALID" });
  await expect(mapSpec(["echo"], [], {})).rejects.toMatchObject({ code: "REQUEST_INVALID" });
  await expect(mapSpec(["echo"], endless(), {})).rejects.toMatchObject({
    code: "REQUEST_INVALID",
    message: expect.stringContaining(String(RUN_TASKS_MAX)),
  });
});
