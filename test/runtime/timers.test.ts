import { systemEnvironment } from "../../runtime/kernel/environment.ts";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TimerHeap } from "../../runtime/timers/timer-heap.ts";
import { eventually, heard, open, origin, spawn, temporaryDirectory } from "./fixture/opened.ts";

describe("a timer", () => {
  it("fires at its time, not before, as an event of its actor", async () => {
    const runtime = await open(await temporaryDirectory());
    const ref = await spawn(runtime, "a");
    const atMs = Date.now() + 80;
    await runtime.post(ref, { type: "arm", name: "t", atMs }, origin);
    expect(runtime.stats().pendingTimers).toBe(1);
    await eventually("it fired", async () => (await heard(runtime, ref)).length === 1);
    const rows = await runtime.readLog(`heard:${ref}`, 0, 10);
    const firedMs = rows.map((row) => (row.value as { readonly at: number }).at);
    expect(firedMs).toHaveLength(1);
    expect(Math.min(...firedMs)).toBeGreaterThanOrEqual(atMs);
    expect(runtime.stats().pendingTimers).toBe(0);
  });

  it("set again under its name moves, and stopped is never heard", async () => {
    const runtime = await open(await temporaryDirectory());
    const ref = await spawn(runtime, "a");
    await runtime.post(ref, { type: "arm", name: "moved", atMs: Date.now() + 10_000 }, origin);
    await runtime.post(ref, { type: "arm", name: "moved", atMs: Date.now() + 20 }, origin);
    await runtime.post(ref, { type: "arm", name: "stopped", atMs: Date.now() + 20 }, origin);
    await runtime.post(ref, { type: "disarm", name: "stopped" }, origin);
    await runtime.post(ref, { type: "arm", name: "last", atMs: Date.now() + 60 }, origin);
    await eventually("the last fired", async () => (await heard(runtime, ref)).includes("timer:last"));
    expect(await heard(runtime, ref)).toEqual(["timer:moved", "timer:last"]);
  });

  it("that is due and stopped in one turn is not heard", async () => {
    const runtime = await open(await temporaryDirectory());
    const ref = await spawn(runtime, "a");
    const atMs = Date.now() - 1000;
    await Promise.all([
      runtime.post(ref, { type: "arm", name: "t", atMs }, origin),
      runtime.post(ref, { type: "disarm", name: "t" }, origin),
    ]);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(await heard(runtime, ref)).toEqual([]);
  });

  it("survives a restart: one that came due meanwhile fires at once, a later one at its time, a fired one never again", async () => {
    const directory = await temporaryDirectory();
    const runtime = await open(directory);
    const ref = await spawn(runtime, "a");
    await runtime.post(ref, { type: "arm", name: "fired", atMs: Date.now() }, origin);
    await eventually("the first fired", async () => (await heard(runtime, ref)).length === 1);
    await runtime.post(ref, { type: "arm", name: "overdue", atMs: Date.now() + 40 }, origin);
    await runtime.post(ref, { type: "arm", name: "later", atMs: Date.now() + 400 }, origin);
    await runtime.stop();
    await new Promise((resolve) => setTimeout(resolve, 60));
    const again = await open(directory);
    expect(again.stats().pendingTimers).toBeGreaterThanOrEqual(1);
    await eventually("both fired", async () => (await heard(again, ref)).length === 3);
    expect(await heard(again, ref)).toEqual(["timer:fired", "timer:overdue", "timer:later"]);
  });

  it("ends with its actor", async () => {
    const directory = await temporaryDirectory();
    const runtime = await open(directory);
    const ref = await spawn(runtime, "a");
    await runtime.post(ref, { type: "arm", name: "t", atMs: Date.now() + 60_000 }, origin);
    await runtime.post(ref, { type: "close" }, origin);
    expect(runtime.stats().pendingTimers).toBe(0);
    await runtime.stop();
    const again = await open(directory);
    expect(again.stats().pendingTimers).toBe(0);
  });
});

describe("the heap of timers", () => {
  it("fires every live one in order of time, then of arming, whatever was stopped between", async () => {
    const times = fc.array(fc.record({ atMs: fc.integer({ min: 0, max: 50 }), stop: fc.boolean() }), { maxLength: 200 });
    await fc.assert(
      fc.asyncProperty(times, async (plan) => {
        const fired: number[] = [];
        const heap = new TimerHeap({ ...systemEnvironment, now: () => 100 }, (timer) => {
          fired.push(timer.order);
          heap.disarm(timer);
        });
        const timers = plan.map(({ atMs }) => heap.arm("worker:a", "t", atMs));
        for (const [index, timer] of timers.entries()) if (plan[index]?.stop === true) heap.disarm(timer);
        const expected = timers.filter((timer) => timer.live).toSorted((left, right) => left.atMs - right.atMs || left.order - right.order);
        await eventually("the heap is empty", () => heap.live === 0);
        heap.stop();
        expect(fired).toEqual(expected.map((timer) => timer.order));
      }),
      { numRuns: 30 },
    );
  });
});
