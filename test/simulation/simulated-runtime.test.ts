import { describe, expect, it } from "vitest";
import { assign, setup } from "xstate";
import type { ActorDefinition, EffectDefinition, Origin } from "../../runtime/contract.ts";
import { runtimeActions } from "../../runtime/kernel/actions.ts";
import { openSimulatedRuntime, type SimulatedRuntime } from "../../runtime/simulated/simulated-runtime.ts";
import { SimulatedDisk } from "../../runtime/simulated/simulated-disk.ts";
import { SimulatedEnvironment } from "../../runtime/simulated/simulated-environment.ts";

const ORIGIN: Origin = { surface: "test", device: "simulated" };

const counter = setup({
  types: { context: {} as { total: number }, events: {} as { type: "add" } | { type: "wait"; at: number } | { type: "timer" } },
  actions: runtimeActions,
}).createMachine({
  context: { total: 0 },
  on: {
    add: {
      actions: [
        assign({ total: ({ context }) => context.total + 1 }),
        { type: "project", params: ({ context }) => ({ collection: "totals", key: "one", value: context.total }) },
      ],
    },
    wait: { actions: { type: "startTimer", params: ({ event }) => ({ name: "later", atMs: event.at + 3_600_000 }) } },
    timer: { actions: { type: "append", params: { log: "rung", value: true } } },
  },
});

const definitions: readonly ActorDefinition[] = [{ kind: "counter", version: 1, machine: counter }];
const effects: readonly EffectDefinition[] = [];

function open(environment: SimulatedEnvironment, disk: SimulatedDisk): Promise<SimulatedRuntime> {
  return environment.settle(openSimulatedRuntime({ environment, disk, definitions, effects }));
}

describe("a runtime in simulated time", () => {
  it("keeps what was acknowledged through a loss of power, and waits an hour in no time", async () => {
    const environment = new SimulatedEnvironment({ seed: 7, chaos: true });
    const disk = new SimulatedDisk({ seed: 7 });
    const first = await open(environment, disk);
    await environment.settle(first.runtime.spawn("counter:one", null, { origin: ORIGIN }));
    for (let times = 0; times < 3; times++) await environment.settle(first.runtime.post("counter:one", { type: "add" }, ORIGIN));
    await environment.settle(first.runtime.post("counter:one", { type: "wait" }, ORIGIN));
    first.die("power");
    const second = await open(environment, disk);
    expect(await environment.settle(second.runtime.get("totals", "one"))).toBe(3);
    const startedMs = performance.now();
    await environment.advance(3_700_000);
    expect(await environment.settle(second.runtime.readLog("rung", 0, 10))).toEqual([{ cursor: 1, value: true }]);
    expect(performance.now() - startedMs).toBeLessThan(10_000);
    await environment.settle(second.runtime.stop());
    disk.dispose();
  });

  it("answers nothing after its death, whenever it comes", async () => {
    const environment = new SimulatedEnvironment();
    const disk = new SimulatedDisk();
    const first = await open(environment, disk);
    let answered = false;
    const mark = (): void => {
      answered = true;
    };
    first.runtime.spawn("counter:one", null, { origin: ORIGIN }).then(mark, mark);
    first.die("killed");
    expect(await environment.runUntilIdle()).toBe("idle");
    expect(answered).toBe(false);
    disk.dispose();
  });
});
