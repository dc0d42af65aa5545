import { describe, expect, it } from "vitest";
import type { ActorRef } from "../../runtime/kernel/actions.ts";
import { kind, ORIGIN, Stage } from "./fixture/family.ts";
import { worker } from "./fixture/opened.ts";

const definitions = [worker, kind("leaf"), kind("frail", undefined, { restart: "transient" })];

async function opened(): Promise<Stage> {
  const stage = new Stage(definitions);
  await stage.open();
  return stage;
}

async function cancels(stage: Stage, ref: ActorRef): Promise<readonly unknown[]> {
  return (await stage.heard(ref)).filter(({ type }) => type === "cancel").map(({ mode, reason }) => [mode, reason]);
}

describe("the deadline of a scope", () => {
  it("cancels it at that moment and not before, with its reason, and is in the journal", async () => {
    const stage = await opened();
    const deadlineAtMs = stage.environment.now() + 60_000;
    await stage.spawn("worker:a", {}, { scope: "run", deadlineAtMs });
    await stage.environment.advance(59_000);
    expect(await cancels(stage, "worker:a")).toEqual([]);
    await stage.environment.advance(1100);
    expect(await cancels(stage, "worker:a")).toEqual([["grace", "deadline"]]);
    const row = stage.disk.database.prepare("SELECT cause, source, type FROM event WHERE actor = 'scope:run'").get();
    expect({ ...row }).toEqual({ cause: "timer", source: "deadline", type: "cancelScope" });
    await stage.end();
  });

  it("is the earliest that anyone named, and that of an outer scope counts for the inner ones", async () => {
    const stage = await opened();
    const nowMs = stage.environment.now();
    await stage.spawn("worker:outer", {}, { scope: "outer", deadlineAtMs: nowMs + 90_000 });
    await stage.post("worker:outer", { type: "beget", ref: "worker:inner", scope: "inner" });
    // A later one changes nothing, an earlier one counts.
    await stage.spawn("worker:late", {}, { scope: "outer", deadlineAtMs: nowMs + 500_000 });
    await stage.spawn("worker:early", {}, { scope: "outer", deadlineAtMs: nowMs + 30_000 });
    await stage.environment.advance(31_000);
    for (const ref of ["worker:outer", "worker:inner", "worker:late", "worker:early"] as const)
      expect([ref, await cancels(stage, ref)]).toEqual([ref, [["grace", "deadline"]]]);
    expect(stage.runtime.stats().pendingTimers).toBe(0);
    await stage.end();
  });

  it("of an inner scope leaves the outer one alone", async () => {
    const stage = await opened();
    const children = [
      { ref: "leaf:inner" as ActorRef, input: { self: "leaf:inner" }, scope: "inner", deadlineAtMs: stage.environment.now() + 5000 },
    ];
    await stage.spawn("leaf:outer", { children });
    await stage.environment.advance(6000);
    expect([await cancels(stage, "leaf:inner"), await cancels(stage, "leaf:outer")]).toEqual([[["grace", "deadline"]], []]);
    await stage.end();
  });

  it("survives the end of the process: one that passed meanwhile cancels at once", async () => {
    const stage = await opened();
    await stage.spawn("worker:a", {}, { scope: "run", deadlineAtMs: stage.environment.now() + 60_000 });
    stage.die("power");
    await stage.environment.advance(90_000);
    await stage.open();
    await stage.environment.advance(100);
    expect(await cancels(stage, "worker:a")).toEqual([["grace", "deadline"]]);
    await stage.end();
  });

  it("goes with the last member of its scope", async () => {
    const stage = await opened();
    await stage.spawn("worker:a", {}, { scope: "run", deadlineAtMs: stage.environment.now() + 60_000 });
    expect(stage.runtime.stats().pendingTimers).toBe(1);
    await stage.post("worker:a", { type: "close" });
    expect(stage.runtime.stats().pendingTimers).toBe(0);
    await stage.settle(stage.runtime.stop());
    await stage.open();
    expect(stage.runtime.stats().pendingTimers).toBe(0);
    await stage.end();
  });

  it("is refused where it is no time", async () => {
    const stage = await opened();
    await expect(stage.spawn("worker:a", {}, { deadlineAtMs: Number.NaN })).rejects.toMatchObject({ code: "REQUEST_INVALID" });
    await stage.end();
  });
});

describe("a cancellation is told once in every state of an actor", () => {
  const states = {
    "just spawned, in the same turn": async (stage: Stage) => {
      const spawned = stage.runtime.spawn("worker:a", { self: "worker:a" }, { origin: ORIGIN, scope: "run" });
      const cancelled = stage.runtime.cancelScope("run", "grace", "x", ORIGIN);
      await stage.settle(Promise.all([spawned, cancelled]));
      return 1;
    },
    idle: async (stage: Stage) => {
      await stage.spawn("worker:a", {}, { scope: "run" });
      return 1;
    },
    "with mail": async (stage: Stage) => {
      await stage.spawn("worker:a", {}, { scope: "run" });
      for (let amount = 0; amount < 100; amount++) stage.runtime.post("worker:a", { type: "add", amount }, ORIGIN).catch(() => undefined);
      return 1;
    },
    ended: async (stage: Stage) => {
      await stage.spawn("worker:a", {}, { scope: "run" });
      await stage.post("worker:a", { type: "close" });
      return 0;
    },
    "not there yet": () => Promise.resolve(1),
    "cancelled before": async (stage: Stage) => {
      await stage.spawn("worker:a", {}, { scope: "run" });
      await stage.settle(stage.runtime.cancelScope("run", "grace", "x", ORIGIN));
      return 1;
    },
    "loaded after the end of the process": async (stage: Stage) => {
      await stage.spawn("worker:a", {}, { scope: "run" });
      stage.die("killed");
      await stage.open();
      return 1;
    },
  } satisfies Record<string, (stage: Stage) => Promise<number>>;

  it.each(Object.entries(states))("%s", async (_, prepare) => {
    const stage = await opened();
    const times = await prepare(stage);
    await stage.settle(stage.runtime.cancelScope("run", "grace", "x", ORIGIN));
    await stage.settle(stage.runtime.spawn("worker:a", { self: "worker:a" }, { origin: ORIGIN, scope: "run" }));
    await stage.environment.advance(1000);
    expect(await cancels(stage, "worker:a")).toEqual(Array.from({ length: times }, () => ["grace", "x"]));
    await stage.settle(stage.runtime.cancelScope("run", "kill", "y", ORIGIN));
    await stage.environment.advance(1000);
    expect(await cancels(stage, "worker:a")).toEqual([
      ...Array.from({ length: times }, () => ["grace", "x"]),
      ...(times > 0 ? [["kill", "y"]] : []),
    ]);
    await stage.end();
  });
});
