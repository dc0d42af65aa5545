/**
 * One task: its attempts, each in a sandbox of its own, until one result has gone to the relay.
 * starting → running → collecting → (waiting → starting …) → settled; by way of cancelling when it is stopped, and of destroying when the
 * proof that the sandbox is gone takes longer than its result. Timers are left to run out: a late one means nothing in the next state.
 */
import { setup } from "xstate";
import { runtimeActions } from "../runtime/kernel/actions.ts";
import * as child from "./child-context.ts";
import * as rows from "./child-rows.ts";
import { childEffects, type ChildEvent, type ChildInput } from "./messages/child-events.ts";

const house = setup({
  types: { context: {} as child.ChildContext, events: {} as ChildEvent, input: {} as ChildInput },
  actions: runtimeActions,
  guards: {
    exitKnown: ({ context }) => context.exit !== null,
    hasTimeout: ({ event }) => event.type === "started" && event.policy.timeoutMs > 0,
    startsWaiting: ({ context, event }) => event.type === "started" && event.policy.timeoutMs > 0 && context.openAsks.length > 0,
    turnsWaiting: ({ context, event }) => context.policy.timeoutMs > 0 && child.turnsWaiting(context, event),
    turnsStuck: ({ context, event }) => child.turnsStuck(context, event),
    endsStuck: ({ context, event }) => event.type === "stuck" && event.ends && child.turnsStuck(context, event),
    turnsUnstuck: ({ context, event }) => child.turnsUnstuck(context, event),
    isKill: ({ event }) => event.type === "cancel" && event.mode === "kill",
    timerIs: ({ event }, name: string) => event.type === "timer" && event.name === name,
    effectIs: ({ event }, name: string) => event.type === "effectFailed" && event.name === name,
    isGone: ({ event }) => event.type === "settled" && event.gone,
    retries: ({ context }) => child.willRetry(context),
    retriesAndGone: ({ context, event }) => child.willRetry(context) && event.type === "settled" && event.gone,
    settlesAgain: ({ context, event }) =>
      event.type === "effectFailed" && event.name === childEffects.settle && context.settles < child.SETTLES_MAX,
    isDelivered: ({ context }) => context.delivered,
  },
});

const hear = house.assign(({ context, event }) => child.reduceChild(context, event));
const deliver = house.assign({ delivered: true });
const countSettle = house.assign({ settles: ({ context }) => context.settles + 1 });

type Heard = { readonly context: child.ChildContext; readonly event: ChildEvent };
const showRunning = { type: "project", params: ({ context }: Heard) => rows.childRow(context, "running") } as const;
const startTimeout = { type: "startTimer", params: ({ context }: Heard) => child.timeoutTimer(context) } as const;
const tellDeadline = { type: "effect", params: ({ context }: Heard) => child.deadlineEffect(context) } as const;
const kill = { type: "effect", params: ({ context }: Heard) => child.killEffect(context, false) } as const;
const tellStarted = { type: "append", params: ({ context, event }: Heard) => rows.startedRow(context, event.at) } as const;

export const childMachine = house.createMachine({
  id: "child",
  context: ({ input }) => child.childContext(input),
  initial: "starting",
  states: {
    /** The sandbox is built and the command started in one effect. */
    starting: {
      entry: [
        { type: "effect", params: ({ context }) => child.startEffect(context) },
        { type: "project", params: ({ context }) => rows.childRow(context, "starting") },
      ],
      on: {
        started: [
          {
            guard: "exitKnown",
            target: "collecting",
            actions: [hear, tellStarted],
          },
          // It asked a person before the news of its start came.
          {
            guard: "startsWaiting",
            target: "running",
            actions: [hear, tellStarted, startTimeout, tellDeadline],
          },
          {
            guard: "hasTimeout",
            target: "running",
            actions: [hear, tellStarted, startTimeout],
          },
          {
            target: "running",
            actions: [hear, tellStarted],
          },
        ],
        // The evidence of a very short command may overtake the news of its start.
        exited: { actions: hear },
        askOpened: { actions: hear },
        askClosed: { actions: hear },
        startFailed: { target: "collecting", actions: hear },
        effectFailed: { guard: { type: "effectIs", params: childEffects.start }, target: "collecting", actions: hear },
        lost: { target: "collecting", actions: hear },
        cancel: { target: "cancelling", actions: [hear, { type: "effect", params: ({ context }) => child.killEffect(context, true) }] },
      },
    },

    running: {
      entry: showRunning,
      on: {
        exited: { target: "collecting", actions: hear },
        lost: { target: "collecting", actions: hear },
        progress: { actions: [hear, showRunning] },
        askOpened: [{ guard: "turnsWaiting", actions: [hear, startTimeout, tellDeadline, showRunning] }, { actions: [hear, showRunning] }],
        askClosed: [{ guard: "turnsWaiting", actions: [hear, startTimeout, tellDeadline, showRunning] }, { actions: [hear, showRunning] }],
        stuck: [
          {
            guard: "endsStuck",
            target: "cancelling",
            actions: [hear, { type: "append", params: ({ context, event }) => rows.stuckRow(context, true, event.at) }, kill],
          },
          {
            guard: "turnsStuck",
            actions: [hear, { type: "append", params: ({ context, event }) => rows.stuckRow(context, false, event.at) }, showRunning],
          },
        ],
        unstuck: {
          guard: "turnsUnstuck",
          actions: [hear, { type: "append", params: ({ context, event }) => rows.unstuckRow(context, event.at) }, showRunning],
        },
        outputLimit: {
          target: "cancelling",
          actions: [hear, kill],
        },
        timer: {
          guard: { type: "timerIs", params: "timeout" },
          target: "cancelling",
          actions: [hear, kill],
        },
        cancel: [
          {
            guard: "isKill",
            target: "cancelling",
            actions: [hear, kill],
          },
          {
            target: "cancelling",
            actions: [
              hear,
              { type: "effect", params: ({ context }) => child.terminateEffect(context) },
              { type: "startTimer", params: ({ event }) => ({ name: "grace", atMs: event.at + child.GRACE_MS }) },
            ],
          },
        ],
      },
    },

    /** Asked to end; the exit evidence, or the news that nothing was started, is awaited. */
    cancelling: {
      entry: { type: "project", params: ({ context }) => rows.childRow(context, "cancelling") },
      on: {
        // The start won against the kill that was to prevent it.
        started: [
          {
            guard: "exitKnown",
            target: "collecting",
            actions: [hear, tellStarted],
          },
          // Its row says that it began: after a restart its end would be waited for otherwise by nobody.
          {
            actions: [hear, tellStarted, { type: "project", params: ({ context }) => rows.childRow(context, "cancelling") }, kill],
          },
        ],
        exited: { target: "collecting", actions: hear },
        startFailed: { target: "collecting", actions: hear },
        lost: { target: "collecting", actions: hear },
        progress: { actions: [hear, { type: "project", params: ({ context }) => rows.childRow(context, "cancelling") }] },
        timer: {
          guard: { type: "timerIs", params: "grace" },
          actions: [hear, kill],
        },
        cancel: [{ guard: "isKill", actions: [hear, kill] }, { actions: hear }],
        effectFailed: [
          { guard: { type: "effectIs", params: childEffects.start }, target: "collecting", actions: hear },
          // Being asked in vain is no reason to wait for ever.
          {
            guard: { type: "effectIs", params: childEffects.signal },
            actions: [hear, kill],
          },
          {
            guard: { type: "effectIs", params: childEffects.kill },
            actions: [hear, { type: "startTimer", params: ({ event }) => ({ name: "grace", atMs: event.at + child.GRACE_MS }) }],
          },
        ],
      },
    },

    /** The attempt has its status: its transcript, files and result are made durable, then the sandbox is destroyed. */
    collecting: {
      entry: [
        countSettle,
        { type: "effect", params: ({ context }) => child.settleEffect(context) },
        { type: "project", params: ({ context }) => rows.childRow(context, "collecting") },
      ],
      on: {
        settled: [
          { guard: "retriesAndGone", target: "waiting", actions: hear },
          { guard: "retries", target: "destroying", actions: hear },
          {
            guard: "isGone",
            target: "settled",
            actions: [hear, deliver, { type: "send", params: ({ context }) => rows.sendResult(context, true) }],
          },
          { target: "destroying", actions: [hear, deliver, { type: "send", params: ({ context }) => rows.sendResult(context, false) }] },
        ],
        effectFailed: [
          {
            guard: "settlesAgain",
            actions: [hear, { type: "startTimer", params: ({ context, event }) => child.settleTimer(context, event.at) }],
          },
          // Its content cannot be written; the facts are delivered all the same.
          {
            guard: { type: "effectIs", params: childEffects.settle },
            target: "destroying",
            actions: [hear, deliver, { type: "send", params: ({ context }) => rows.sendResult(context, false) }],
          },
        ],
        timer: { guard: { type: "timerIs", params: "settle" }, target: "collecting", reenter: true, actions: hear },
        cancel: { actions: hear },
      },
    },

    destroying: {
      entry: [
        { type: "effect", params: ({ context }) => child.destroyEffect(context) },
        { type: "project", params: ({ context }) => rows.childRow(context, "destroying") },
      ],
      on: {
        destroyed: [
          { guard: "isDelivered", target: "settled", actions: [hear, { type: "send", params: ({ context }) => rows.sendGone(context) }] },
          { guard: "retries", target: "waiting", actions: hear },
          { target: "settled", actions: [hear, deliver, { type: "send", params: ({ context }) => rows.sendResult(context, true) }] },
        ],
        effectFailed: {
          guard: { type: "effectIs", params: childEffects.destroy },
          actions: [hear, { type: "startTimer", params: ({ event }) => ({ name: "destroy", atMs: event.at + child.DESTROY_RETRY_MS }) }],
        },
        timer: { guard: { type: "timerIs", params: "destroy" }, target: "destroying", reenter: true, actions: hear },
        cancel: { actions: hear },
      },
    },

    /** Before the next attempt. */
    waiting: {
      // Its next attempt has another name.
      exit: { type: "project", params: ({ context }) => rows.noChildRow(context) },
      entry: [
        { type: "project", params: ({ context }) => rows.childRow(context, "waiting") },
        { type: "append", params: ({ context }) => rows.retriedRow(context, context.lastSignAtMs) },
        { type: "startTimer", params: ({ context }) => child.retryTimer(context, context.lastSignAtMs) },
      ],
      on: {
        timer: { guard: { type: "timerIs", params: "retry" }, target: "starting", actions: hear },
        cancel: {
          target: "settled",
          actions: [
            hear,
            deliver,
            { type: "stopTimer", params: { name: "retry" } },
            { type: "send", params: ({ context }) => rows.sendResult(context, true) },
          ],
        },
      },
    },

    settled: {
      type: "final",
      entry: { type: "project", params: ({ context }) => rows.noChildRow(context) },
    },
  },
});
