/** A pipeline of confined steps, one after the other, as a durable actor of the tests. */
import { setup } from "xstate";
import { z } from "zod";
import {
  actions,
  answer,
  cancelTask,
  defineActor,
  runTask,
  type EffectParams,
  type Heard,
  type TaskFinished,
} from "../../../sdk/actors.ts";

const input = z.strictObject({ name: z.string().min(1), steps: z.number().int().min(1), script: z.string(), shared: z.string() });
const events = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("look"), deep: z.strictObject({ words: z.array(z.string()) }).optional() }),
  z.strictObject({ type: z.literal("abandon") }),
]);
const look = z.object({ step: z.number(), statuses: z.array(z.string()) });

type Context = z.output<typeof input> & { readonly step: number; readonly statuses: readonly string[] };

function task({ name, step, script, shared }: Context): EffectParams {
  return runTask(`${name}/${step}`, {
    title: `${name} ${step}`,
    command: ["sh", "-c", script, "step", name, `${step}`],
    mounts: [{ path: shared, as: "shared", mode: "rw" }],
  });
}

const house = setup({
  types: { context: {} as Context, events: {} as Heard<typeof events> | TaskFinished, input: {} as z.output<typeof input> },
  actions,
  guards: { isLast: ({ context }) => context.step === context.steps },
});
const next = house.assign(({ context, event }) =>
  event.type === "taskFinished" ? { step: context.step + 1, statuses: [...context.statuses, event.status] } : {},
);

const machine = house.createMachine({
  id: "pipeline",
  context: ({ input }) => ({ ...input, step: 0, statuses: [] }),
  initial: "working",
  states: {
    working: {
      entry: { type: "effect", params: ({ context }) => task(context) },
      on: {
        taskFinished: { actions: next, target: "counting" },
        effectFailed: "failed",
        look: {
          actions: {
            type: "effect",
            params: ({ context, event }) => answer(event, { step: context.step, statuses: [...context.statuses] }),
          },
        },
        cancel: { actions: { type: "effect", params: ({ context }) => cancelTask(`${context.name}/${context.step}`) } },
        // Nobody is left to hear of the task: it is cancelled as a farewell.
        abandon: {
          target: "abandoned",
          actions: { type: "effect", params: ({ context }) => cancelTask(`${context.name}/${context.step}`, "abandoned") },
        },
      },
    },
    counting: { always: [{ guard: "isLast", target: "ended" }, { target: "working" }] },
    ended: { type: "final" },
    failed: { type: "final" },
    abandoned: { type: "final" },
  },
});

export const pipeline = defineActor({ kind: "pipeline", version: 1, machine, input, events, answers: { look } });
