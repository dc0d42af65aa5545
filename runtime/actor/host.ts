/**
 * Owns the loop of one runtime: takes deliveries in order, has the world apply them, hands batches to the committer.
 * Does not own: the meaning of operations (world.ts), the journal, log followers.
 * 1. A message is consumed in the transaction that applies it, once: its id must be above the receiver's high-water mark.
 * 2. A stopped or moved timer is never delivered, even if it was due before.
 * 3. An outcome and the `done` of its effect are one transaction.
 * 4. While the disk is full nothing is computed and nothing accepted.
 */
import { Effects } from "../effects/effects.ts";
import type { EffectDefinition } from "../contract.ts";
import type { Journal } from "../journal/journal-port.ts";
import type { LoadedState } from "../journal/batch-rows.ts";
import type { ActorRef } from "../kernel/actions.ts";
import type { Environment } from "../kernel/environment.ts";
import { CohortError } from "../kernel/error.ts";
import { encodeJson } from "../kernel/json.ts";
import { BATCH_CHARS_MAX, BATCH_EVENTS_MAX, CROWD_ACTORS_MIN, EDGE_QUEUE_MAX } from "../kernel/limits.ts";
import type { RuntimeLog } from "../log/runtime-log.ts";
import { Scopes } from "../scopes/scopes.ts";
import { TimerHeap } from "../timers/timer-heap.ts";
import type { LoggedRow } from "./batch.ts";
import { Committer } from "./committer.ts";
import type { PreparedDefinition } from "./definition.ts";
import { isEdge, type Delivery, type EdgeDelivery } from "./delivery.ts";
import { Loop } from "./loop.ts";
import { recover } from "./recovery.ts";
import { Registry } from "./registry.ts";
import { World, type WorldParts } from "./world.ts";

export interface HostParts {
  readonly journal: Journal;
  readonly loaded: LoadedState;
  readonly definitions: ReadonlyMap<string, PreparedDefinition>;
  readonly effects: readonly EffectDefinition[];
  readonly environment: Environment;
  readonly log: RuntimeLog;
  readonly logged: (rows: readonly LoggedRow[]) => void;
  readonly failed: (error: CohortError) => void;
}

type WithoutWaiter<T> = T extends unknown ? Omit<T, "waiter"> : never;

export class Host {
  readonly #parts: HostParts;
  readonly #loop: Loop<Delivery>;
  readonly #committer: Committer;
  readonly #registry = new Registry();
  readonly #effects: Effects;
  readonly #timers: TimerHeap;
  readonly #scopes: Scopes;
  readonly #world: World;
  readonly #counters: Map<string, number>;
  #edgeWaiting = 0;
  #stopped: CohortError | null = null;

  constructor(parts: HostParts) {
    this.#parts = parts;
    const { loaded, log, environment } = parts;
    const now = (): number => environment.now();
    this.#loop = new Loop({
      environment,
      handle: (delivery) => this.#handle(delivery),
      turned: () => this.#committer.flush(),
      blocked: () => this.#blocked(),
    });
    this.#committer = new Committer(parts.journal, environment, loaded.sequence, {
      crowded: () => this.#registry.size >= CROWD_ACTORS_MIN,
      duplicates: (ids) => this.#refuse(ids),
      logged: parts.logged,
      resumed: () => this.#loop.wake(),
      full: (waitedMs) => this.#full(waitedMs),
      failed: (error) => this.#failed(error),
    });
    this.#effects = new Effects(
      parts.effects,
      {
        settled: (effect, event, files) => this.#loop.push({ type: "outcome", effect, event, files }),
        markStarted: (effect, started) => this.#loop.push({ type: "started", effect, started }),
        undone: (effect) => this.#loop.push({ type: "undone", effect }),
      },
      environment,
      log,
    );
    this.#timers = new TimerHeap(environment, (timer) => this.#loop.push({ type: "timer", timer }));
    this.#scopes = new Scopes({
      put: (scope) => this.#committer.batch.scope(scope.name, scope),
      forget: (name) => this.#committer.batch.scope(name, null),
    });
    this.#counters = new Map(loaded.counters.map((row) => [row.name, row.value]));
    const worldParts: WorldParts = {
      definitions: parts.definitions,
      registry: this.#registry,
      effects: this.#effects,
      timers: this.#timers,
      scopes: this.#scopes,
      now,
      logHeads: new Map(loaded.logHeads.map((row) => [row.log, row.cursor])),
      batch: () => this.#committer.batch,
      next: () => this.#committer.next(),
      deliver: (delivery) => this.#loop.push(delivery),
    };
    this.#world = new World(worldParts);
    recover(loaded, worldParts, this.#world);
    this.#committer.flush();
  }

  knows(ref: ActorRef): boolean {
    return this.#registry.known(ref);
  }

  get actors(): number {
    return this.#registry.size;
  }

  get pending(): { readonly pendingEffects: number; readonly pendingTimers: number; readonly queuedEvents: number } {
    return { pendingEffects: this.#effects.size, pendingTimers: this.#timers.live, queuedEvents: this.#loop.length };
  }

  get committedEvents(): number {
    return this.#committer.committedEvents;
  }

  /** Resolves after the commit of what was asked. */
  request(asked: WithoutWaiter<EdgeDelivery>): Promise<number | boolean> {
    const refusal = this.#refusal();
    if (refusal !== null) return Promise.reject(refusal);
    this.#edgeWaiting++;
    return new Promise((resolve, reject) => this.#loop.push({ ...asked, waiter: { resolve, reject } }));
  }

  #refusal(): CohortError | null {
    if (this.#stopped !== null) return this.#stopped;
    if (this.#committer.failure !== null) return this.#committer.failure;
    if (this.#committer.full) return new CohortError("JOURNAL_FULL");
    return this.#edgeWaiting >= EDGE_QUEUE_MAX ? new CohortError("MAILBOX_FULL", { on: `${EDGE_QUEUE_MAX} requests` }) : null;
  }

  #blocked(): boolean {
    const { batch, busy, full, failure } = this.#committer;
    return full || failure !== null || (busy && (batch.events >= BATCH_EVENTS_MAX || batch.chars >= BATCH_CHARS_MAX));
  }

  #handle(delivery: Delivery): void {
    if (isEdge(delivery)) {
      this.#edgeWaiting--;
      try {
        this.#handleEdge(delivery);
      } catch (error) {
        delivery.waiter.reject(error instanceof CohortError ? error : new CohortError("INTERNAL", { cause: error, on: String(error) }));
      }
      return;
    }
    switch (delivery.type) {
      case "message":
        return this.#message(delivery);
      case "timer":
        return this.#timer(delivery);
      case "outcome":
        return this.#outcome(delivery);
      case "started":
        this.#committer.batch.effectState(delivery.effect.id, "started");
        return this.#committer.batch.committed(delivery.started);
      case "undone":
        return this.#world.settleEffect(delivery.effect, false);
    }
  }

  #handleEdge(delivery: EdgeDelivery): void {
    switch (delivery.type) {
      case "post":
        return this.#post(delivery);
      case "spawn":
        return this.#spawn(delivery);
      case "cancelScope":
        return this.#cancelScope(delivery);
      case "reserve": {
        const first = (this.#counters.get(delivery.counter) ?? 0) + 1;
        const last = first + delivery.count - 1;
        this.#counters.set(delivery.counter, last);
        this.#committer.batch.counter(delivery.counter, last);
        return this.#committer.batch.answer(delivery.waiter, first);
      }
    }
  }

  #post({ to, event, origin, waiter }: Extract<Delivery, { type: "post" }>): void {
    const actor = this.#registry.get(to);
    if (actor === undefined) {
      waiter.reject(new CohortError("ACTOR_UNKNOWN", { on: to }));
      return;
    }
    const verdict = this.#world.give(actor, event, { cause: "post", source: encodeJson({ ...origin }), sourceId: null });
    const { batch } = this.#committer;
    if (verdict.outcome === "failed")
      batch.answer(waiter, new CohortError("INTERNAL", { on: `${to} at ${event.type}: ${verdict.message}` }));
    else if (verdict.outcome === "dead") batch.answer(waiter, new CohortError("DEAD_LETTER", { on: `${event.type} to ${to}` }));
    else batch.answer(waiter, true);
  }

  #spawn({ ref, input, scope, origin, files, waiter }: Extract<Delivery, { type: "spawn" }>): void {
    const spawned = this.#world.spawn({ ref, input, scope, creator: null, source: encodeJson({ ...origin }), depth: 0 });
    const { batch } = this.#committer;
    if (spawned.type === "failed") batch.answer(waiter, new CohortError("INTERNAL", { on: `${ref} at its start: ${spawned.message}` }));
    else batch.answer(waiter, spawned.type === "created");
    if (spawned.type === "created") for (const file of files) batch.file(file);
  }

  #cancelScope({ scope, mode, reason, origin, waiter }: Extract<Delivery, { type: "cancelScope" }>): void {
    const told = this.#scopes.cancel(scope, mode, reason);
    const { batch } = this.#committer;
    const facts = {
      seq: this.#committer.next(),
      atMs: this.#parts.environment.now(),
      actor: `scope:${scope}`,
      cause: "scope",
      sourceId: null,
    } as const;
    batch.event({
      ...facts,
      source: encodeJson({ ...origin }),
      type: "cancelScope",
      payload: encodeJson({ mode, reason }),
      outcome: "applied",
      detail: `${told.length} told`,
    });
    for (const ref of told) this.#world.sendCancel(scope, ref, mode, reason);
    batch.answer(waiter, true);
  }

  #message({ id, from, to, event }: Extract<Delivery, { type: "message" }>): void {
    const { batch } = this.#committer;
    batch.consume(id);
    const actor = this.#registry.get(to);
    const cause = { cause: "message", source: from, sourceId: id } as const;
    if (actor === undefined) return this.#world.deadLetter(to, event, cause);
    if (id <= actor.inboxHigh) return;
    actor.inboxHigh = id;
    batch.actor(actor);
    this.#world.give(actor, event, cause);
  }

  #timer({ timer }: Extract<Delivery, { type: "timer" }>): void {
    const actor = this.#registry.get(timer.owner);
    if (!timer.live || actor === undefined) return;
    this.#world.stopTimer(actor, timer.name);
    this.#world.give(actor, { type: "timer", name: timer.name }, { cause: "timer", source: timer.name, sourceId: null });
  }

  #outcome({ effect, event, files }: Extract<Delivery, { type: "outcome" }>): void {
    for (const file of files) this.#committer.batch.file(file);
    const actor = this.#registry.get(effect.owner);
    const cause = { cause: "effect", source: effect.definition.name, sourceId: effect.id } as const;
    if (actor === undefined) {
      if (event !== null) this.#world.deadLetter(effect.owner, event, cause);
      return this.#world.settleEffect(effect, !effect.farewell);
    }
    const applied = event === null || this.#world.give(actor, event, cause).outcome === "applied";
    this.#world.settleEffect(effect, !applied);
  }

  #refuse(ids: readonly number[]): void {
    for (const id of ids) {
      const effect = this.#effects.find(id);
      if (effect !== undefined) this.#effects.refuse(effect);
    }
  }

  #full(waitedMs: number): void {
    if (waitedMs === 0) this.#parts.log.error("the journal's disk is full: nothing is accepted until there is space");
    // These were not computed: they never will be.
    for (const delivery of this.#loop.remove(isEdge)) {
      this.#edgeWaiting--;
      if (isEdge(delivery)) delivery.waiter.reject(new CohortError("JOURNAL_FULL"));
    }
  }

  #failed(error: CohortError): void {
    this.#parts.log.error({ error }, "the journal failed: the runtime stops");
    this.#loop.stop();
    this.#rejectQueued(error);
    this.#timers.stop();
    this.#effects.abort();
    this.#parts.failed(error);
  }

  #rejectQueued(error: CohortError): void {
    for (const delivery of this.#loop.remove(isEdge)) if (isEdge(delivery)) delivery.waiter.reject(error);
    this.#edgeWaiting = 0;
  }

  /** What was computed is written, what only waited is refused. */
  async stop(reason: CohortError): Promise<void> {
    this.#stopped = reason;
    this.#loop.stop();
    this.#timers.stop();
    this.#rejectQueued(reason);
    await this.#effects.stop();
    await this.#committer.stop();
  }
}
