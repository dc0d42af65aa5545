/**
 * One question of a child to a person: pending → approved | denied | expired | withdrawn. Decided once, whoever answers first: a person, an
 * answer given with the run, the clock, or the end of the child. An approved one creates its grant in the same transaction.
 */
import { setup } from "xstate";
import { runtimeActions } from "../runtime/kernel/actions.ts";
import * as approval from "./approval-context.ts";
import type { ApprovalEvent, ApprovalInput } from "./messages/approval-events.ts";

const house = setup({
  types: { context: {} as approval.ApprovalContext, events: {} as ApprovalEvent, input: {} as ApprovalInput },
  actions: runtimeActions,
  guards: {
    isPreApproved: ({ context }) => context.preAnswer?.decision === "approve",
    isPreDenied: ({ context }) => context.preAnswer?.decision === "deny",
    approves: ({ event }) => event.type === "answer" && event.decision === "approve",
    timerIs: ({ event }, name: string) => event.type === "timer" && event.name === name,
  },
});

const hear = house.assign(({ context, event }) => approval.reduceApproval(context, event));

export const approvalMachine = house.createMachine({
  id: "approval",
  context: ({ input }) => approval.approvalContext(input),
  initial: "asked",
  states: {
    /** Left at once. */
    asked: {
      always: [
        { guard: "isPreApproved", target: "approved" },
        { guard: "isPreDenied", target: "denied" },
        {
          target: "pending",
          actions: [
            { type: "append", params: ({ context }) => approval.requestedRow(context) },
            { type: "startTimer", params: ({ context }) => approval.expiryTimer(context) },
            { type: "send", params: ({ context }) => approval.sendAsk(context, "askOpened") },
          ],
        },
      ],
    },

    pending: {
      entry: [
        { type: "project", params: ({ context }) => approval.pendingRow(context) },
        { type: "effect", params: ({ context }) => approval.toldEffect(context, "pending") },
      ],
      exit: [
        { type: "project", params: ({ context }) => approval.noPendingRow(context) },
        { type: "send", params: ({ context }) => approval.sendAsk(context, "askClosed") },
      ],
      on: {
        repeated: {
          actions: [
            hear,
            { type: "project", params: ({ context }) => approval.pendingRow(context) },
            { type: "effect", params: ({ context }) => approval.toldEffect(context, "pending") },
          ],
        },
        answer: [
          { guard: "approves", target: "approved", actions: hear },
          { target: "denied", actions: hear },
        ],
        timer: { guard: { type: "timerIs", params: "expiry" }, target: "expired", actions: hear },
        childEnded: { target: "withdrawn", actions: hear },
        cancel: { target: "withdrawn", actions: hear },
      },
    },

    approved: {
      type: "final",
      entry: [
        { type: "append", params: ({ context }) => approval.decidedRow(context, "approved") },
        { type: "project", params: ({ context }) => approval.answeredRow(context, "approved") },
        { type: "spawn", params: ({ context }) => approval.spawnGrant(context, context.answer?.atMs ?? context.atMs) },
        { type: "effect", params: ({ context }) => approval.toldEffect(context, "approved") },
      ],
    },
    denied: {
      type: "final",
      entry: [
        { type: "append", params: ({ context }) => approval.decidedRow(context, "denied") },
        { type: "project", params: ({ context }) => approval.answeredRow(context, "denied") },
        { type: "effect", params: ({ context }) => approval.toldEffect(context, "denied") },
      ],
    },
    expired: {
      type: "final",
      entry: [
        { type: "append", params: ({ context }) => approval.decidedRow(context, "expired") },
        { type: "project", params: ({ context }) => approval.answeredRow(context, "expired") },
        { type: "effect", params: ({ context }) => approval.toldEffect(context, "expired") },
      ],
    },
    withdrawn: {
      type: "final",
      entry: [
        { type: "append", params: ({ context }) => approval.decidedRow(context, "withdrawn") },
        { type: "project", params: ({ context }) => approval.answeredRow(context, "withdrawn") },
        { type: "effect", params: ({ context }) => approval.toldEffect(context, "withdrawn") },
      ],
    },
  },
});
