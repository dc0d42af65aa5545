/** An order: reserve, wait for somebody to confirm it, charge, ship; or, when nobody does or a step fails, give back what was reserved. Pure. */
import { setup } from "xstate";
import { z } from "zod";
import {
  actions,
  answer,
  cancelTask,
  defineActor,
  runTask,
  type FromOutside,
  type Given,
  type Heard,
  type TaskFinished,
} from "../../sdk/actors.ts";

export const EXPIRY_MS = 3 * 24 * 3_600_000;

const input = z.strictObject({
  order: z.string().min(1),
  items: z.array(z.string().regex(/^[a-z ]+$/)).min(1),
});
const events = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("confirm"), by: z.string().min(1) }),
  z.strictObject({ type: z.literal("look") }),
]);
const look = z.object({ state: z.string(), steps: z.array(z.string()) });

type Order = z.output<typeof input>;
type Step = "reserve" | "charge" | "ship" | "release";
interface Context extends Order {
  readonly steps: readonly string[];
}

/** What each step does stands for a call to some service that is not ours. */
function step(name: Step, { order, items }: Context): ReturnType<typeof runTask> {
  return runTask(`${order}/${name}`, {
    title: `${name} ${order}`,
    command: ["sh", "-c", 'sleep 0.3; echo "$@"', "step", name, order, ...items],
    timeoutMs: 60_000,
  });
}

const house = setup({
  types: {
    context: {} as Context,
    events: {} as Heard<typeof events> | TaskFinished,
    input: {} as Given<typeof input>,
  },
  actions,
  guards: {
    succeeded: ({ event }) => event.type === "taskFinished" && event.status === "succeeded",
    isExpiry: ({ event }) => event.type === "timer" && event.name === "expiry",
  },
});

const noted = house.assign(({ context, event }) =>
  event.type === "taskFinished" ? { steps: [...context.steps, `${event.key} ${event.status}`] } : {},
);

const told = (
  state: string,
  { context, event }: { readonly context: Context; readonly event: FromOutside<typeof events> },
): ReturnType<typeof answer> => answer(event, { state, steps: context.steps });

const machine = house.createMachine({
  id: "order",
  context: ({ input: { order, items } }) => ({ order, items, steps: [] }),
  initial: "reserving",
  states: {
    reserving: {
      entry: { type: "effect", params: ({ context }) => step("reserve", context) },
      on: {
        taskFinished: [
          { guard: "succeeded", actions: noted, target: "waiting" },
          { actions: noted, target: "releasing" },
        ],
        effectFailed: "releasing",
        cancel: { actions: { type: "effect", params: ({ context }) => cancelTask(`${context.order}/reserve`) } },
        look: { actions: { type: "effect", params: (it) => told("reserving", it) } },
      },
    },
    waiting: {
      entry: { type: "startTimer", params: ({ event }) => ({ name: "expiry", atMs: event.at + EXPIRY_MS }) },
      exit: { type: "stopTimer", params: { name: "expiry" } },
      on: {
        confirm: "charging",
        timer: { guard: "isExpiry", target: "releasing" },
        cancel: "releasing",
        look: { actions: { type: "effect", params: (it) => told("waiting", it) } },
      },
    },
    charging: {
      entry: { type: "effect", params: ({ context }) => step("charge", context) },
      on: {
        taskFinished: [
          { guard: "succeeded", actions: noted, target: "shipping" },
          { actions: noted, target: "releasing" },
        ],
        effectFailed: "releasing",
        cancel: { actions: { type: "effect", params: ({ context }) => cancelTask(`${context.order}/charge`) } },
        look: { actions: { type: "effect", params: (it) => told("charging", it) } },
      },
    },
    shipping: {
      entry: { type: "effect", params: ({ context }) => step("ship", context) },
      on: {
        taskFinished: [
          { guard: "succeeded", actions: noted, target: "shipped" },
          { actions: noted, target: "stuck" },
        ],
        effectFailed: "stuck",
        look: { actions: { type: "effect", params: (it) => told("shipping", it) } },
      },
    },
    releasing: {
      entry: { type: "effect", params: ({ context }) => step("release", context) },
      on: {
        taskFinished: [
          { guard: "succeeded", actions: noted, target: "released" },
          { actions: noted, target: "stuck" },
        ],
        effectFailed: "stuck",
        look: { actions: { type: "effect", params: (it) => told("releasing", it) } },
      },
    },
    shipped: { type: "final" },
    released: { type: "final" },
    /** Charged and not shipped, or not given back: a person's work. */
    stuck: { type: "final" },
  },
});

export const order = defineActor({ kind: "order", version: 1, machine, input, events, answers: { look }, ignores: ["confirm", "cancel"] });
