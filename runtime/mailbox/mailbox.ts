/**
 * Owns what waits for one receiver: the control lane, the ordinary lane in memory, and the count of what is only in the journal's outbox.
 * Does not own: rows, turns, whether its receiver lives.
 * 1. Control comes before ordinary. It has one slot per kind and scope: a later one replaces it, but never a kill by a grace.
 * 2. Both lanes are in the order of message ids, so that a high-water mark a lane proves what was consumed.
 * 3. At most MAILBOX_WINDOW messages are in memory. Once one stayed behind all later ones do, until it was pulled: order is kept.
 */
import type { Delivery, MessageDelivery } from "../actor/delivery.ts";
import { isEdge } from "../actor/delivery.ts";
import { MAILBOX_WINDOW } from "../kernel/limits.ts";
import { Queue } from "./queue.ts";

/** What comes from a scope is control: cancellation. All else keeps its place behind what its sender sent before. */
export function isControl(delivery: Delivery): delivery is MessageDelivery {
  return delivery.type === "message" && delivery.from.startsWith("scope:");
}

export class Mailbox {
  readonly receiver: string;
  readonly #control = new Map<string, MessageDelivery>();
  #ordinary = new Queue<Delivery>();
  #messages = 0;
  #edges = 0;
  #beyond = 0;
  /** Of the newest message that was taken into memory. */
  #lastId = 0;
  /** It waits for a visit. */
  ready = false;
  /** What stayed behind is being read. */
  pulling = false;

  constructor(receiver: string) {
    this.receiver = receiver;
  }

  get hasControl(): boolean {
    return this.#control.size > 0;
  }

  get hasOrdinary(): boolean {
    return this.#ordinary.length > 0;
  }

  get empty(): boolean {
    return this.#control.size === 0 && this.#ordinary.length === 0 && this.#beyond === 0 && !this.pulling;
  }

  get length(): number {
    return this.#control.size + this.#ordinary.length + this.#beyond;
  }

  get edges(): number {
    return this.#edges;
  }

  /** Messages that are only in the outbox. */
  get beyond(): number {
    return this.#beyond;
  }

  get lastId(): number {
    return this.#lastId;
  }

  /** There is room for a good part of what stayed behind. */
  get wantsPull(): boolean {
    return this.#beyond > 0 && !this.pulling && this.#messages <= MAILBOX_WINDOW / 2;
  }

  get room(): number {
    return MAILBOX_WINDOW - this.#messages;
  }

  /** Answers the message whose place was taken, if any: it is never delivered. */
  putControl(delivery: MessageDelivery): MessageDelivery | null {
    const slot = `${delivery.event.type}\0${delivery.from}`;
    const held = this.#control.get(slot);
    if (held?.event["mode"] === "kill" && delivery.event["mode"] !== "kill") return delivery;
    // Behind the others: ids of a lane only rise.
    this.#control.delete(slot);
    this.#control.set(slot, delivery);
    return held ?? null;
  }

  put(delivery: Delivery): void {
    if (delivery.type === "message") {
      if (this.#beyond > 0 || this.#messages >= MAILBOX_WINDOW) {
        this.#beyond++;
        return;
      }
      this.#messages++;
      this.#lastId = delivery.id;
    } else if (isEdge(delivery)) this.#edges++;
    this.#ordinary.push(delivery);
  }

  /** That many more are in the outbox, as a recovery found. */
  leaveBehind(count: number): void {
    this.#beyond += count;
  }

  pulled(deliveries: readonly MessageDelivery[]): void {
    for (const delivery of deliveries) {
      this.#beyond--;
      this.#messages++;
      this.#lastId = delivery.id;
      this.#ordinary.push(delivery);
    }
  }

  takeControl(): Delivery | undefined {
    for (const [slot, delivery] of this.#control) {
      this.#control.delete(slot);
      return delivery;
    }
    return undefined;
  }

  takeOrdinary(): Delivery | undefined {
    const delivery = this.#ordinary.shift();
    if (delivery !== undefined) this.#taken(delivery);
    return delivery;
  }

  removeControl(wanted: (delivery: Delivery) => boolean): readonly Delivery[] {
    const removed = [...this.#control].filter(([, delivery]) => wanted(delivery));
    for (const [slot] of removed) this.#control.delete(slot);
    return removed.map(([, delivery]) => delivery);
  }

  /** Takes out what `wanted` picks from the ordinary lane; the rest stays in order. */
  remove(wanted: (delivery: Delivery) => boolean): readonly Delivery[] {
    const kept = new Queue<Delivery>();
    const removed: Delivery[] = [];
    for (let delivery = this.#ordinary.shift(); delivery !== undefined; delivery = this.#ordinary.shift()) {
      if (wanted(delivery)) removed.push(delivery);
      else kept.push(delivery);
    }
    this.#ordinary = kept;
    for (const delivery of removed) this.#taken(delivery);
    return removed;
  }

  #taken(delivery: Delivery): void {
    if (delivery.type === "message") this.#messages--;
    else if (isEdge(delivery)) this.#edges--;
  }
}
