/** Reading an ActorRef: `<kind>:<id>`. */
import type { ActorRef } from "./actions.ts";

const REF = /^[a-z][A-Za-z0-9-]{0,63}:[^\0-\x20]{1,400}$/;

export function isActorRef(value: unknown): value is ActorRef {
  return typeof value === "string" && REF.test(value);
}

export function kindOf(ref: ActorRef): string {
  return ref.slice(0, ref.indexOf(":"));
}
