/** What a full disk must not hold up. Pure. (The control lane of a mailbox is another thing: see mailbox.ts.) */
import type { ActorRef } from "../kernel/actions.ts";
import type { Delivery, EdgeRequest } from "./delivery.ts";

/**
 * A cancellation, what actors of cancelled scopes hear, posts that say so, and the outcomes of effects that any of these planned.
 * Of messages it is the receiver that counts, so that none of one actor overtakes another.
 */
export function isUrgent(delivery: Delivery | EdgeRequest, isCancelled: (ref: ActorRef) => boolean): boolean {
  switch (delivery.type) {
    case "cancelScope":
    case "erase":
    case "erased":
      return true;
    case "post":
      return delivery.control || isCancelled(delivery.to);
    case "message":
      return isCancelled(delivery.to);
    case "timer":
    case "restart":
      return isCancelled(delivery.timer.owner);
    case "outcome":
    case "started":
    case "undone":
      return delivery.effect.control || isCancelled(delivery.effect.owner);
    case "spawn":
    case "reserve":
      return false;
  }
}
