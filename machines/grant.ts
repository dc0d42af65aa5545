/**
 * One directory lent to one living child: attaching → active → revoking → ended. What is asked for and not yet decided is an approval.
 * It outlives neither its child nor its time; whatever ended it, its end is told once, with the warden's proof where its child lives on.
 * An attachment whose answer comes when it is no longer wanted is taken by no state, so that the runtime undoes it.
 */
import { setup } from "xstate";
import { runtimeActions } from "../runtime/kernel/actions.ts";
import * as grant from "./grant-context.ts";
import { grantEffects, type GrantEvent, type GrantInput } from "./messages/grant-events.ts";

const house = setup({
  types: { context: {} as grant.GrantContext, events: {} as GrantEvent, input: {} as GrantInput },
  actions: runtimeActions,
  guards: {
    isBorn: ({ context }) => context.born,
    expires: ({ context }) => context.ttlMs > 0,
    turnsDiscarding: ({ context, event }) => event.type === "revoke" && event.discard && !context.discard,
    timerIs: ({ event }, name: string) => event.type === "timer" && event.name === name,
    effectIs: ({ event }, name: string) => event.type === "effectFailed" && event.name === name,
  },
});

const hear = house.assign(({ context, event }) => grant.reduceGrant(context, event));
const countRevoke = house.assign({ revokes: ({ context }) => context.revokes + 1 });
const end = house.assign({ endedAtMs: ({ event }) => event.at });

export const grantMachine = house.createMachine({
  id: "grant",
  context: ({ input }) => grant.grantContext(input),
  initial: "asked",
  states: {
    /** Left at once. */
    asked: {
      entry: { type: "project", params: ({ context }) => grant.ofRunRow(context) },
      always: [{ guard: "isBorn", target: "active" }, { target: "attaching" }],
    },

    attaching: {
      entry: [
        { type: "effect", params: ({ context }) => grant.attachEffect(context) },
        { type: "project", params: ({ context }) => grant.livingRow(context, "attaching") },
      ],
      on: {
        attached: [
          {
            guard: "expires",
            target: "active",
            actions: [
              hear,
              { type: "append", params: ({ context, event }) => grant.attachedRow(context, event.at) },
              { type: "startTimer", params: ({ context }) => grant.expiryTimer(context) },
            ],
          },
          {
            target: "active",
            actions: [hear, { type: "append", params: ({ context, event }) => grant.attachedRow(context, event.at) }],
          },
        ],
        refused: { target: "ended", actions: hear },
        // The warden may have attached it and not said so.
        effectFailed: { guard: { type: "effectIs", params: grantEffects.attach }, target: "revoking", actions: hear },
        revoke: { target: "revoking", actions: hear },
        cancel: { target: "revoking", actions: hear },
        childEnded: { target: "ended", actions: hear },
        // The warden's clock may run out before its answer is heard.
        wardenEnded: { actions: hear },
      },
    },

    active: {
      entry: [
        { type: "effect", params: ({ context }) => grant.toldEffect(context, "active") },
        { type: "project", params: ({ context }) => grant.livingRow(context, "active") },
      ],
      on: {
        revoke: { target: "revoking", actions: hear },
        wardenEnded: { target: "ended", actions: hear },
        childEnded: { target: "ended", actions: hear },
        timer: { guard: { type: "timerIs", params: "expiry" }, target: "revoking", actions: hear },
      },
    },

    /** Until there is the proof, or no child any more. */
    revoking: {
      entry: [
        countRevoke,
        { type: "effect", params: ({ context }) => grant.revokeEffect(context) },
        { type: "project", params: ({ context }) => grant.livingRow(context, "revoking") },
      ],
      on: {
        revoked: { target: "ended", actions: hear },
        // What was to be kept, and cannot be, is thrown away now.
        revoke: [{ guard: "turnsDiscarding", target: "revoking", reenter: true, actions: hear }, { actions: [] }],
        wardenEnded: { actions: hear },
        childEnded: { target: "ended", actions: hear },
        effectFailed: {
          guard: { type: "effectIs", params: grantEffects.revoke },
          actions: { type: "startTimer", params: ({ context, event }) => grant.revokeTimer(context, event.at) },
        },
        timer: { guard: { type: "timerIs", params: "revoke" }, target: "revoking", reenter: true },
      },
    },

    ended: {
      type: "final",
      entry: [
        end,
        { type: "append", params: ({ context }) => grant.endedRow(context) },
        { type: "project", params: ({ context }) => grant.noLivingRow(context) },
        { type: "project", params: ({ context }) => grant.endedGrantRow(context) },
        { type: "effect", params: ({ context }) => grant.toldEffect(context, "ended") },
      ],
    },
  },
});
