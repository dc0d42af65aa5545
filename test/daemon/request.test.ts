import { expect, test } from "vitest";
import { calls } from "../../machines/messages/api.ts";
import type { TaskResult } from "../../machines/messages/result.ts";
import { parseRequest, parseStartRequest } from "../../app/daemon/request.ts";
import { boundedPage } from "../../app/daemon/results-page.ts";

const task = (index: number): { title: string; command: string[] } => ({ title: `task ${index}`, command: ["true"] });

test("a large run, checked in slices, comes out as one parse of it would", async () => {
  const raw = { spec: { title: "many", jobs: 4, tasks: Array.from({ length: 1234 }, (_, index) => task(index)) }, key: "k" };
  expect(await parseStartRequest(raw)).toEqual(calls["run.start"].parse(raw));
});

test("a large run lets others be heard while it is checked", async () => {
  const raw = { spec: { title: "many", tasks: Array.from({ length: 2000 }, (_, index) => task(index)) } };
  let turns = 0;
  const timer = setInterval(() => (turns += 1), 0);
  await parseStartRequest(raw);
  clearInterval(timer);
  expect(turns).toBeGreaterThan(2);
});

test.each([1, 150])("a bad field among %i tasks is named by its path", async (length) => {
  const tasks = Array.from({ length }, (_, index) => (index === length - 1 ? { title: "x", command: [] } : task(index)));
  await expect(parseStartRequest({ spec: { title: "t", tasks } })).rejects.toMatchObject({
    code: "REQUEST_INVALID",
    message: expect.stringContaining(`spec.tasks.${length - 1}.command: `),
  });
});

test("fields that nobody knows are refused, and many mistakes are summed up", async () => {
  await expect(parseStartRequest({ spec: { title: "t", tasks: [task(0)], colour: "red" } })).rejects.toMatchObject({
    message: expect.stringContaining("colour"),
  });
  await expect(parseStartRequest({ spec: { title: "", jobs: 0, deadlineMs: -1, halt: 7, tasks: [] } })).rejects.toMatchObject({
    message: expect.stringMatching(/\(and 2 more\)$/),
  });
  await expect(parseStartRequest(null)).rejects.toMatchObject({ code: "REQUEST_INVALID" });
  expect(() => parseRequest(calls["run.get"], { run: "../etc" })).toThrow(expect.objectContaining({ code: "REQUEST_INVALID" }));
});

test("a page of large results is cut, and the next one begins behind it", () => {
  const preview = { bytes: 0, preview: "x".repeat(4096), truncated: false };
  const result = { title: "t", detail: "", stdout: preview, stderr: preview, out: [], outSkipped: [] } as unknown as TaskResult;
  const results = Array.from({ length: 1000 }, (_, index) => ({ cursor: 10 + 2 * index, result }));
  const first = boundedPage({ results, next: null });
  expect(first.results.length).toBeGreaterThan(100);
  expect(first.results.length).toBeLessThan(300);
  expect(first.next).toBe(first.results.at(-1)?.cursor);
  expect(boundedPage({ results: results.slice(0, 5), next: 99 })).toEqual({ results: results.slice(0, 5), next: 99 });
});

test("what a field should be is told in words, never as a pattern", () => {
  const wrong: readonly [keyof typeof calls, Record<string, unknown>][] = [
    ["run.get", { run: "../etc" }],
    ["child.freeze", { child: "No Child" }],
    ["grant.revoke", { grant: "no grant" }],
    ["grant.create", { child: "No Child", path: "/a\0b", as: "../x" }],
    ["approval.answer", { approval: "17", decision: "deny" }],
    [
      "run.start",
      { spec: { title: "t", tasks: [{ title: "t", command: ["true"], env: { "a b": "" }, mounts: [{ path: "/a", as: "a/b" }] }] } },
    ],
  ];
  for (const [name, params] of wrong) {
    let message = "";
    try {
      parseRequest(calls[name], params);
    } catch (error) {
      message = String(error);
    }
    expect([name, message]).toEqual([name, expect.stringMatching(/: expected [a-z]/)]);
    expect(message).not.toContain("/^");
  }
});
