import { describe, expect, it } from "vitest";
import type { Runtime } from "../../runtime/contract.ts";
import type { ActorRef } from "../../runtime/kernel/actions.ts";
import { eventually, open, origin, spawn, temporaryDirectory } from "./fixture/opened.ts";

async function cancels(runtime: Runtime, ref: ActorRef): Promise<readonly unknown[]> {
  const rows = await runtime.readLog(`heard:${ref}`, 0, 100);
  return rows
    .map((row) => row.value as { readonly type: string; readonly mode?: string; readonly reason?: string })
    .filter((event) => event.type === "cancel")
    .map(({ mode, reason }) => ({ mode, reason }));
}

describe("cancelling a scope", () => {
  it("tells every live actor in it, and none outside", async () => {
    const runtime = await open(await temporaryDirectory());
    const inside = [await spawn(runtime, "a", "run"), await spawn(runtime, "b", "run")] as const;
    const outside = await spawn(runtime, "c");
    await runtime.cancelScope("run", "grace", "enough", origin);
    for (const ref of inside) await eventually(`${ref} hears`, async () => (await cancels(runtime, ref)).length === 1);
    expect(await cancels(runtime, inside[0])).toEqual([{ mode: "grace", reason: "enough" }]);
    expect(await cancels(runtime, outside)).toEqual([]);
  });

  it("reaches what its members spawned, in inherited scopes and in scopes of their own", async () => {
    const runtime = await open(await temporaryDirectory());
    const parent = await spawn(runtime, "parent", "run");
    await runtime.post(parent, { type: "beget", ref: "worker:child" }, origin);
    await runtime.post("worker:child", { type: "beget", ref: "worker:grandchild", scope: "inner" }, origin);
    await runtime.cancelScope("run", "grace", "", origin);
    for (const ref of ["worker:child", "worker:grandchild"] as const)
      await eventually(`${ref} hears`, async () => (await cancels(runtime, ref)).length === 1);
  });

  it("of an inner scope leaves the outer one alone", async () => {
    const runtime = await open(await temporaryDirectory());
    const parent = await spawn(runtime, "parent", "run");
    await runtime.post(parent, { type: "beget", ref: "worker:child", scope: "inner" }, origin);
    await runtime.cancelScope("inner", "grace", "", origin);
    await eventually("the child hears", async () => (await cancels(runtime, "worker:child")).length === 1);
    expect(await cancels(runtime, parent)).toEqual([]);
  });

  const orders = [
    { asked: ["grace", "grace"], told: ["grace"] },
    { asked: ["kill", "kill"], told: ["kill"] },
    { asked: ["grace", "kill"], told: ["grace", "kill"] },
    { asked: ["kill", "grace"], told: ["kill"] },
  ] as const;
  it.each(orders)("asked as $asked is told as $told", async ({ asked, told }) => {
    const runtime = await open(await temporaryDirectory());
    const ref = await spawn(runtime, "a", "run");
    for (const mode of asked) await runtime.cancelScope("run", mode, "", origin);
    await eventually("all are told", async () => (await cancels(runtime, ref)).length === told.length);
    await runtime.post(ref, { type: "nowhere" }, origin);
    expect(await cancels(runtime, ref)).toEqual(told.map((mode) => ({ mode, reason: "" })));
  });

  it("is told to each that joins later, also after a restart and in new inner scopes", async () => {
    const directory = await temporaryDirectory();
    const runtime = await open(directory);
    const parent = await spawn(runtime, "parent", "run");
    await runtime.cancelScope("run", "kill", "late", origin);
    const late = await spawn(runtime, "late", "run");
    await eventually("the late one hears", async () => (await cancels(runtime, late)).length === 1);
    await runtime.stop();
    const again = await open(directory);
    const later = await spawn(again, "later", "run");
    await again.post(parent, { type: "beget", ref: "worker:inner", scope: "inner" }, origin);
    for (const ref of [later, "worker:inner"] as const)
      await eventually(`${ref} hears`, async () => (await cancels(again, ref)).length === 1);
    expect(await cancels(again, parent)).toEqual([{ mode: "kill", reason: "late" }]);
    expect(await cancels(again, later)).toEqual([{ mode: "kill", reason: "late" }]);
  });

  it("keeps the tree across a restart", async () => {
    const directory = await temporaryDirectory();
    const runtime = await open(directory);
    const parent = await spawn(runtime, "parent", "run");
    await runtime.post(parent, { type: "beget", ref: "worker:child", scope: "inner" }, origin);
    await runtime.stop();
    const again = await open(directory);
    await again.cancelScope("run", "grace", "", origin);
    await eventually("the child hears", async () => (await cancels(again, "worker:child")).length === 1);
  });

  it("is a dead letter for a state that does not take it, like any event", async () => {
    const runtime = await open(await temporaryDirectory());
    const ref = await spawn(runtime, "a", "run");
    await runtime.post(ref, { type: "close" }, origin);
    await runtime.cancelScope("run", "grace", "", origin);
    expect(await cancels(runtime, ref)).toEqual([]);
  });
});
