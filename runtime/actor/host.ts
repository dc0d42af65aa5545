/**
 * Owns one runtime's parts and the door to it: takes requests, joins mailboxes, loop, world, supervision and committer, and stops them.
 * Does not own: the meaning of deliveries (steps.ts), the journal, log followers.
 * 1. A request is refused at the door or answered after its commit. Between actors nothing is refused.
 * 2. While the disk is full nothing is computed and nothing accepted but what control.ts names: that goes into the journal's reserve.
 */
import { Effects, type PendingEffect } from "../effects/effects.ts";
import type { EffectDefinition } from "../contract.ts";
import type { Journal } from "../journal/journal-port.ts";
import type { LoadedState } from "../journal/batch-rows.ts";
import type { ActorRef } from "../kernel/actions.ts";
import type { Environment } from "../kernel/environment.ts";
import { CohortError, isCohortError } from "../kernel/error.ts";
import { BATCH_CHARS_MAX, BATCH_EVENTS_MAX, CROWD_ACTORS_MIN, EDGE_ACTOR_MAX, EDGE_CONTROL_MAX, EDGE_QUEUE_MAX } from "../kernel/limits.ts";
import type { RuntimeLog } from "../log/runtime-log.ts";
import { Mailboxes } from "../mailbox/mailboxes.ts";
import { Scopes } from "../scopes/scopes.ts";
import { RESTART_TIMER, Supervision } from "../supervisor/supervision.ts";
import { TimerHeap, type Timer } from "../timers/timer-heap.ts";
import type { LoggedRow } from "./batch.ts";
import { Committer } from "./committer.ts";
import { isUrgent } from "./control.ts";
import type { PreparedDefinition } from "./definition.ts";
import { effectMailbox, isEdge, receiverOf, type Delivery, type EdgeDelivery, type EdgeRequest } from "./delivery.ts";
import { Loop } from "./loop.ts";
import { recover } from "./recovery.ts";
import { Registry } from "./registry.ts";
import { Steps } from "./steps.ts";
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

export class Host {
  readonly #parts: HostParts;
  readonly #mailboxes: Mailboxes;
  readonly #loop: Loop;
  readonly #committer: Committer;
  readonly #registry = new Registry();
  readonly #effects: Effects;
  readonly #timers: TimerHeap;
  readonly #scopes: Scopes;
  readonly #scopeTimers = new Map<string, Timer>();
  readonly #steps: Steps;
  #edgeWaiting = 0;
  #stopped: CohortError | null = null;

  constructor(parts: HostParts) {
    this.#parts = parts;
    const { loaded, environment } = parts;
    this.#committer = this.#makeCommitter();
    this.#mailboxes = this.#makeMailboxes();
    this.#loop = new Loop({
      environment,
      mailboxes: this.#mailboxes,
      handle: (delivery) => this.#handle(delivery),
      turned: () => this.#committer.flush(),
      blocked: () => this.#blocked(),
      pressed: () => this.#press(),
    });
    this.#effects = this.#makeEffects();
    this.#timers = new TimerHeap(environment, (timer) => this.#fired(timer));
    this.#scopes = new Scopes({
      put: (scope) => this.#committer.batch.scope(scope.name, scope),
      forget: (name) => this.#committer.batch.scope(name, null),
      deadline: (name, atMs) => this.#armScope(name, atMs),
    });
    const worldParts: WorldParts = {
      definitions: parts.definitions,
      registry: this.#registry,
      effects: this.#effects,
      timers: this.#timers,
      scopes: this.#scopes,
      mailboxes: this.#mailboxes,
      environment,
      logHeads: new Map(loaded.logHeads.map((row) => [row.log, row.cursor])),
      batch: () => this.#committer.batch,
      next: () => this.#committer.next(),
    };
    const world: World = new World(worldParts, () => supervision);
    const supervision = new Supervision(worldParts, world);
    const counters = new Map(loaded.counters.map((row) => [row.name, row.value]));
    this.#steps = new Steps({ ...worldParts, counters }, world, supervision);
    recover(loaded, worldParts, world);
    this.#committer.flush();
  }

  #makeCommitter(): Committer {
    const { journal, environment, loaded } = this.#parts;
    return new Committer(journal, environment, loaded.sequence, {
      held: () => this.#loop.isWithin,
      crowded: () => this.#registry.size >= CROWD_ACTORS_MIN,
      duplicates: (ids) => this.#refuse(ids),
      logged: this.#parts.logged,
      resumed: () => this.#loop.wake(),
      full: () => this.#full(),
      failed: (error) => this.#failed(error),
    });
  }

  #makeMailboxes(): Mailboxes {
    return new Mailboxes({
      accepts: (receiver) => {
        const actor = this.#registry.get(receiver as ActorRef);
        return actor === undefined || actor.status === "active";
      },
      pull: (receiver, after, limit) => this.#parts.journal.pull(receiver, after, limit),
      afterCommit: (work) => this.#committer.batch.committed(work, "lazy"),
      replaced: (message) => this.#committer.batch.consume(message.id),
      ready: () => this.#loop.wake(),
      failed: (error) => this.#pullFailed(error),
    });
  }

  #makeEffects(): Effects {
    const { effects, environment, log } = this.#parts;
    const sink = {
      settled: (effect, event, files) => {
        this.#mailboxes.push({ type: "outcome", effect, event, files }, this.#takesOutcome(effect) ? effect.owner : effectMailbox(effect));
        if (this.#committer.full) this.#loop.wake();
      },
      markStarted: (effect, started) => this.#mailboxes.push({ type: "started", effect, started }),
      undone: (effect) => this.#mailboxes.push({ type: "undone", effect }),
    } satisfies ConstructorParameters<typeof Effects>[1];
    return new Effects(effects, sink, environment, log);
  }

  /** Its owner's incarnation goes on. */
  #takesOutcome(effect: PendingEffect): boolean {
    const owner = this.#registry.get(effect.owner);
    return owner !== undefined && owner.status === "active" && effect.id > owner.startedSeq;
  }

  #armScope(name: string, atMs: number | null): void {
    const old = this.#scopeTimers.get(name);
    if (old !== undefined) this.#timers.disarm(old);
    if (atMs === null) this.#scopeTimers.delete(name);
    else this.#scopeTimers.set(name, this.#timers.arm(`scope:${name}`, "deadline", atMs));
  }

  #fired(timer: Timer): void {
    if (timer.name !== RESTART_TIMER) return this.#mailboxes.push({ type: "timer", timer });
    // Those that were stopped together wait in one mailbox, so that they begin in the order of their timers.
    this.#mailboxes.push({ type: "restart", timer, group: this.#registry.get(timer.owner)?.parent ?? timer.owner });
  }

  knows(ref: ActorRef): boolean {
    return this.#registry.known(ref);
  }

  get actors(): number {
    return this.#registry.size;
  }

  get pending(): { readonly pendingEffects: number; readonly pendingTimers: number; readonly queuedEvents: number } {
    return { pendingEffects: this.#effects.size, pendingTimers: this.#timers.live, queuedEvents: this.#mailboxes.length };
  }

  get full(): boolean {
    return this.#committer.full;
  }

  get committedEvents(): number {
    return this.#committer.committedEvents;
  }

  /** Resolves after the commit of what was asked. */
  request(asked: EdgeRequest): Promise<number | boolean> {
    return new Promise((resolve, reject) => {
      const delivery = { ...asked, waiter: { resolve, reject } };
      const receiver = receiverOf(delivery);
      const refusal = this.#refusal(asked, receiver);
      if (refusal !== null) {
        reject(refusal);
        return;
      }
      this.#edgeWaiting++;
      this.#mailboxes.push(delivery, receiver);
      // Its mailbox may be waiting for a visit already, which a full disk keeps from coming.
      if (this.#committer.full) this.#loop.wake();
    });
  }

  #refusal(asked: EdgeRequest, receiver: string): CohortError | null {
    if (this.#stopped !== null) return this.#stopped;
    if (this.#committer.failure !== null) return this.#committer.failure;
    const urgent = this.#isUrgent(asked);
    if (this.#committer.full && !urgent) return new CohortError("JOURNAL_FULL");
    const most = EDGE_QUEUE_MAX + (urgent ? EDGE_CONTROL_MAX : 0);
    if (this.#edgeWaiting >= most) return new CohortError("MAILBOX_FULL", { on: `${most} requests` });
    if (this.#mailboxes.edges(receiver) < EDGE_ACTOR_MAX) return null;
    return new CohortError("MAILBOX_FULL", { on: `${EDGE_ACTOR_MAX} requests for ${receiver}` });
  }

  #blocked(): boolean {
    const { batch, busy, full, failure } = this.#committer;
    return full || failure !== null || (busy && (batch.events >= BATCH_EVENTS_MAX || batch.chars >= BATCH_CHARS_MAX));
  }

  #handle(delivery: Delivery): Iterator<void> | null {
    if (isEdge(delivery)) this.#edgeWaiting--;
    // Also before the disk is full: it may be so when this comes to be written.
    if (this.#isUrgent(delivery)) this.#committer.batch.control = true;
    return this.#steps.take(delivery);
  }

  #refuse(ids: readonly number[]): void {
    for (const id of ids) {
      const effect = this.#effects.find(id);
      if (effect !== undefined) this.#effects.refuse(effect);
    }
  }

  #full(): void {
    this.#parts.log.error("the journal's disk is full: nothing but what ends or takes back something is accepted until there is space");
    // These were not computed: they never will be.
    this.#rejectWaiting(new CohortError("JOURNAL_FULL"), (delivery) => !this.#isUrgent(delivery));
    this.#loop.wake();
  }

  /** On a full disk: a cancellation, and what follows from it, is not held up. */
  #press(): void {
    if (!this.#committer.full || this.#committer.failure !== null) return;
    for (const delivery of this.#mailboxes.takeWanted((waiting) => this.#isUrgent(waiting))) {
      const rest = this.#handle(delivery);
      // At once: there is little else to do on a full disk.
      for (let more = rest !== null; more;) more = rest?.next().done === false;
    }
    this.#committer.press();
  }

  #isUrgent(delivery: Delivery | EdgeRequest): boolean {
    return isUrgent(delivery, (ref) => this.#scopes.isCancelled(this.#registry.get(ref)?.scope));
  }

  /** What stayed in the outbox cannot be read: as with a commit that fails, nobody can say what is true. */
  #pullFailed(error: unknown): void {
    if (this.#stopped !== null || this.#committer.failure !== null) return;
    this.#committer.fail(isCohortError(error) ? error : new CohortError("INTERNAL", { on: "reading the outbox", cause: error }));
  }

  #failed(error: CohortError): void {
    this.#parts.log.error({ error }, "the journal failed: the runtime stops");
    this.#loop.stop();
    this.#rejectWaiting(error);
    this.#timers.stop();
    this.#effects.abort();
    this.#parts.failed(error);
  }

  #rejectWaiting(error: CohortError, wanted: (delivery: EdgeDelivery) => boolean = () => true): void {
    for (const delivery of this.#mailboxes.takeEdges(wanted)) {
      this.#edgeWaiting--;
      delivery.waiter.reject(error);
    }
  }

  /** What was computed is written, what only waited is refused. */
  async stop(reason: CohortError): Promise<void> {
    this.#stopped = reason;
    this.#loop.stop();
    this.#timers.stop();
    this.#rejectWaiting(reason);
    await this.#effects.stop();
    await this.#committer.stop();
  }
}
