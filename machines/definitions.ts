/** What the runtime has to know of each machine besides its effects: kind, version, migrations, and the events that a state may pass over. */
import type { Json } from "../runtime/kernel/actions.ts";
import { approvalMachine } from "./approval.ts";
import { childMachine } from "./child.ts";
import { grantMachine } from "./grant.ts";
import { relayMachine } from "./relay.ts";
import { runMachine } from "./run.ts";

/** Version 1 knew no asks. */
function withoutAsks(snapshot: Json): Json {
  const { context, ...rest } = snapshot as { readonly context: { readonly [field: string]: Json } };
  return { ...rest, context: { ...context, openAsks: [], waitingSinceMs: 0, waitedMs: 0 } };
}

/** Version 2 knew no clocks. */
function withoutStuck(snapshot: Json): Json {
  const { context, ...rest } = snapshot as { readonly context: { readonly [field: string]: Json } };
  return { ...rest, context: { ...context, stuck: null } };
}

export const runDefinition = {
  kind: "run",
  version: 1,
  machine: runMachine,
  ignores: ["fill", "timer", "cancel", "effectFailed", "actorFailed"],
} as const;

export const relayDefinition = {
  kind: "relay",
  version: 1,
  machine: relayMachine,
  // It carries results until the last one, cancelled or not.
  ignores: ["cancel"],
} as const;

export const childDefinition = {
  kind: "child",
  version: 3,
  machine: childMachine,
  migrations: { 1: withoutAsks, 2: withoutStuck },
  // News of an attempt may come when its state no longer cares.
  ignores: [
    "started",
    "startFailed",
    "exited",
    "lost",
    "outputLimit",
    "progress",
    "stuck",
    "unstuck",
    "askOpened",
    "askClosed",
    "settled",
    "destroyed",
    "timer",
    "cancel",
    "effectFailed",
  ],
} as const;

export const grantDefinition = {
  kind: "grant",
  version: 1,
  machine: grantMachine,
  // A cancelled child keeps what it was given for as long as it lives; the rest is news of what is over. `attached` is not among them: it is undone.
  ignores: ["cancel", "refused", "revoke", "revoked", "wardenEnded", "childEnded", "timer", "effectFailed"],
} as const;

export const approvalDefinition = {
  kind: "approval",
  version: 1,
  machine: approvalMachine,
  ignores: ["repeated", "timer", "cancel", "childEnded"],
} as const;

/** In the order in which a person thinks of them. */
export const cohortDefinitions = [runDefinition, relayDefinition, childDefinition, grantDefinition, approvalDefinition] as const;
