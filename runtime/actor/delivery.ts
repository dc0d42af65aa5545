/** What waits in mailboxes: each is one step of the runtime. */
import type { Erasure, FileWrite, Origin, RestartType } from "../contract.ts";
import type { PendingEffect } from "../effects/effects.ts";
import type { ActorEvent, ActorRef, Json } from "../kernel/actions.ts";
import type { CancelMode } from "../scopes/scopes.ts";
import type { Timer } from "../timers/timer-heap.ts";
import type { Waiter } from "./batch.ts";

/** From outside: refused at the edge when too many wait. */
export type EdgeDelivery =
  | {
      readonly type: "post";
      readonly to: ActorRef;
      readonly event: ActorEvent;
      /** The event as JSON. */
      readonly text: string;
      readonly origin: Origin;
      /** A full disk must not hold it up. */
      readonly control: boolean;
      readonly waiter: Waiter;
    }
  | {
      readonly type: "spawn";
      readonly ref: ActorRef;
      readonly input: Json;
      readonly scope: string | null;
      readonly restart: RestartType | null;
      readonly deadlineAtMs: number | null;
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
  | { readonly type: "erase"; readonly erasure: Erasure; readonly origin: Origin; readonly waiter: Waiter }
  /** What was erased is gone: its tombstone is set. */
  | { readonly type: "erased"; readonly scope: string; readonly source: string; readonly payload: string; readonly waiter: Waiter }
  | { readonly type: "reserve"; readonly counter: string; readonly count: number; readonly waiter: Waiter };

export interface MessageDelivery {
  readonly type: "message";
  readonly id: number;
  readonly from: string;
  readonly to: ActorRef;
  readonly event: ActorEvent;
  readonly text: string;
}

type WithoutWaiter<T> = T extends unknown ? Omit<T, "waiter"> : never;
export type EdgeRequest = WithoutWaiter<EdgeDelivery>;

export interface OutcomeDelivery {
  readonly type: "outcome";
  readonly effect: PendingEffect;
  readonly event: ActorEvent | null;
  readonly files: readonly FileWrite[];
}

/** From inside: never refused. */
export type InnerDelivery =
  | MessageDelivery
  | { readonly type: "timer"; readonly timer: Timer }
  /** `group`: what is restarted together keeps its order. */
  | { readonly type: "restart"; readonly timer: Timer; readonly group: string }
  | OutcomeDelivery
  | { readonly type: "started"; readonly effect: PendingEffect; readonly started: () => void }
  | { readonly type: "undone"; readonly effect: PendingEffect };

export type Delivery = EdgeDelivery | InnerDelivery;

/** In whose mailbox it waits: an actor's, or one of the runtime's own. */
export function receiverOf(delivery: Delivery | EdgeRequest): string {
  switch (delivery.type) {
    case "message":
    case "post":
      return delivery.to;
    case "spawn":
      return delivery.ref;
    case "timer":
      return delivery.timer.owner;
    case "restart":
      return `restart:${delivery.group}`;
    case "outcome":
      return delivery.effect.owner;
    case "started":
    case "undone":
      return effectMailbox(delivery.effect);
    case "cancelScope":
    case "erased":
      return `scope:${delivery.scope}`;
    case "erase":
      return `scope:${delivery.erasure.scope}`;
    case "reserve":
      return `counter:${delivery.counter}`;
  }
}

/** Where the news of effects waits that no actor takes. */
export function effectMailbox({ definition }: PendingEffect): string {
  return `effect:${definition.name}`;
}

export function isEdge(delivery: Delivery): delivery is EdgeDelivery {
  return "waiter" in delivery;
}
