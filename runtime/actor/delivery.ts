/** What waits in the loop's queue: each is one step of the runtime. */
import type { FileWrite, Origin } from "../contract.ts";
import type { PendingEffect } from "../effects/effects.ts";
import type { ActorEvent, ActorRef, Json } from "../kernel/actions.ts";
import type { CancelMode } from "../scopes/scopes.ts";
import type { Timer } from "../timers/timer-heap.ts";
import type { Waiter } from "./batch.ts";

/** From outside: refused at the edge when too many wait. */
export type EdgeDelivery =
  | { readonly type: "post"; readonly to: ActorRef; readonly event: ActorEvent; readonly origin: Origin; readonly waiter: Waiter }
  | {
      readonly type: "spawn";
      readonly ref: ActorRef;
      readonly input: Json;
      readonly scope: string | null;
      readonly files: readonly FileWrite[];
      readonly origin: Origin;
      readonly waiter: Waiter;
    }
  | {
      readonly type: "cancelScope";
      readonly scope: string;
      readonly mode: CancelMode;
      readonly reason: string;
      readonly origin: Origin;
      readonly waiter: Waiter;
    }
  | { readonly type: "reserve"; readonly counter: string; readonly count: number; readonly waiter: Waiter };

/** From inside: never refused. */
export type InnerDelivery =
  | {
      readonly type: "message";
      readonly id: number;
      readonly from: string;
      readonly to: ActorRef;
      readonly event: ActorEvent;
      readonly text: string;
    }
  | { readonly type: "timer"; readonly timer: Timer }
  | {
      readonly type: "outcome";
      readonly effect: PendingEffect;
      readonly event: ActorEvent | null;
      readonly files: readonly FileWrite[];
    }
  | { readonly type: "started"; readonly effect: PendingEffect; readonly started: () => void }
  | { readonly type: "undone"; readonly effect: PendingEffect };

export type Delivery = EdgeDelivery | InnerDelivery;

export function isEdge(delivery: Delivery): delivery is EdgeDelivery {
  return "waiter" in delivery;
}
