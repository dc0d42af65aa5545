/**
 * Owns the live actors and what operations do to them: the meaning of the named actions, and of an incarnation's beginning.
 * Does not own: mailboxes and turns, commits, what becomes of an actor whose incarnation is over (supervision.ts), the running of effects and timers.
 * 1. All changes of one event go into one batch, or none: operations are read and checked before the first is applied.
 * 2. What an actor sends has a row in the outbox before anyone may see it.
 */
import type { ExitReason, RestartType } from "../contract.ts";
import type { Effects, PendingEffect } from "../effects/effects.ts";
import type { ActorEvent, ActorRef, Json } from "../kernel/actions.ts";
import type { Environment } from "../kernel/environment.ts";
import { CohortError } from "../kernel/error.ts";
import { kindOf } from "../kernel/ids.ts";
import { encodeJson } from "../kernel/json.ts";
import { SPAWN_DEPTH_MAX } from "../kernel/limits.ts";
import type { Mailboxes } from "../mailbox/mailboxes.ts";
import type { Scopes } from "../scopes/scopes.ts";
import type { Supervision } from "../supervisor/supervision.ts";
import type { TimerHeap } from "../timers/timer-heap.ts";
import type { Batch, EventFacts } from "./batch.ts";
import type { PreparedDefinition } from "./definition.ts";
import type { Operation } from "./operations.ts";
import { newActor, type Actor, type Registry } from "./registry.ts";
import { messageOfThrown, readTaken, withTime, type Taken } from "./taken.ts";

export interface WorldParts {
  readonly definitions: ReadonlyMap<string, PreparedDefinition>;
  readonly registry: Registry;
  readonly effects: Effects;
  readonly timers: TimerHeap;
  readonly scopes: Scopes;
  readonly mailboxes: Mailboxes;
  readonly environment: Environment;
  readonly logHeads: Map<string, number>;
  readonly batch: () => Batch;
  readonly next: () => number;
}

export interface SpawnRequest {
  readonly ref: ActorRef;
  readonly input: Json;
  readonly scope: string | null;
  readonly restart: RestartType | null;
  readonly deadlineAtMs: number | null;
  readonly creator: Actor | null;
  readonly source: string | null;
  readonly depth: number;
}

export type Cause = Pick<EventFacts, "cause" | "source" | "sourceId">;
export type Verdict = { readonly outcome: "applied" | "ignored" | "dead" } | { readonly outcome: "failed"; readonly message: string };

export type Spawned = { readonly type: "created" | "known" } | { readonly type: "failed"; readonly message: string };

export class World {
  readonly #parts: WorldParts;
  readonly #supervision: () => Supervision;
  readonly #exits: { readonly actor: Actor; readonly reason: ExitReason; readonly message: string | null }[] = [];
  /** Actors whose operations are being applied, each inside the one before. */
  #applying = 0;

  constructor(parts: WorldParts, supervision: () => Supervision) {
    this.#parts = parts;
    this.#supervision = supervision;
  }

  /** One event to one live actor: transition, journal row, operations, end. `text` is the event as JSON. */
  give(actor: Actor, event: ActorEvent, text: string, cause: Cause): Verdict {
    const { environment, next } = this.#parts;
    const atMs = environment.now();
    const facts = { seq: next(), atMs, actor: actor.ref, ...cause, type: event.type, payload: text };
    let taken: Taken | null;
    try {
      taken = this.#take(actor, { ...event, at: atMs });
    } catch (error) {
      const message = messageOfThrown(error);
      this.#parts.batch().event({ ...facts, outcome: "failed", detail: message });
      this.#exit(actor, "failed", message);
      return { outcome: "failed", message };
    }
    if (taken === null) {
      const outcome = actor.definition.ignores(event.type) ? "ignored" : "dead";
      this.#parts.batch().event({ ...facts, outcome, detail: null });
      return { outcome };
    }
    this.#parts.batch().event({ ...facts, outcome: "applied", detail: null });
    this.#become(actor, taken, 0);
    return { outcome: "applied" };
  }

  #take(actor: Actor, event: ActorEvent): Taken | null {
    if (actor.snapshot === null) throw new CohortError("INTERNAL", { on: `${actor.ref} has no snapshot` });
    const taken = actor.definition.take(actor.snapshot, event);
    return taken === null ? null : this.#read(taken);
  }

  /** An event for which there is no actor, or none any more: it is journaled all the same. */
  deadLetter(to: ActorRef, event: ActorEvent, text: string, cause: Cause, detail = "no such actor"): void {
    const facts = { seq: this.#parts.next(), atMs: this.#parts.environment.now(), actor: to, type: event.type, payload: text };
    this.#parts.batch().event({ ...facts, ...cause, outcome: "dead", detail });
  }

  /** Changes nothing for a ref that is known, but for a child that was stopped with its creator. `failed` carries what its first transition threw. */
  spawn(request: SpawnRequest): Spawned {
    const { registry, definitions } = this.#parts;
    const { ref, creator } = request;
    const stopped = registry.get(ref);
    const again = stopped?.status === "stopped" && stopped.parent === creator?.ref;
    if (!again && registry.known(ref)) return { type: "known" };
    const definition = definitions.get(kindOf(ref));
    if (definition === undefined) throw new CohortError("ACTOR_UNKNOWN", { on: `no definition of ${kindOf(ref)}` });
    const actor = again ? stopped : newActor({ ...this.#place(request), definition, input: null, restart: definition.restart });
    actor.restart = request.restart ?? definition.restart;
    actor.input = actor.restart === "temporary" ? null : encodeJson(request.input);
    if (!again) registry.add(actor);
    const scope = this.#parts.scopes.join(actor.scope, creator?.scope ?? null, ref, request.deadlineAtMs);
    // Behind its siblings, if it was there before.
    creator?.children?.delete(actor);
    creator?.children?.add(actor);
    const failure = this.begin(
      actor,
      request.input,
      { cause: "spawn", source: request.source, sourceId: null, type: "spawn" },
      request.depth,
    );
    if (failure !== null) return { type: "failed", message: failure };
    // One that ended with its first transition may not be counted as ended yet.
    if (scope.cancelled !== null && actor.snapshot?.status === "active")
      this.sendCancel(scope.name, ref, scope.cancelled.mode, scope.cancelled.reason);
    return { type: "created" };
  }

  #place({ ref, scope, creator }: SpawnRequest): Pick<Actor, "ref" | "scope" | "parent"> {
    return { ref, scope: scope ?? creator?.scope ?? ref, parent: creator?.ref ?? null };
  }

  /** A new incarnation takes its first transition. Answers what that threw: then the incarnation is over already. */
  begin(actor: Actor, input: Json, cause: Cause & Pick<EventFacts, "type">, depth: number): string | null {
    const atMs = this.#parts.environment.now();
    const facts = { seq: this.#parts.next(), atMs, actor: actor.ref, ...cause, payload: encodeJson(input) };
    if (cause.type === "spawn") actor.spawnSeq = facts.seq;
    actor.incarnation++;
    actor.startedSeq = facts.seq;
    actor.status = "active";
    actor.exit = null;
    actor.snapshot = null;
    actor.stored = false;
    this.#parts.batch().actor(actor);
    const started = this.#start(actor.definition, withTime(input, atMs), depth);
    if (typeof started === "string") {
      this.#parts.batch().event({ ...facts, outcome: "failed", detail: started });
      this.#exit(actor, "failed", started);
      return started;
    }
    this.#parts.batch().event({ ...facts, outcome: "applied", detail: null });
    // What came while there was no incarnation.
    if (actor.incarnation > 1) this.#parts.mailboxes.wake(actor.ref);
    this.#become(actor, started, depth);
    return null;
  }

  /** Answers the message of what the machine threw. */
  #start(definition: PreparedDefinition, input: Json, depth: number): Taken | string {
    try {
      if (depth > SPAWN_DEPTH_MAX) throw new CohortError("MACHINE_REFUSED", { on: `${depth} spawns deep` });
      return this.#read(definition.start(input));
    } catch (error) {
      return messageOfThrown(error);
    }
  }

  #read(listed: ReturnType<PreparedDefinition["start"]>): Taken {
    const taken = readTaken(listed);
    for (const operation of taken.operations) {
      if (operation.type === "effect" && this.#parts.effects.definition(operation.name) === undefined)
        throw new CohortError("MACHINE_REFUSED", { on: `no effect ${operation.name}` });
      if (operation.type === "spawn" && !this.#parts.definitions.has(kindOf(operation.ref)))
        throw new CohortError("MACHINE_REFUSED", { on: `no definition of ${kindOf(operation.ref)}` });
    }
    return taken;
  }

  #become(actor: Actor, { snapshot, operations }: Taken, depth: number): void {
    actor.snapshot = snapshot;
    this.#parts.batch().actor(actor);
    const ends = snapshot.status !== "active";
    this.#applying++;
    for (const operation of operations) this.#apply(actor, operation, ends, depth);
    this.#applying--;
    if (ends) this.#exit(actor, "done", null);
    else this.#settleExits();
  }

  /** Not before the operations of this event are all applied: an exit may be the exit of the actor whose they are. */
  #exit(actor: Actor, reason: ExitReason, message: string | null): void {
    this.#exits.push({ actor, reason, message });
    this.#settleExits();
  }

  #settleExits(): void {
    if (this.#applying > 0) return;
    for (let exit = this.#exits.shift(); exit !== undefined; exit = this.#exits.shift())
      this.#supervision().exited(exit.actor, exit.reason, exit.message);
  }

  #apply(actor: Actor, operation: Operation, farewell: boolean, depth: number): void {
    const batch = this.#parts.batch();
    switch (operation.type) {
      case "send":
        return this.send(actor.ref, operation.to, operation.event, operation.text);
      case "effect":
        return this.#plan(actor, operation, farewell);
      case "startTimer":
        return this.startTimer(actor, operation.name, operation.atMs);
      case "stopTimer":
        return this.stopTimer(actor, operation.name);
      case "spawn":
        this.spawn({
          ref: operation.ref,
          input: operation.input,
          scope: operation.scope ?? null,
          restart: operation.restart ?? null,
          deadlineAtMs: operation.deadlineAtMs ?? null,
          creator: actor,
          source: actor.ref,
          depth: depth + 1,
        });
        return;
      case "project":
        return batch.project(operation.collection, operation.key, operation.value === null ? null : operation.text);
      case "append": {
        const cursor = (this.#parts.logHeads.get(operation.log) ?? 0) + 1;
        this.#parts.logHeads.set(operation.log, cursor);
        return batch.append(operation.log, cursor, operation.text);
      }
    }
  }

  send(from: string, to: ActorRef, event: ActorEvent, text = encodeJson(event)): void {
    const id = this.#parts.next();
    this.#parts.batch().send(id, from, to, text);
    this.#parts.mailboxes.push({ type: "message", id, from, to, event, text });
  }

  sendCancel(scope: string, to: ActorRef, mode: "grace" | "kill", reason: string): void {
    this.send(`scope:${scope}`, to, { type: "cancel", mode, reason });
  }

  #plan(actor: Actor, operation: Extract<Operation, { type: "effect" }>, farewell: boolean): void {
    const { effects, next } = this.#parts;
    const definition = effects.definition(operation.name);
    if (definition === undefined) throw new CohortError("INTERNAL", { on: `no effect ${operation.name}` });
    const { key: askedKey, params } = operation;
    // What an earlier incarnation did under this key is undone, or was for nothing: this is another effect.
    const key = actor.incarnation > 1 ? `${askedKey}#${actor.incarnation}` : askedKey;
    const facts = { id: next(), owner: actor.ref, definition, key, askedKey, params, farewell, control: this.#parts.batch().control };
    const effect: PendingEffect = { ...facts, recovered: false, state: "planned" };
    effects.plan(effect);
    const batch = this.#parts.batch();
    batch.effect(effect.id, actor.ref, operation.name, key, askedKey, operation.text, farewell);
    batch.committed(() => effects.ready(effect));
  }

  startTimer(actor: Actor, name: string, atMs: number): void {
    const old = actor.timers.get(name);
    if (old !== undefined) this.#parts.timers.disarm(old);
    actor.timers.set(name, this.#parts.timers.arm(actor.ref, name, atMs));
    this.#parts.batch().timer(actor.ref, name, atMs);
  }

  stopTimer(actor: Actor, name: string): void {
    const timer = actor.timers.get(name);
    if (timer === undefined) return;
    this.#parts.timers.disarm(timer);
    actor.timers.delete(name);
    this.#parts.batch().timer(actor.ref, name, null);
  }

  /** The last word on an effect: done, or orphaned and then undone. */
  settleEffect(effect: PendingEffect, orphaned: boolean): void {
    const { effects } = this.#parts;
    const batch = this.#parts.batch();
    if (orphaned && effect.definition.compensate !== undefined) {
      batch.effectState(effect.id, "orphaned");
      batch.committed(() => effects.undo(effect));
      return;
    }
    batch.effectState(effect.id, "done");
    batch.committed(() => effects.forget(effect), "lazy");
  }
}
