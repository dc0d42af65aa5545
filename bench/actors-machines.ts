/** The machines of the bench `actors`, as small as machines can be that do what is measured. */
import { assign, createActor, createMachine, sendTo, setup, type AnyActorRef } from "xstate";
import type { ActorDefinition } from "../runtime/contract.ts";
import { runtimeActions, type ActorRef } from "../runtime/kernel/actions.ts";

interface Context {
  readonly next: ActorRef;
  readonly count: number;
}

const house = setup({
  types: { context: {} as Context, events: {} as { readonly type: "ball" | "idle" | "cancel" }, input: {} as { readonly next: ActorRef } },
  actions: runtimeActions,
});

/** Counts and passes on: one message in, one out. */
const player = house.createMachine({
  id: "player",
  context: ({ input }) => ({ next: input.next, count: 0 }),
  initial: "playing",
  states: {
    playing: {
      on: {
        ball: {
          actions: [
            house.assign({ count: ({ context }) => context.count + 1 }),
            { type: "send", params: ({ context }) => ({ to: context.next, event: { type: "ball" } }) },
          ],
        },
        idle: {},
        cancel: { target: "over" },
      },
    },
    over: { type: "final" },
  },
});

/** Children that a parent creates with one event: as many as one transaction holds well; then it asks itself for more. */
const BURST = 64;

type ParentEvent = { readonly type: "start"; readonly count: number } | { readonly type: "more" } | { readonly type: "cancel" };

const nursery = setup({
  types: { context: {} as { readonly started: number; readonly wanted: number }, events: {} as ParentEvent },
  actions: runtimeActions,
});

const parent = nursery.createMachine({
  id: "parent",
  context: { started: 0, wanted: 0 },
  initial: "working",
  states: {
    working: {
      on: {
        start: {
          actions: [
            nursery.assign({ wanted: ({ event }) => (event.type === "start" ? event.count : 0) }),
            { type: "send", params: { to: "parent:one", event: { type: "more" } } },
          ],
        },
        more: {
          actions: [
            nursery.enqueueActions(({ context, enqueue }) => {
              const end = Math.min(context.started + BURST, context.wanted);
              for (let index = context.started; index < end; index++)
                enqueue({ type: "spawn", params: { ref: `player:${index}`, input: { next: `player:${index}` } } });
              enqueue.assign({ started: end });
              if (end < context.wanted) enqueue({ type: "send", params: { to: "parent:one", event: { type: "more" } } });
            }),
          ],
        },
        cancel: { target: "over" },
      },
    },
    over: { type: "final" },
  },
});

export const definitions: readonly ActorDefinition[] = [
  { kind: "player", version: 1, machine: player },
  { kind: "parent", version: 1, machine: parent },
];

/** The same exchange between two actors of xstate, in memory. Milliseconds for so many messages. */
export function xstateMs(messages: number): number {
  let [left, right]: [AnyActorRef | null, AnyActorRef | null] = [null, null];
  let received = 0;
  const machine = createMachine({
    context: { count: 0 },
    on: {
      ball: {
        actions: [
          assign({ count: ({ context }: { context: { count: number } }) => context.count + 1 }),
          sendTo(
            ({ self }) => (self === left ? right : left) ?? self,
            () => ({ type: "ball" }),
          ),
        ],
        guard: () => received++ < messages,
      },
    },
  });
  left = createActor(machine).start();
  right = createActor(machine).start();
  const startedAt = performance.now();
  left.send({ type: "ball" });
  const tookMs = performance.now() - startedAt;
  left.stop();
  right.stop();
  return tookMs;
}
