import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { RunLogRow, RunRow } from "../../machines/messages/facts.ts";
import type { RunInput } from "../../machines/messages/run-events.ts";
import { OutcomeModel } from "./outcome-model.ts";

const STEPS_MAX = 20_000;

const world = fc.record({
  total: fc.integer({ min: 1, max: 12 }),
  jobs: fc.integer({ min: 1, max: 5 }),
  halt: fc.record({ when: fc.constantFrom("never", "soon", "now"), failures: fc.integer({ min: 1, max: 3 }) }),
  deadline: fc.boolean(),
  numbers: fc.array(fc.nat({ max: 1000 }), { minLength: 40, maxLength: 300 }),
  cancels: fc.array(fc.record({ step: fc.nat({ max: 80 }), mode: fc.constantFrom("grace", "kill") }), { maxLength: 3 }),
});
type World = typeof world extends fc.Arbitrary<infer T> ? T : never;

function play(given: World): OutcomeModel {
  const model = new OutcomeModel(given.numbers);
  const { total, jobs, halt } = given;
  const input = { run: "r1", total, jobs, halt, createdAtMs: 1000, deadlineAtMs: given.deadline ? 9000 : null, counterBase: 7 } as RunInput;
  model.host.spawn("run:r1", input);
  for (let step = 0; step < STEPS_MAX; step += 1) {
    for (const cancel of given.cancels) if (cancel.step === step) model.host.cancelScope(cancel.mode, "test");
    checkCounts(model);
    if (!model.step()) return model;
  }
  throw new Error("the run never ended");
}

function row(model: OutcomeModel): RunRow | undefined {
  return model.host.rows.get("runs/r1") as RunRow | undefined;
}

function checkCounts(model: OutcomeModel): void {
  const counts = row(model)?.counts;
  if (counts === undefined) return;
  const { total, waiting, running, succeeded, cancelled, failed } = counts;
  expect(waiting + running + succeeded + cancelled + failed).toBe(total);
  expect(Math.min(waiting, running, succeeded, cancelled, failed)).toBeGreaterThanOrEqual(0);
}

function log(model: OutcomeModel): RunLogRow[] {
  return (model.host.logs.get("run:r1") ?? []) as RunLogRow[];
}

function ofType<T extends RunLogRow["type"]>(rows: readonly RunLogRow[], type: T): Extract<RunLogRow, { type: T }>[] {
  return rows.filter((one): one is Extract<RunLogRow, { type: T }> => one.type === type);
}

describe("a run, whatever happens in whatever order", () => {
  it("ends with every started task settled, one result each, nothing left, and counts that add up", () => {
    fc.assert(
      fc.property(world, (given) => {
        const model = play(given);
        for (const [ref, snapshot] of model.host.snapshots) expect([ref, snapshot.status]).toEqual([ref, "done"]);
        expect([...model.live]).toEqual([]);
        expect([...model.host.rows.keys()].filter((key) => key.startsWith("children/"))).toEqual([]);

        const rows = log(model);
        const finished = ofType(rows, "task-finished").map(({ facts }) => facts.index);
        const children = [...model.host.snapshots.keys()].filter((ref) => ref.startsWith("child:"));
        expect(new Set(finished).size).toBe(finished.length);
        expect(finished.length).toBe(children.length);
        expect(ofType(rows, "run-finished")).toHaveLength(1);
        expect(rows.at(-1)?.type).toBe("run-finished");
        expect(rows[0]?.type).toBe("run-started");

        const counts = row(model)?.counts;
        expect(counts).toMatchObject({ total: given.total, running: 0, waiting: given.total - finished.length });
        expect(ofType(rows, "run-finished")[0]?.summary).toEqual(counts);
      }),
      { numRuns: 120 },
    );
  }, 60_000);

  it("executes each attempt at most once, and retries nothing after a cancel", () => {
    fc.assert(
      fc.property(world, (given) => {
        const model = play(given);
        for (const times of model.executions.values()) expect(times).toBe(1);
        const rows = log(model);
        const cancelledAt = ofType(rows, "run-cancelling")[0]?.atMs ?? Number.POSITIVE_INFINITY;
        for (const ref of model.host.snapshots.keys()) {
          if (!ref.startsWith("child:")) continue;
          // Spawned in a burst before the run heard it; a retry after its own cancel is what must not be.
          expect(Number(model.host.context(ref)["counter"])).toBe(7 + Number(model.host.context(ref)["index"]));
        }
        for (const retried of ofType(rows, "task-retried")) expect(retried.atMs).toBeLessThan(cancelledAt + 1000);
      }),
      { numRuns: 100 },
    );
  }, 60_000);

  it("completes with every task's result when nobody stops it", () => {
    fc.assert(
      fc.property(world, (given) => {
        const model = play({ ...given, halt: { when: "never", failures: 1 }, deadline: false, cancels: [] });
        expect(row(model)).toMatchObject({ status: "completed", counts: { waiting: 0, running: 0, cancelled: 0 } });
        expect(ofType(log(model), "task-finished")).toHaveLength(given.total);
      }),
      { numRuns: 120 },
    );
  }, 60_000);
});
