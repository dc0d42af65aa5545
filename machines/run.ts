/**
 * A group of tasks with one cancellation scope: starts up to `jobs` children at once, counts their results, halts, and ends when nothing of it
 * is left. running → (draining | cancelling) → finished. It holds nothing per task.
 */
import { setup } from "xstate";
import { runtimeActions } from "../runtime/kernel/actions.ts";
import { runEffects, type RunEvent, type RunInput } from "./messages/run-events.ts";
import * as run from "./run-context.ts";

const house = setup({
  types: { context: {} as run.RunContext, events: {} as RunEvent, input: {} as RunInput },
  actions: runtimeActions,
  guards: {
    startsNext: ({ context }) => run.canStart(context) && context.burst < run.BURST_MAX,
    startsLater: ({ context }) => run.canStart(context),
    allSettled: ({ context }) => context.next === context.total && run.isQuiet(context),
    isQuiet: ({ context }) => run.isQuiet(context),
    haltsNow: ({ context }) => run.isHalted(context, "now"),
    haltsSoon: ({ context }) => run.isHalted(context, "soon"),
    timerIs: ({ event }, name: string) => event.type === "timer" && event.name === name,
    cancelFailed: ({ event }) => event.type === "effectFailed" && event.name === runEffects.cancelScope,
    childBroke: ({ context, event }) => event.type === "actorFailed" && context.active.includes(run.failedIndex(context, event.ref)),
    escalates: ({ context, event }) =>
      event.type === "cancel" && (context.cancel === "none" || (event.mode === "kill" && context.cancel !== "kill")),
    hasDeadline: ({ context }) => context.deadlineAtMs !== null,
  },
});

const hear = house.assign(({ context, event }) => run.reduceRun(context, event));
const started = house.assign(({ context }) => run.withStarted(context));
const newBurst = house.assign({ burst: 0 });
const halted = house.assign(({ context }) => run.withStop(context, "halted"));
const finished = house.assign({ finishedAtMs: ({ event }) => event.at });
const countRequest = house.assign({ cancelRequests: ({ context }) => context.cancelRequests + 1 });
const fill = house.raise(({ event }) => ({ type: "fill", at: event.at }));

export const runMachine = house.createMachine({
  id: "run",
  context: ({ input }) => run.runContext(input),
  initial: "created",
  states: {
    /** Left at once: the deadline's timer is set only where there is one. */
    created: {
      entry: [
        { type: "append", params: ({ context }) => run.startedRow(context) },
        { type: "spawn", params: ({ context }) => run.spawnRelay(context) },
        { type: "send", params: ({ context }) => ({ to: `run:${context.run}`, event: { type: "fill" } }) },
        { type: "project", params: ({ context }) => run.runRow(context, "running") },
      ],
      always: [
        { guard: "hasDeadline", target: "running", actions: { type: "startTimer", params: ({ context }) => run.deadlineTimer(context) } },
        { target: "running" },
      ],
    },

    running: {
      // Taken before a raised fill, so that nothing is started after the failure that halts.
      always: [
        { guard: "allSettled", target: "finished" },
        {
          guard: "haltsNow",
          target: "cancelling",
          actions: [halted, { type: "effect", params: ({ context }) => run.cancelScopeEffect(context, "halted") }],
        },
        { guard: "haltsSoon", target: "draining", actions: halted },
      ],
      on: {
        fill: [
          {
            guard: "startsNext",
            actions: [{ type: "spawn", params: ({ context, event }) => run.spawnChild(context, event.at) }, started, fill],
          },
          {
            guard: "startsLater",
            actions: [newBurst, { type: "send", params: ({ context }) => ({ to: `run:${context.run}`, event: { type: "fill" } }) }],
          },
          { actions: [newBurst, { type: "project", params: ({ context }) => run.runRow(context, "running") }] },
        ],
        childSettled: { actions: [hear, fill] },
        childGone: { actions: [hear, fill] },
        actorFailed: {
          guard: "childBroke",
          actions: [
            {
              type: "append",
              params: ({ context, event }) => run.brokenRow(context, run.failedIndex(context, event.ref), event.at),
            },
            hear,
            fill,
          ],
        },
        timer: {
          guard: { type: "timerIs", params: "deadline" },
          target: "cancelling",
          actions: [hear, { type: "effect", params: ({ context }) => run.cancelScopeEffect(context, "deadline") }],
        },
        cancel: {
          target: "cancelling",
          actions: [
            { type: "append", params: ({ context, event }) => run.cancellingRow(context, event.mode, event.reason, event.at) },
            hear,
          ],
        },
      },
    },

    /** Failures have halted the run softly: what runs may end. */
    draining: {
      entry: { type: "project", params: ({ context }) => run.runRow(context, "running") },
      always: { guard: "isQuiet", target: "finished" },
      on: {
        childSettled: { actions: [hear, { type: "project", params: ({ context }) => run.runRow(context, "running") }] },
        childGone: { actions: hear },
        actorFailed: {
          guard: "childBroke",
          actions: [
            {
              type: "append",
              params: ({ context, event }) => run.brokenRow(context, run.failedIndex(context, event.ref), event.at),
            },
            hear,
          ],
        },
        timer: {
          guard: { type: "timerIs", params: "deadline" },
          target: "cancelling",
          actions: [hear, { type: "effect", params: ({ context }) => run.cancelScopeEffect(context, "deadline") }],
        },
        cancel: {
          target: "cancelling",
          actions: [
            { type: "append", params: ({ context, event }) => run.cancellingRow(context, event.mode, event.reason, event.at) },
            hear,
          ],
        },
      },
    },

    /** Every child hears the cancel from the scope itself; the run only counts. */
    cancelling: {
      entry: [countRequest, { type: "project", params: ({ context }) => run.runRow(context, "cancelling") }],
      always: { guard: "isQuiet", target: "finished" },
      on: {
        childSettled: { actions: [hear, { type: "project", params: ({ context }) => run.runRow(context, "cancelling") }] },
        childGone: { actions: hear },
        actorFailed: {
          guard: "childBroke",
          actions: [
            {
              type: "append",
              params: ({ context, event }) => run.brokenRow(context, run.failedIndex(context, event.ref), event.at),
            },
            hear,
          ],
        },
        cancel: {
          guard: "escalates",
          actions: [
            { type: "append", params: ({ context, event }) => run.cancellingRow(context, event.mode, event.reason, event.at) },
            hear,
          ],
        },
        effectFailed: {
          guard: "cancelFailed",
          actions: { type: "startTimer", params: ({ event }) => ({ name: "cancelAgain", atMs: event.at + run.CANCEL_RETRY_MS }) },
        },
        timer: {
          guard: { type: "timerIs", params: "cancelAgain" },
          actions: [{ type: "effect", params: ({ context }) => run.cancelScopeEffect(context, context.stop) }, countRequest],
        },
      },
    },

    finished: {
      type: "final",
      entry: [
        finished,
        { type: "append", params: ({ context }) => run.finishedRow(context) },
        { type: "project", params: ({ context }) => run.runRow(context, run.endStatus(context)) },
        { type: "send", params: ({ context }) => ({ to: `relay:${context.run}`, event: { type: "close" } }) },
        { type: "effect", params: ({ context }) => run.endedEffect(context) },
      ],
    },
  },
});
