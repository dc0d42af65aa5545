/** The relay's machine: it has no effects. */
import type { ActorDefinition } from "../runtime/contract.ts";
import { relayMachine } from "../machines/relay.ts";

export const relayDefinition: ActorDefinition = {
  kind: "relay",
  version: 1,
  machine: relayMachine,
  // It carries results until the last one, cancelled or not.
  ignores: ["cancel"],
};
