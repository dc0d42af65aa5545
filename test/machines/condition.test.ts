/** Working, waiting or stuck: as a matrix of what is known. And the child's machine where it is told that it is stuck. */
import { describe, expect, test } from "vitest";
import { conditionOf, type Circumstances } from "../../machines/condition.ts";
import { parseHandle, resultHandle } from "../../machines/content-handle.ts";
import type { ChildRow } from "../../machines/messages/facts.ts";
import { cleanExit } from "./outcome-model.ts";
import { PureHost, type Act } from "./pure-host.ts";

const row: ChildRow = { run: "r1", index: 0, attempt: 1, state: "running", begun: true, startedAtMs: 100, lastSignAtMs: 500 };
const well: Circumstances = { hasWarden: true, start: "asked", frozenSinceMs: null, diskSinceMs: null };
const waiting = (reason: string, sinceMs: number, untilMs: number | null = null): object => ({
  type: "waiting",
  for: reason,
  sinceMs,
  untilMs,
});
const working = { type: "working" };

describe("a child's condition", () => {
  const cases: readonly (readonly [string, Partial<ChildRow>, Partial<Circumstances>, number, object])[] = [
    ["runs", {}, {}, 1e9, working],
    ["is frozen", {}, { frozenSinceMs: 7 }, 1000, waiting("frozen", 7)],
    ["cannot be written down", {}, { diskSinceMs: 8 }, 1000, waiting("disk", 8)],
    ["is frozen on a full disk", {}, { frozenSinceMs: 7, diskSinceMs: 8 }, 1000, waiting("frozen", 7)],
    ["asks", { asksSinceMs: 9 }, {}, 1000, waiting("approval", 9)],
    ["asks, and was stuck before", { asksSinceMs: 9, stuck: { clock: "heartbeat", sinceMs: 3 } }, {}, 1000, waiting("approval", 9)],
    ["asks, frozen", { asksSinceMs: 9 }, { frozenSinceMs: 7 }, 1000, waiting("frozen", 7)],
    ["is stuck", { stuck: { clock: "progress", sinceMs: 3 } }, {}, 1000, { type: "stuck", clock: "progress", sinceMs: 3 }],
    ["waits to be tried again", { state: "waiting", retryAtMs: 900 }, {}, 1000, waiting("retry", 500, 900)],
    ["is queued", { state: "starting" }, { start: "queued" }, 1e9, waiting("capacity", 500)],
    ["is queued, without a warden", { state: "starting" }, { start: "queued", hasWarden: false }, 1e9, waiting("warden", 500)],
    ["is to be started, and finds no warden", { state: "starting" }, { start: "waiting" }, 1e9, waiting("warden", 500)],
    ["is being built", { state: "starting" }, {}, 500 + 59_000, working],
    ["is being built for too long", { state: "starting" }, {}, 500 + 61_000, { type: "stuck", clock: "deadline", sinceMs: 60_500 }],
    ["is being ended", { state: "cancelling" }, {}, 500 + 14_000, working],
    ["does not end", { state: "cancelling" }, {}, 500 + 16_000, { type: "stuck", clock: "deadline", sinceMs: 15_500 }],
    ["is collected", { state: "collecting" }, {}, 500 + 59_000, working],
    ["is collected onto a full disk", { state: "collecting" }, { diskSinceMs: 8 }, 1e9, waiting("disk", 8)],
    ["is not unmade", { state: "destroying" }, {}, 500 + 31_000, { type: "stuck", clock: "deadline", sinceMs: 30_500 }],
  ];
  test.each(cases)("that %s", (_, some, circumstances, nowMs, expected) => {
    expect(conditionOf({ ...row, ...some }, { ...well, ...circumstances }, nowMs)).toEqual(expected);
  });
});

describe("a child that is told to be stuck", () => {
  const CHILD = "child:r1/0";
  const stuck = { type: "stuck", attempt: 1, clock: "heartbeat", sinceMs: 5, ends: false };
  const running = (): PureHost => {
    const host = new PureHost();
    host.spawn(CHILD, { run: "r1", index: 0, counter: 1, atMs: 1 });
    host.deliver(CHILD, { type: "started", policy: { retries: 0, idempotent: false, timeoutMs: 0 } });
    return host;
  };
  const told = (actions: readonly Act[]): unknown[] =>
    actions.flatMap(({ type, params }) =>
      type === "append" ? [(params["value"] as { type: string }).type] : type === "effect" ? [params["name"]] : [],
    );

  test("tells it once, and once that it is not any more; that is no sign of life, this is", () => {
    const host = running();
    const { lastSignAtMs } = host.context(CHILD);
    expect(told(host.deliver(CHILD, stuck))).toEqual(["task-stuck"]);
    expect([...host.rows.values()].at(-1)).toMatchObject({ stuck: { clock: "heartbeat", sinceMs: 5 }, lastSignAtMs });
    expect(host.deliver(CHILD, stuck)).toEqual([]);
    expect(told(host.deliver(CHILD, { type: "unstuck", attempt: 1 }))).toEqual(["task-unstuck"]);
    expect(host.context(CHILD)["lastSignAtMs"]).toBeGreaterThan(Number(lastSignAtMs));
    expect(host.deliver(CHILD, { type: "unstuck", attempt: 1 })).toEqual([]);
  });

  test("hears nothing of another attempt, while it waits for a person, or when it has ended", () => {
    const host = running();
    expect(host.deliver(CHILD, { ...stuck, attempt: 2 })).toEqual([]);
    host.deliver(CHILD, { type: "askOpened", approval: "a1", attempt: 1 });
    expect(host.deliver(CHILD, { ...stuck, ends: true })).toEqual([]);
    host.deliver(CHILD, { type: "exited", exit: cleanExit });
    expect(host.deliver(CHILD, { ...stuck, ends: true })).toEqual([]);
    expect(host.context(CHILD)["status"]).toBe("succeeded");
  });

  test("is killed where its task says so, and its status is stuck, also when a cancel comes behind it", () => {
    const host = running();
    expect(told(host.deliver(CHILD, { ...stuck, ends: true }))).toEqual(["task-stuck", "sandbox.kill"]);
    host.deliver(CHILD, { type: "cancel", mode: "kill", reason: "" });
    host.deliver(CHILD, { type: "exited", exit: { ...cleanExit, cause: "signaled", signal: 9 } });
    expect(host.context(CHILD)["status"]).toBe("stuck");
  });
});

test("a handle names a part of one attempt, and leads nowhere else", () => {
  const base = resultHandle("k3f9aaaa", 12, 2);
  expect(parseHandle(`${base}/stderr`)).toEqual({ run: "k3f9aaaa", index: 12, attempt: 2, part: { type: "stream", stream: "stderr" } });
  expect(parseHandle(`${base}/out/a/ü b`)).toEqual({ run: "k3f9aaaa", index: 12, attempt: 2, part: { type: "file", path: "a/ü b" } });
  for (const bad of [
    base,
    `${base}/`,
    `${base}/out/`,
    `${base}/out/a/`,
    `${base}/out/../x`,
    `${base}/out/./x`,
    `${base}/out/a//b`,
    `${base}/stdout/x`,
    `../${base}/stdout`,
    `K/${base}/stdout`,
    "k3f9aaaa/12/0/stdout",
    `${base}/out/a\0b`,
  ])
    expect(parseHandle(bad)).toBeNull();
});
