import { expect, test } from "vitest";
import { setup } from "xstate";
import { z } from "zod";
import { actions, defineActor, type Heard } from "../../sdk/actors.ts";
import { testActors } from "../../sdk/testing.ts";

const events = z.discriminatedUnion("type", [z.strictObject({ type: z.literal("work") }), z.strictObject({ type: z.literal("break") })]);
const input = z.strictObject({});

const house = setup({
  types: { context: {} as { readonly worked: number; readonly broken: readonly string[] }, events: {} as Heard<typeof events> },
  actions,
  guards: {
    breaks: (): boolean => {
      throw new Error("it broke");
    },
  },
});

const worker = defineActor({
  kind: "worker",
  version: 1,
  input,
  events,
  restart: "transient",
  machine: house.createMachine({
    id: "worker",
    context: { worked: 0, broken: [] },
    initial: "open",
    states: {
      open: {
        on: {
          work: { actions: house.assign({ worked: ({ context }) => context.worked + 1 }) },
          break: { guard: "breaks" },
        },
      },
    },
  }),
});

const foreman = defineActor({
  kind: "foreman",
  version: 1,
  input,
  events,
  supervises: { strategy: "all", restartsMax: 2, windowMs: 60_000, delayMsMin: 100, delayMsMax: 1000 },
  machine: house.createMachine({
    id: "foreman",
    context: { worked: 0, broken: [] },
    initial: "open",
    states: {
      open: {
        entry: [
          { type: "spawn", params: { ref: "worker:a", input: {} } },
          { type: "spawn", params: { ref: "worker:b", input: {} } },
        ],
        on: { work: {}, break: {} },
      },
    },
  }),
});

test("actors that another one supervises begin again together, and it gives up when they break too often", async () => {
  await using actors = await testActors({ actors: [foreman, worker] });
  const boss = await actors.start(foreman, "one", {});
  const [a, b] = [actors.of(worker, "a"), actors.of(worker, "b")];
  await b.send({ type: "work" });
  for (let times = 0; times < 2; times += 1) {
    await expect(a.send({ type: "break" })).rejects.toMatchObject({ code: "INTERNAL" });
    expect([(await a.query())?.status, (await b.query())?.status]).toEqual(["restarting", "restarting"]);
    await actors.clock.advance(5000);
    expect(await b.query()).toMatchObject({ status: "active", context: { worked: 0 } });
    await b.send({ type: "work" });
  }
  const ended = boss.ended();
  await expect(a.send({ type: "break" })).rejects.toMatchObject({ code: "INTERNAL" });
  expect(await ended).toMatchObject({ status: "escalated" });
  expect([(await a.query())?.status, (await b.query())?.status]).toEqual(["failed", "cancelled"]);
});
