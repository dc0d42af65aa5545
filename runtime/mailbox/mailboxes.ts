/**
 * Owns the mailboxes that have mail, the ring of those that are ready for a visit, and the reading of what stayed in the outbox.
 * Does not own: what a delivery does, the turns (loop.ts), rows.
 * 1. A mailbox with mail that its receiver accepts is in the ring once. Visits go round: none starves.
 * 2. A receiver that does not accept now (it waits for its next incarnation) hears control only; the rest keeps its order.
 * 3. A mailbox without mail takes no memory.
 */
import type { Delivery, EdgeDelivery, MessageDelivery, OutcomeDelivery } from "../actor/delivery.ts";
import { isEdge, receiverOf } from "../actor/delivery.ts";
import type { OutboxRow } from "../journal/batch-rows.ts";
import type { ActorEvent, ActorRef } from "../kernel/actions.ts";
import { CohortError } from "../kernel/error.ts";
import { decodeJson, isObject } from "../kernel/json.ts";
import { isControl, Mailbox } from "./mailbox.ts";
import { Queue } from "./queue.ts";

export interface MailboxesParts {
  accepts(receiver: string): boolean;
  /** Ordinary messages for the receiver behind an id, as they stand in the outbox. */
  pull(receiver: string, after: number, limit: number): Promise<readonly OutboxRow[]>;
  /** Once what was computed so far is in the journal. */
  afterCommit(work: () => void): void;
  /** Its place was taken by a later one. */
  replaced(message: MessageDelivery): void;
  ready(): void;
  failed(error: unknown): void;
}

/** A row of the outbox as it is delivered. */
export function messageOf(row: OutboxRow): MessageDelivery {
  const event = decodeJson(row.event, `message ${row.id}`);
  if (!isObject(event) || typeof event["type"] !== "string") throw new CohortError("JOURNAL_CORRUPT", { on: `message ${row.id}` });
  return {
    type: "message",
    id: row.id,
    from: row.sender,
    to: row.receiver as ActorRef,
    event: event as ActorEvent,
    text: row.event,
  };
}

export class Mailboxes {
  readonly #parts: MailboxesParts;
  readonly #mailboxes = new Map<string, Mailbox>();
  readonly #ring = new Queue<Mailbox>();
  /** Deliveries in memory. */
  #held = 0;
  #beyond = 0;

  constructor(parts: MailboxesParts) {
    this.#parts = parts;
  }

  get length(): number {
    return this.#held + this.#beyond;
  }

  /** Nobody is ready for a visit. */
  get idle(): boolean {
    return this.#ring.length === 0;
  }

  /** Requests from outside that wait for this receiver. */
  edges(receiver: string): number {
    return this.#mailboxes.get(receiver)?.edges ?? 0;
  }

  push(delivery: Delivery, receiver = receiverOf(delivery)): void {
    const mailbox = this.#open(receiver);
    const before = mailbox.length - mailbox.beyond;
    const beyond = mailbox.beyond;
    if (isControl(delivery)) {
      const replaced = mailbox.putControl(delivery);
      if (replaced !== null) this.#parts.replaced(replaced);
    } else mailbox.put(delivery);
    this.#held += mailbox.length - mailbox.beyond - before;
    this.#beyond += mailbox.beyond - beyond;
    this.#offer(mailbox);
  }

  /** Messages that a recovery left in the outbox. */
  leaveBehind(receiver: string, count: number): void {
    this.#open(receiver).leaveBehind(count);
    this.#beyond += count;
  }

  /** The next one to visit. Give it back with `leave`. */
  next(): Mailbox | undefined {
    const mailbox = this.#ring.shift();
    if (mailbox !== undefined) mailbox.ready = false;
    return mailbox;
  }

  /** Its next delivery, if its receiver accepts one. */
  take(mailbox: Mailbox): Delivery | undefined {
    const delivery = mailbox.hasControl
      ? mailbox.takeControl()
      : mailbox.hasOrdinary && this.#parts.accepts(mailbox.receiver)
        ? mailbox.takeOrdinary()
        : undefined;
    if (delivery !== undefined) this.#held--;
    if (mailbox.wantsPull) this.#pull(mailbox);
    return delivery;
  }

  /** The visit is over. */
  leave(mailbox: Mailbox): void {
    this.#offer(mailbox);
    this.#forgetIfEmpty(mailbox);
  }

  /** What it accepts may have changed. */
  wake(receiver: string): void {
    const mailbox = this.#mailboxes.get(receiver);
    if (mailbox === undefined) return;
    this.#offer(mailbox);
    this.#forgetIfEmpty(mailbox);
  }

  #forgetIfEmpty(mailbox: Mailbox): void {
    if (mailbox.empty && !mailbox.ready) this.#mailboxes.delete(mailbox.receiver);
  }

  /** Outcomes of effects that an incarnation will never take: out of its mailbox, so that they are settled now. */
  takeOutcomes(receiver: string): readonly OutcomeDelivery[] {
    const mailbox = this.#mailboxes.get(receiver);
    if (mailbox === undefined || !mailbox.hasOrdinary) return [];
    const isOutcome = (delivery: Delivery): delivery is OutcomeDelivery => delivery.type === "outcome";
    const taken = mailbox.remove(isOutcome).filter(isOutcome);
    this.#held -= taken.length;
    return taken;
  }

  takeEdges(wanted: (delivery: EdgeDelivery) => boolean): readonly EdgeDelivery[] {
    return this.#takeOut((mailbox) => mailbox.remove((delivery) => isEdge(delivery) && wanted(delivery))).filter(isEdge);
  }

  /** Out of all mailboxes, control first; of one receiver either all messages are wanted or none, so that their order is kept. */
  takeWanted(wanted: (delivery: Delivery) => boolean): readonly Delivery[] {
    return this.#takeOut((mailbox) => [
      ...mailbox.removeControl(wanted),
      ...(this.#parts.accepts(mailbox.receiver) ? mailbox.remove(wanted) : []),
    ]);
  }

  #takeOut(from: (mailbox: Mailbox) => readonly Delivery[]): readonly Delivery[] {
    const taken: Delivery[] = [];
    for (const mailbox of [...this.#mailboxes.values()]) {
      taken.push(...from(mailbox));
      this.#forgetIfEmpty(mailbox);
    }
    this.#held -= taken.length;
    return taken;
  }

  #open(receiver: string): Mailbox {
    let mailbox = this.#mailboxes.get(receiver);
    if (mailbox === undefined) this.#mailboxes.set(receiver, (mailbox = new Mailbox(receiver)));
    return mailbox;
  }

  #offer(mailbox: Mailbox): void {
    if (mailbox.ready) {
      this.#parts.ready();
      return;
    }
    const accepted = mailbox.hasControl || (mailbox.hasOrdinary && this.#parts.accepts(mailbox.receiver));
    if (!accepted) {
      if (mailbox.wantsPull) this.#pull(mailbox);
      return;
    }
    mailbox.ready = true;
    this.#ring.push(mailbox);
    this.#parts.ready();
  }

  /** `written`: all that stayed behind is in the journal by now. */
  #pull(mailbox: Mailbox, written = false): void {
    mailbox.pulling = true;
    this.#parts.pull(mailbox.receiver, mailbox.lastId, mailbox.room).then(
      (rows) => this.#pulled(mailbox, rows, written),
      (error: unknown) => this.#parts.failed(error),
    );
  }

  #pulled(mailbox: Mailbox, rows: readonly OutboxRow[], written: boolean): void {
    if (rows.length === 0) {
      const on = `${mailbox.beyond} messages for ${mailbox.receiver} are not in the outbox`;
      if (written) this.#parts.failed(new CohortError("INTERNAL", { on }));
      else this.#parts.afterCommit(() => this.#pull(mailbox, true));
      return;
    }
    mailbox.pulling = false;
    try {
      mailbox.pulled(rows.map(messageOf));
    } catch (error) {
      this.#parts.failed(error);
      return;
    }
    this.#held += rows.length;
    this.#beyond -= rows.length;
    this.#offer(mailbox);
  }
}
