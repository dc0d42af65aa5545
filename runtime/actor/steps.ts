/**
 * Owns what each delivery means: which changes of world, effects, scopes and counters it is.
 * Does not own: their order (mailboxes and loop), what actors do with what they are given (world.ts).
 * 1. A message is consumed in the transaction that applies it, once: its id must be above the high-water mark of its lane.
 * 2. A stopped or moved timer is never delivered, even if it was due before.
 * 3. An outcome and the `done` of its effect are one transaction.
 * 4. What is for an earlier incarnation is a dead letter: its effects' outcomes, and what it sent itself.
 */
import type { Effects } from "../effects/effects.ts";
import type { ActorRef } from "../kernel/actions.ts";
import { CohortError } from "../kernel/error.ts";
import { EARLIER_INCARNATION, TOMBSTONE } from "../kernel/history.ts";
import { encodeJson } from "../kernel/json.ts";
import type { ErasureSpec } from "../journal/eraser.ts";
import { isControl } from "../mailbox/mailbox.ts";
import type { CancelMode } from "../scopes/scopes.ts";
import type { Supervision } from "../supervisor/supervision.ts";
import type { EventFacts } from "./batch.ts";
import { isEdge, type Delivery, type EdgeDelivery, type MessageDelivery, type OutcomeDelivery } from "./delivery.ts";
import type { World, WorldParts } from "./world.ts";

/** Members of a cancelled scope that are told before the clock is looked at: about 0.1 ms. */
const TELL_CHUNK = 64;

export interface StepParts extends WorldParts {
  readonly effects: Effects;
  readonly counters: Map<string, number>;
}

export class Steps {
  readonly #parts: StepParts;
  readonly #world: World;
  readonly #supervision: Supervision;

  constructor(parts: StepParts, world: World, supervision: Supervision) {
    this.#parts = parts;
    this.#world = world;
    this.#supervision = supervision;
  }

  /** Answers the rest of it, where it is long: all of it is one transaction. */
  take(delivery: Delivery): Iterator<void> | null {
    if (!isEdge(delivery)) return this.#inner(delivery) ?? null;
    try {
      return this.#edge(delivery) ?? null;
    } catch (error) {
      delivery.waiter.reject(error instanceof CohortError ? error : new CohortError("INTERNAL", { cause: error, on: String(error) }));
      return null;
    }
  }

  #inner(delivery: Exclude<Delivery, EdgeDelivery>): Iterator<void> | void {
    switch (delivery.type) {
      case "message":
        return this.#message(delivery);
      case "timer":
        return this.#timer(delivery);
      case "restart":
        return this.#restart(delivery);
      case "outcome":
        return this.#outcome(delivery);
      case "started":
        this.#parts.batch().effectState(delivery.effect.id, "started");
        return this.#parts.batch().committed(delivery.started);
      case "undone":
        return this.#world.settleEffect(delivery.effect, false);
    }
  }

  #edge(delivery: EdgeDelivery): Iterator<void> | void {
    const { counters } = this.#parts;
    switch (delivery.type) {
      case "post":
        return this.#post(delivery);
      case "spawn":
        return this.#spawn(delivery);
      case "cancelScope": {
        const { scope, mode, reason, origin, waiter } = delivery;
        this.#parts.batch().answer(waiter, true);
        return this.#cancelScope(scope, mode, reason, { cause: "scope", source: encodeJson({ ...origin }) });
      }
      case "erase":
        return this.#erase(delivery);
      case "erased":
        return this.#erased(delivery);
      case "reserve": {
        const first = (counters.get(delivery.counter) ?? 0) + 1;
        const last = first + delivery.count - 1;
        counters.set(delivery.counter, last);
        this.#parts.batch().counter(delivery.counter, last);
        return this.#parts.batch().answer(delivery.waiter, first);
      }
    }
  }

  #post({ to, event, text, origin, waiter }: Extract<Delivery, { type: "post" }>): void {
    const actor = this.#parts.registry.get(to);
    if (actor === undefined) {
      waiter.reject(new CohortError("ACTOR_UNKNOWN", { on: to }));
      return;
    }
    const verdict = this.#world.give(actor, event, text, { cause: "post", source: encodeJson({ ...origin }), sourceId: null });
    const batch = this.#parts.batch();
    if (verdict.outcome === "failed")
      batch.answer(waiter, new CohortError("INTERNAL", { on: `${to} at ${event.type}: ${verdict.message}` }));
    else if (verdict.outcome === "dead") batch.answer(waiter, new CohortError("DEAD_LETTER", { on: `${event.type} to ${to}` }));
    else batch.answer(waiter, true);
  }

  #spawn({ ref, input, scope, restart, deadlineAtMs, origin, files, waiter }: Extract<Delivery, { type: "spawn" }>): void {
    const source = encodeJson({ ...origin });
    const spawned = this.#world.spawn({ ref, input, scope, restart, deadlineAtMs, creator: null, source, depth: 0 });
    const batch = this.#parts.batch();
    if (spawned.type === "failed") batch.answer(waiter, new CohortError("INTERNAL", { on: `${ref} at its start: ${spawned.message}` }));
    else batch.answer(waiter, spawned.type === "created");
    if (spawned.type === "created") for (const file of files) batch.file(file);
  }

  #cancelScope(scope: string, mode: CancelMode, reason: string, cause: Pick<EventFacts, "cause" | "source">): Iterator<void> {
    const told = this.#parts.scopes.cancel(scope, mode, reason);
    const facts = { seq: this.#parts.next(), atMs: this.#parts.environment.now(), actor: `scope:${scope}`, sourceId: null } as const;
    const payload = encodeJson({ mode, reason });
    this.#parts.batch().event({ ...facts, ...cause, type: "cancelScope", payload, outcome: "applied", detail: `${told.length} told` });
    return this.#tell(told, scope, mode, reason);
  }

  *#tell(told: readonly ActorRef[], scope: string, mode: CancelMode, reason: string): Generator<void> {
    for (const [index, ref] of told.entries()) {
      this.#world.sendCancel(scope, ref, mode, reason);
      if (index % TELL_CHUNK === TELL_CHUNK - 1) yield;
    }
  }

  #erase({ erasure, origin, waiter }: Extract<Delivery, { type: "erase" }>): void {
    const { scope, logs, projections, put } = erasure;
    if (this.#parts.scopes.lives(scope)) {
      waiter.reject(new CohortError("SCOPE_ALIVE", { on: scope }));
      return;
    }
    const batch = this.#parts.batch();
    for (const { collection, key } of projections) batch.project(collection, key, null);
    for (const { collection, key, value } of put) batch.project(collection, key, encodeJson(value));
    const spec = { scope, logs, source: encodeJson({ ...origin }) } satisfies ErasureSpec;
    batch.erasure(scope, this.#parts.environment.now(), JSON.stringify(spec));
    batch.answer(waiter, true);
  }

  #erased({ scope, source, payload, waiter }: Extract<Delivery, { type: "erased" }>): void {
    const batch = this.#parts.batch();
    const facts = { seq: this.#parts.next(), atMs: this.#parts.environment.now(), actor: `scope:${scope}`, sourceId: null } as const;
    batch.event({ ...facts, ...TOMBSTONE, source, payload, outcome: "applied", detail: null });
    batch.erasure(scope, facts.atMs, null);
    batch.answer(waiter, true);
  }

  #message(message: MessageDelivery): void {
    const { id, from, to, event, text } = message;
    const batch = this.#parts.batch();
    batch.consume(id);
    const actor = this.#parts.registry.get(to);
    const cause = { cause: "message", source: from, sourceId: id } as const;
    if (actor === undefined) return this.#world.deadLetter(to, event, text, cause);
    const control = isControl(message);
    if (id <= (control ? actor.controlHigh : actor.inboxHigh)) return;
    if (control) actor.controlHigh = id;
    else actor.inboxHigh = id;
    batch.actor(actor);
    if (actor.status !== "active") return this.#supervision.cancelled(actor);
    if (from === to && id < actor.startedSeq) return this.#world.deadLetter(to, event, text, cause, EARLIER_INCARNATION);
    this.#world.give(actor, event, text, cause);
  }

  #timer({ timer }: Extract<Delivery, { type: "timer" }>): Iterator<void> | void {
    if (!timer.live) return;
    if (timer.owner.startsWith("scope:")) {
      this.#parts.timers.disarm(timer);
      return this.#cancelScope(timer.owner.slice("scope:".length), "grace", "deadline", { cause: "timer", source: timer.name });
    }
    const actor = this.#parts.registry.get(timer.owner);
    if (actor === undefined) return;
    this.#world.stopTimer(actor, timer.name);
    const event = { type: "timer", name: timer.name };
    this.#world.give(actor, event, encodeJson(event), { cause: "timer", source: timer.name, sourceId: null });
  }

  #restart({ timer }: Extract<Delivery, { type: "restart" }>): void {
    const actor = this.#parts.registry.get(timer.owner);
    if (timer.live && actor !== undefined) this.#supervision.restart(actor);
  }

  #outcome({ effect, event, files }: OutcomeDelivery): void {
    for (const file of files) this.#parts.batch().file(file);
    const actor = this.#parts.registry.get(effect.owner);
    const cause = { cause: "effect", source: effect.definition.name, sourceId: effect.id } as const;
    const text = encodeJson(event);
    if (actor === undefined || actor.status !== "active" || effect.id < actor.startedSeq) {
      if (event !== null)
        this.#world.deadLetter(effect.owner, event, text, cause, actor === undefined ? "no such actor" : EARLIER_INCARNATION);
      return this.#world.settleEffect(effect, !effect.farewell);
    }
    const applied = event === null || this.#world.give(actor, event, text, cause).outcome === "applied";
    this.#world.settleEffect(effect, !applied);
  }
}
