/** Small machines that stress the runtime itself: messages, trees in scopes, timers, effects of both kinds, breaking and being restarted. Pure. */
import { setup } from "xstate";
import type { ActorDefinition } from "../../../runtime/contract.ts";
import { runtimeActions, type ActorRef } from "../../../runtime/kernel/actions.ts";

/** Sends numbers to and fro with its partner, and logs each that came. */
interface PingContext {
  readonly me: string;
  readonly partner: ActorRef;
  readonly rounds: number;
}
const ping = setup({
  types: {
    context: {} as PingContext,
    input: {} as PingContext & { readonly begins: boolean },
    events: {} as { type: "ball"; count: number },
  },
  actions: runtimeActions,
  guards: {
    isLast: ({ context, event }) => event.count >= context.rounds,
  },
}).createMachine({
  context: ({ input }) => ({ me: input.me, partner: input.partner, rounds: input.rounds }),
  initial: "playing",
  states: {
    playing: {
      on: {
        ball: [
          {
            guard: "isLast",
            target: "over",
            actions: { type: "append", params: ({ context, event }) => ({ log: `balls:${context.me}`, value: event.count }) },
          },
          {
            actions: [
              { type: "append", params: ({ context, event }) => ({ log: `balls:${context.me}`, value: event.count }) },
              { type: "send", params: ({ context, event }) => ({ to: context.partner, event: { type: "ball", count: event.count + 1 } }) },
            ],
          },
        ],
      },
    },
    over: { type: "final" },
  },
});

/** Spawns children below itself, and tells its parent how many there were when all have told. */
interface TreeContext {
  readonly path: string;
  readonly depth: number;
  readonly width: number;
  readonly waiting: number;
  readonly count: number;
}
type TreeInput = Pick<TreeContext, "path" | "depth" | "width">;
const trees = setup({
  types: {
    context: {} as TreeContext,
    input: {} as TreeInput,
    events: {} as { type: "grown"; count: number } | { type: "sprout"; child: number } | { type: "cancel" },
  },
  actions: runtimeActions,
  guards: {
    isLeaf: ({ context }) => context.depth === 0,
    isWhole: ({ context }) => context.waiting === 0,
    sproutsMore: ({ context, event }) => event.type === "sprout" && event.child < context.width,
  },
});
const countGrown = trees.assign(({ context, event }) =>
  event.type === "grown" ? { waiting: context.waiting - 1, count: context.count + event.count } : {},
);
const tree = trees.createMachine({
  context: ({ input }) => ({ ...input, waiting: input.depth === 0 ? 0 : input.width, count: 1 }),
  initial: "growing",
  states: {
    growing: {
      entry: { type: "send", params: ({ context }) => ({ to: `tree:${context.path}`, event: { type: "sprout", child: 0 } }) },
      on: {
        sprout: [
          { guard: "isLeaf", target: "whole" },
          {
            guard: "sproutsMore",
            actions: [
              {
                type: "spawn",
                params: ({ context, event }) => ({
                  ref: `tree:${context.path}.${event.child}`,
                  input: { path: `${context.path}.${event.child}`, depth: context.depth - 1, width: context.width },
                  ...(context.depth % 2 === 0 ? { scope: `tree:${context.path}` } : {}),
                }),
              },
              {
                type: "send",
                params: ({ context, event }) => ({
                  to: `tree:${context.path}`,
                  event: { type: "sprout", child: event.child + 1 },
                }),
              },
            ],
          },
          {},
        ],
        grown: { actions: countGrown },
        cancel: "felled",
      },
      always: { guard: "isWhole", target: "whole" },
    },
    whole: {
      type: "final",
      entry: [
        {
          type: "project",
          params: ({ context }) => ({ collection: "trees", key: context.path, value: context.count }),
        },
        {
          type: "send",
          params: ({ context }) => ({
            to: context.path.includes(".") ? `tree:${context.path.slice(0, context.path.lastIndexOf("."))}` : "sink:trees",
            event: { type: "grown", count: context.count },
          }),
        },
      ],
    },
    felled: { type: "final" },
  },
});

/** Logs whatever it hears: amounts of senders, timers, outcomes. */
const sink = setup({
  types: {
    context: {} as { readonly me: string },
    input: {} as { readonly me: string },
    events: {} as
      | { type: "add"; amount: number; from: string }
      | { type: "alarm"; name: string; delayMs: number; at: number }
      | { type: "hush"; name: string }
      | { type: "timer"; name: string; at: number }
      | { type: "work"; name: string; key: string }
      | { type: "worked"; key: string; times: number }
      | { type: "effectUnknown"; key: string }
      | { type: "effectFailed"; key: string }
      | { type: "grown"; count: number },
  },
  actions: runtimeActions,
}).createMachine({
  context: ({ input }) => ({ me: input.me }),
  on: {
    add: {
      actions: {
        type: "append",
        params: ({ context, event }) => ({ log: `heard:${context.me}`, value: { from: event.from, amount: event.amount } }),
      },
    },
    alarm: {
      actions: [
        { type: "startTimer", params: ({ event }) => ({ name: event.name, atMs: event.at + event.delayMs }) },
        { type: "append", params: ({ context, event }) => ({ log: `set:${context.me}`, value: event.name }) },
      ],
    },
    hush: {
      actions: [
        { type: "stopTimer", params: ({ event }) => ({ name: event.name }) },
        { type: "append", params: ({ context, event }) => ({ log: `hushed:${context.me}`, value: event.name }) },
      ],
    },
    timer: { actions: { type: "append", params: ({ context, event }) => ({ log: `rang:${context.me}`, value: event.name }) } },
    work: {
      actions: [
        { type: "effect", params: ({ event }) => ({ name: event.name, key: event.key, params: null }) },
        { type: "append", params: ({ context, event }) => ({ log: `asked:${context.me}`, value: event.key }) },
      ],
    },
    worked: { actions: { type: "append", params: ({ context, event }) => ({ log: `outcome:${context.me}`, value: event.key }) } },
    effectUnknown: {
      actions: { type: "append", params: ({ context, event }) => ({ log: `outcome:${context.me}`, value: `${event.key} unknown` }) },
    },
    effectFailed: {
      actions: { type: "append", params: ({ context, event }) => ({ log: `outcome:${context.me}`, value: `${event.key} failed` }) },
    },
    grown: { actions: { type: "append", params: ({ event }) => ({ log: "grown", value: event.count }) } },
  },
});

export const definitions: readonly ActorDefinition[] = [
  { kind: "ping", version: 1, machine: ping },
  { kind: "tree", version: 1, machine: tree, ignores: ["grown", "sprout", "cancel"] },
  { kind: "sink", version: 1, machine: sink, ignores: ["cancel", "grown"] },
];
