/** Delivery of results, and of what is told about living children: takes each child's once, writes it to the run's log, and only then tells the run. Closes with the run. */
import { setup } from "xstate";
import { runtimeActions } from "../runtime/kernel/actions.ts";
import type { RunLogRow } from "./messages/facts.ts";
import type { RelayEvent, RelayInput } from "./messages/run-events.ts";

type RelayContext = { readonly run: string; readonly delivered: number };

const house = setup({
  types: { context: {} as RelayContext, events: {} as RelayEvent, input: {} as RelayInput },
  actions: runtimeActions,
});

export const relayMachine = house.createMachine({
  id: "relay",
  context: ({ input }) => ({ run: input.run, delivered: 0 }),
  initial: "open",
  states: {
    open: {
      on: {
        // That one result comes once is the inbox's promise: child and number of its message are the unique key.
        result: {
          actions: [
            house.assign({ delivered: ({ context }) => context.delivered + 1 }),
            {
              type: "append",
              params: ({ context, event }) => ({
                log: `run:${context.run}`,
                value: { type: "task-finished", atMs: event.at, facts: event.facts } satisfies RunLogRow,
              }),
            },
            {
              type: "send",
              params: ({ context, event }) => ({
                to: `run:${context.run}`,
                event: { type: "childSettled", index: event.facts.index, status: event.facts.status, gone: event.gone },
              }),
            },
          ],
        },
        childGone: {
          actions: {
            type: "send",
            params: ({ context, event }) => ({ to: `run:${context.run}`, event: { type: "childGone", index: event.index } }),
          },
        },
        denied: {
          actions: {
            type: "append",
            params: ({ context, event: { index, attempt, child, times, words, at } }) => ({
              log: `run:${context.run}`,
              value: { type: "denied", index, attempt, child, times, words, atMs: at } satisfies RunLogRow,
            }),
          },
        },
        close: { target: "closed" },
      },
    },
    closed: { type: "final" },
  },
});
