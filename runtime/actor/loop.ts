/**
 * Owns the turns that work through the mailboxes.
 * Does not own: mailboxes, what a delivery does.
 * 1. A visit handles at most VISIT_EVENTS_MAX deliveries of one receiver; then it is the next one's turn.
 * 2. A turn ends after TURN_MS_MAX, so that sockets and timers get their turn.
 * 3. While `blocked` answers true nothing is handled; `wake` looks again.
 * 4. A delivery that is long is handled over several turns, and nothing else between: until its end nothing of it is written.
 */
import type { Environment } from "../kernel/environment.ts";
import { TURN_MS_MAX, VISIT_EVENTS_MAX } from "../kernel/limits.ts";
import type { Mailbox } from "../mailbox/mailbox.ts";
import type { Mailboxes } from "../mailbox/mailboxes.ts";
import type { Delivery } from "./delivery.ts";

export interface LoopParts {
  readonly environment: Environment;
  readonly mailboxes: Mailboxes;
  /** Answers the rest of it, where there is one. */
  handle(delivery: Delivery): Iterator<void> | null;
  /** After each turn, with work done. */
  turned(): void;
  blocked(): boolean;
  /** Work that nothing may hold up, at the beginning of each turn. */
  pressed(): void;
}

export class Loop {
  readonly #parts: LoopParts;
  /** Of a long delivery. */
  #rest: Iterator<void> | null = null;
  #scheduled = false;
  #stopped = false;

  constructor(parts: LoopParts) {
    this.#parts = parts;
  }

  wake(): void {
    if (!this.#parts.mailboxes.idle) this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#stopped) return;
    this.#scheduled = true;
    this.#parts.environment.defer(() => this.#turn());
  }

  /** What was begun is done to its end. */
  stop(): void {
    this.#stopped = true;
    this.#goOn(Infinity);
  }

  /** A long delivery is not done yet: what is computed must not be written. */
  get isWithin(): boolean {
    return this.#rest !== null;
  }

  /** False when it needs another turn. */
  #goOn(endMs: number): boolean {
    const rest = this.#rest;
    if (rest === null) return true;
    while (rest.next().done !== true) if (this.#parts.environment.monotonicMs() >= endMs) return false;
    this.#rest = null;
    return true;
  }

  #turn(): void {
    const { environment, mailboxes } = this.#parts;
    const endMs = environment.monotonicMs() + TURN_MS_MAX;
    let more = this.#goOn(endMs);
    if (more) this.#parts.pressed();
    while (more && !this.#stopped && !this.#parts.blocked()) {
      const mailbox = mailboxes.next();
      if (mailbox === undefined) break;
      more = this.#visit(mailbox, endMs);
      mailboxes.leave(mailbox);
    }
    this.#scheduled = false;
    if (this.isWithin) return this.#schedule();
    this.#parts.turned();
    if (!this.#parts.blocked()) this.wake();
  }

  /** False when the turn is over. */
  #visit(mailbox: Mailbox, endMs: number): boolean {
    const { environment, mailboxes } = this.#parts;
    for (let events = 0; events < VISIT_EVENTS_MAX && !this.#parts.blocked(); events++) {
      const delivery = mailboxes.take(mailbox);
      if (delivery === undefined) return true;
      this.#rest = this.#parts.handle(delivery);
      if (!this.#goOn(endMs)) return false;
      if (environment.monotonicMs() >= endMs || this.#stopped) return false;
    }
    return true;
  }
}
