/**
 * Owns the live actors and what operations do to them: the meaning of the named actions, ends, restarts, spawns.
 * Does not own: the queue and turns, commits, the running of effects and timers (it tells each).
 * 1. All changes of one event go into one batch, or none: operations are read and checked before the first is applied.
 * 2. What an actor sends has a row in the outbox before anyone may see it.
 * 3. An actor that ends takes its timers with it; its effects run on as effects.ts says.
 */
import type { AnyMachineSnapshot } from "xstate";
import type { Effects, PendingEffect } from "../effects/effects.ts";
import type { ActorEvent, ActorRef, Json } from "../kernel/actions.ts";
import type { Clock } from "../kernel/environment.ts";
import { CohortError } from "../kernel/error.ts";
import { kindOf } from "../kernel/ids.ts";
import { encodeJson, isObject } from "../kernel/json.ts";
import { RESTART_WINDOW_MS, RESTARTS_MAX, SPAWN_DEPTH_MAX } from "../kernel/limits.ts";
import type { Scopes } from "../scopes/scopes.ts";
import type { TimerHeap } from "../timers/timer-heap.ts";
import type { Batch, EventFacts } from "./batch.ts";
import type { ListedAction, PreparedDefinition } from "./definition.ts";
import type { InnerDelivery } from "./delivery.ts";
import { readOperations, type Operation } from "./operations.ts";
import { newActor, type Actor, type Registry } from "./registry.ts";

export interface WorldParts {
  readonly definitions: ReadonlyMap<string, PreparedDefinition>;
  readonly registry: Registry;
  readonly effects: Effects;
  readonly timers: TimerHeap;
  readonly scopes: Scopes;
  readonly now: Clock;
  readonly logHeads: Map<string, number>;
  readonly batch: () => Batch;
  readonly next: () => number;
  readonly deliver: (delivery: InnerDelivery) => void;
}

export interface SpawnRequest {
  readonly ref: ActorRef;
  readonly input: Json;
  readonly scope: string | null;
  readonly creator: Actor | null;
  readonly source: string | null;
  readonly depth: number;
}

export type Cause = Pick<EventFacts, "cause" | "source" | "sourceId">;
export type Verdict = { readonly outcome: "applied" | "ignored" | "dead" } | { readonly outcome: "failed"; readonly message: string };

export type Spawned = { readonly type: "created" | "known" } | { readonly type: "failed"; readonly message: string };

interface Taken {
  readonly snapshot: AnyMachineSnapshot;
  readonly operations: readonly Operation[];
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 2000);
}

/** A machine's first transition needs the time as well as any other. */
function withTime(input: Json, atMs: number): Json {
  return isObject(input) && input["at"] === undefined ? { ...input, at: atMs } : input;
}

export class World {
  readonly #parts: WorldParts;

  constructor(parts: WorldParts) {
    this.#parts = parts;
  }

  /** One event to one live actor: transition, journal row, operations, end. */
  give(actor: Actor, event: ActorEvent, cause: Cause): Verdict {
    const { now, next } = this.#parts;
    const atMs = now();
    const seq = next();
    const record = (outcome: EventFacts["outcome"], detail: string | null): void =>
      this.#parts.batch().event({ seq, atMs, actor: actor.ref, ...cause, type: event.type, payload: encodeJson(event), outcome, detail });
    let taken: Taken | null;
    try {
      taken = this.#take(actor, { ...event, at: atMs });
    } catch (error) {
      const message = messageOf(error);
      record("failed", message);
      this.#threw(actor, message, atMs);
      return { outcome: "failed", message };
    }
    if (taken === null) {
      const outcome = actor.definition.ignores(event.type) ? "ignored" : "dead";
      record(outcome, null);
      return { outcome };
    }
    record("applied", null);
    this.#become(actor, taken, 0);
    return { outcome: "applied" };
  }

  #take(actor: Actor, event: ActorEvent): Taken | null {
    if (actor.snapshot === null) throw new CohortError("INTERNAL", { on: `${actor.ref} has no snapshot` });
    const taken = actor.definition.take(actor.snapshot, event);
    return taken === null ? null : this.#read(taken);
  }

  /** An event for which there is no actor: it is journaled all the same. */
  deadLetter(to: ActorRef, event: ActorEvent, cause: Cause): void {
    const facts = { seq: this.#parts.next(), atMs: this.#parts.now(), actor: to, type: event.type, payload: encodeJson(event) };
    this.#parts.batch().event({ ...facts, ...cause, outcome: "dead", detail: "no such actor" });
  }

  /** Changes nothing for a ref that is known. `failed` carries what its first transition threw: it has ended already. */
  spawn(request: SpawnRequest): Spawned {
    const { registry, scopes, now, next, definitions } = this.#parts;
    const { ref, creator } = request;
    if (registry.known(ref)) return { type: "known" };
    const definition = definitions.get(kindOf(ref));
    if (definition === undefined) throw new CohortError("ACTOR_UNKNOWN", { on: `no definition of ${kindOf(ref)}` });
    const atMs = now();
    const scopeName = request.scope ?? creator?.scope ?? ref;
    const input = withTime(request.input, atMs);
    const stored = definition.restart === "permanent" ? encodeJson(request.input) : null;
    const actor = newActor({ ref, definition, scope: scopeName, parent: creator?.ref ?? null, input: stored });
    registry.add(actor);
    const scope = scopes.join(scopeName, creator?.scope ?? null, ref);
    const facts = {
      seq: next(),
      atMs,
      actor: ref,
      cause: "spawn",
      source: request.source,
      sourceId: null,
      type: "spawn",
      payload: encodeJson(request.input),
    } as const;
    this.#parts.batch().actor(actor);
    const started = this.#start(definition, input, request.depth);
    if (typeof started === "string") {
      this.#parts.batch().event({ ...facts, outcome: "failed", detail: started });
      this.#end(actor, "failed", started);
      return { type: "failed", message: started };
    }
    this.#parts.batch().event({ ...facts, outcome: "applied", detail: null });
    this.#become(actor, started, request.depth);
    if (scope.cancelled !== null && actor.status === "active")
      this.sendCancel(scope.name, ref, scope.cancelled.mode, scope.cancelled.reason);
    return { type: "created" };
  }

  sendCancel(scope: string, to: ActorRef, mode: "grace" | "kill", reason: string): void {
    this.#send(`scope:${scope}`, to, { type: "cancel", mode, reason });
  }

  /** Answers the message of what the machine threw. */
  #start(definition: PreparedDefinition, input: Json, depth: number): Taken | string {
    try {
      if (depth > SPAWN_DEPTH_MAX) throw new CohortError("MACHINE_REFUSED", { on: `${depth} spawns deep` });
      return this.#read(definition.start(input));
    } catch (error) {
      return messageOf(error);
    }
  }

  #read({ snapshot, actions }: { readonly snapshot: AnyMachineSnapshot; readonly actions: readonly ListedAction[] }): Taken {
    const { children } = snapshot as { readonly children: object };
    if (Object.keys(children).length > 0) throw new CohortError("MACHINE_REFUSED", { on: "assign spawned an actor of xstate" });
    if (snapshot.status === "error") throw snapshot.error;
    const operations = readOperations(actions);
    for (const operation of operations) {
      if (operation.type === "effect" && this.#parts.effects.definition(operation.name) === undefined) {
        throw new CohortError("MACHINE_REFUSED", { on: `no effect ${operation.name}` });
      }
      if (operation.type === "spawn" && !this.#parts.definitions.has(kindOf(operation.ref))) {
        throw new CohortError("MACHINE_REFUSED", { on: `no definition of ${kindOf(operation.ref)}` });
      }
    }
    return { snapshot, operations };
  }

  #become(actor: Actor, { snapshot, operations }: Taken, depth: number): void {
    actor.snapshot = snapshot;
    this.#parts.batch().actor(actor);
    const ends = snapshot.status !== "active" && actor.definition.restart !== "permanent";
    for (const operation of operations) this.#apply(actor, operation, ends, depth);
    if (ends) this.#end(actor, "done", null);
    else if (snapshot.status !== "active") this.#startAnew(actor);
  }

  #apply(actor: Actor, operation: Operation, farewell: boolean, depth: number): void {
    const batch = this.#parts.batch();
    switch (operation.type) {
      case "send":
        return this.#send(actor.ref, operation.to, operation.event, operation.text);
      case "effect":
        return this.#plan(actor, operation, farewell);
      case "startTimer":
        return this.#startTimer(actor, operation.name, operation.atMs);
      case "stopTimer":
        return this.stopTimer(actor, operation.name);
      case "spawn":
        this.spawn({
          ref: operation.ref,
          input: operation.input,
          scope: operation.scope ?? null,
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

  #send(from: string, to: ActorRef, event: ActorEvent, text = encodeJson(event)): void {
    const id = this.#parts.next();
    this.#parts.batch().send(id, from, to, text);
    this.#parts.deliver({ type: "message", id, from, to, event, text });
  }

  #plan(actor: Actor, operation: Extract<Operation, { type: "effect" }>, farewell: boolean): void {
    const { effects, next } = this.#parts;
    const definition = effects.definition(operation.name);
    if (definition === undefined) throw new CohortError("INTERNAL", { on: `no effect ${operation.name}` });
    const { key, params } = operation;
    const effect: PendingEffect = { id: next(), owner: actor.ref, definition, key, params, farewell, recovered: false, state: "planned" };
    effects.plan(effect);
    const batch = this.#parts.batch();
    batch.effect(effect.id, actor.ref, operation.name, key, key, operation.text, farewell);
    batch.committed(() => effects.ready(effect));
  }

  #startTimer(actor: Actor, name: string, atMs: number): void {
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

  /** It threw: its state is the one before the event. What the definition says of restarts decides whether it lives on. */
  #threw(actor: Actor, message: string, atMs: number): void {
    if (actor.definition.restart === "temporary") return this.#end(actor, "failed", message);
    if (this.#mayRestart(actor, atMs)) return;
    this.#end(actor, "failed", `${message} (${RESTARTS_MAX} restarts within ${RESTART_WINDOW_MS} ms were not enough)`);
  }

  #mayRestart(actor: Actor, atMs: number): boolean {
    actor.failuresMs = actor.failuresMs.filter((failureMs) => atMs - failureMs < RESTART_WINDOW_MS);
    actor.failuresMs.push(atMs);
    return actor.failuresMs.length <= RESTARTS_MAX;
  }

  /** A permanent actor that came to its end begins again from its input. */
  #startAnew(actor: Actor): void {
    const atMs = this.#parts.now();
    for (const name of actor.timers.keys()) this.stopTimer(actor, name);
    if (!this.#mayRestart(actor, atMs)) return this.#end(actor, "failed", `it ended ${RESTARTS_MAX} times within ${RESTART_WINDOW_MS} ms`);
    const input = JSON.parse(actor.input ?? "null") as Json;
    const started = this.#start(actor.definition, withTime(input, atMs), 0);
    if (typeof started === "string") this.#end(actor, "failed", started);
    else this.#become(actor, started, 0);
  }

  #end(actor: Actor, status: "done" | "failed", message: string | null): void {
    const { registry, effects, scopes } = this.#parts;
    const batch = this.#parts.batch();
    actor.status = status;
    batch.actor(actor);
    for (const name of actor.timers.keys()) this.stopTimer(actor, name);
    for (const effect of effects.ownerEnded(actor.ref)) this.settleEffect(effect, effect.recovered);
    scopes.leave(actor.scope, actor.ref);
    registry.end(actor.ref);
    if (status === "failed" && actor.parent !== null) this.#send(actor.ref, actor.parent, { type: "actorFailed", ref: actor.ref, message });
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
