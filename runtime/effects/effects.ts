/**
 * Owns the effects that are planned and not settled: lanes by name, what runs, what is being undone.
 * Does not own: durable state (the host marks rows through the sink), what an outcome does to its actor.
 * 1. An effect starts only after the transaction that planned it is durable; a `once` effect only after its started mark is, too.
 * 2. Each effect that is ready settles exactly once per start of the runtime, unless it was dropped before it started.
 * 3. No more of one name run at a time than its definition allows. Undoing does not count.
 */
import type { EffectContext, EffectDefinition, FileWrite } from "../contract.ts";
import type { ActorEvent, ActorRef, Json } from "../kernel/actions.ts";
import type { Cancel, Environment } from "../kernel/environment.ts";
import { CohortError, isCohortError } from "../kernel/error.ts";
import { encodeJson } from "../kernel/json.ts";
import {
  COMPENSATION_ATTEMPTS_MAX,
  COMPENSATION_DELAY_MS_MAX,
  COMPENSATION_DELAY_MS_MIN,
  EFFECT_CONCURRENCY,
  STOP_EFFECTS_MS_MAX,
  TURN_MS_MAX,
} from "../kernel/limits.ts";
import type { RuntimeLog } from "../log/runtime-log.ts";
import { Queue } from "../mailbox/queue.ts";

export interface PendingEffect {
  readonly id: number;
  readonly owner: ActorRef;
  readonly definition: EffectDefinition;
  /** Unique for ever; names the incarnation, too, where it is not the first. */
  readonly key: string;
  /** What the machine calls it. */
  readonly askedKey: string;
  readonly params: Json;
  /** Planned by the transition that ended its owner's incarnation: it runs all the same, and nobody is left to undo it for. */
  readonly farewell: boolean;
  /** Its outcome must get through on a full disk. */
  readonly control: boolean;
  /** A crash may have come between an earlier start and now. */
  readonly recovered: boolean;
  state: "planned" | "waiting" | "running" | "settled" | "undoing" | "dropped";
}

export interface EffectSink {
  /** The effect ended: its event is to be delivered, or null, and what it attached is to be written. */
  settled(effect: PendingEffect, event: ActorEvent | null, files: readonly FileWrite[]): void;
  /** Journal that it starts, then call back. */
  markStarted(effect: PendingEffect, started: () => void): void;
  undone(effect: PendingEffect): void;
}

interface Lane {
  readonly concurrency: number;
  readonly waiting: Queue<PendingEffect>;
  running: number;
}

function isEvent(value: unknown): value is ActorEvent {
  return typeof value === "object" && value !== null && "type" in value && typeof value.type === "string";
}

export class Effects {
  readonly #definitions: ReadonlyMap<string, EffectDefinition>;
  readonly #lanes = new Map<string, Lane>();
  readonly #pending = new Map<number, PendingEffect>();
  readonly #byOwner = new Map<ActorRef, Set<PendingEffect>>();
  readonly #active = new Set<Promise<void>>();
  readonly #retries = new Set<Cancel>();
  readonly #sink: EffectSink;
  readonly #environment: Environment;
  readonly #log: RuntimeLog;
  readonly #stop = new AbortController();
  #draining = false;

  constructor(definitions: readonly EffectDefinition[], sink: EffectSink, environment: Environment, log: RuntimeLog) {
    this.#definitions = new Map(definitions.map((definition) => [definition.name, definition]));
    if (this.#definitions.size < definitions.length) throw new CohortError("MACHINE_REFUSED", { on: "two effects of one name" });
    for (const { name, concurrency } of definitions)
      this.#lanes.set(name, { concurrency: concurrency ?? EFFECT_CONCURRENCY, waiting: new Queue(), running: 0 });
    this.#sink = sink;
    this.#environment = environment;
    this.#log = log;
  }

  get size(): number {
    return this.#pending.size;
  }

  definition(name: string): EffectDefinition | undefined {
    return this.#definitions.get(name);
  }

  find(id: number): PendingEffect | undefined {
    return this.#pending.get(id);
  }

  plan(effect: PendingEffect): void {
    this.#pending.set(effect.id, effect);
    let owned = this.#byOwner.get(effect.owner);
    if (owned === undefined) this.#byOwner.set(effect.owner, (owned = new Set()));
    owned.add(effect);
  }

  /** Its plan is durable: it may run. */
  ready(effect: PendingEffect): void {
    if (effect.state !== "planned") return;
    effect.state = "waiting";
    this.#lane(effect).waiting.push(effect);
    this.#drain();
  }

  /** Delivers an event in place of an outcome, without running it. */
  settleUnrun(effect: PendingEffect, event: ActorEvent): void {
    effect.state = "settled";
    this.#sink.settled(effect, event, []);
  }

  /** Its key was used before: it does not run, and its owner hears that as a failure. */
  refuse(effect: PendingEffect): void {
    const { name } = effect.definition;
    this.settleUnrun(effect, {
      type: "effectFailed",
      name,
      key: effect.askedKey,
      code: "INTERNAL",
      message: "the key of this effect was used before",
    });
  }

  /** The owner ended. Answers those that never started and have an undo: they are dropped, the rest runs on. */
  ownerEnded(owner: ActorRef): readonly PendingEffect[] {
    const dropped: PendingEffect[] = [];
    for (const effect of this.#byOwner.get(owner) ?? []) {
      const unstarted = effect.state === "planned" || effect.state === "waiting";
      if (!unstarted || effect.farewell || effect.definition.compensate === undefined) continue;
      effect.state = "dropped";
      dropped.push(effect);
    }
    return dropped;
  }

  forget(effect: PendingEffect): void {
    this.#pending.delete(effect.id);
    const owned = this.#byOwner.get(effect.owner);
    owned?.delete(effect);
    if (owned?.size === 0) this.#byOwner.delete(effect.owner);
  }

  /** Runs its compensation until it succeeds, with backoff; what does not succeed stays orphaned in the journal and is tried after the next start. */
  undo(effect: PendingEffect, attempt = 1): void {
    effect.state = "undoing";
    if (this.#stop.signal.aborted) return;
    const { definition } = effect;
    const work = Promise.resolve()
      .then(() => definition.compensate?.(effect.params, this.#context(effect, [])))
      .then(
        () => {
          if (!this.#stop.signal.aborted) this.#sink.undone(effect);
        },
        (error: unknown) => this.#undoFailed(effect, attempt, error),
      );
    this.#track(work);
  }

  #undoFailed(effect: PendingEffect, attempt: number, error: unknown): void {
    if (this.#stop.signal.aborted) return;
    this.#log.warn({ effect: effect.definition.name, key: effect.key, attempt, error }, "undoing an effect failed");
    if (attempt >= COMPENSATION_ATTEMPTS_MAX) {
      this.#log.error({ effect: effect.definition.name, key: effect.key }, "an effect could not be undone; the next start tries again");
      return;
    }
    const delayMs =
      Math.min(COMPENSATION_DELAY_MS_MIN * 2 ** (attempt - 1), COMPENSATION_DELAY_MS_MAX) * (0.5 + this.#environment.random() / 2);
    const cancel = this.#environment.after(delayMs, () => {
      this.#retries.delete(cancel);
      this.undo(effect, attempt + 1);
    });
    this.#retries.add(cancel);
  }

  #context({ key, owner, recovered }: PendingEffect, files: FileWrite[]): EffectContext {
    return { key, owner, signal: this.#stop.signal, recovered, attach: (file) => void files.push(file) };
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#active.delete(tracked));
    this.#active.add(tracked);
  }

  #lane(effect: PendingEffect): Lane {
    const lane = this.#lanes.get(effect.definition.name);
    if (lane === undefined) throw new CohortError("INTERNAL", { on: `effect ${effect.definition.name} has no lane` });
    return lane;
  }

  /** Starting runs the effect's synchronous part: spread over turns like everything else. */
  #drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    this.#environment.defer(() => {
      this.#draining = false;
      const startMs = this.#environment.monotonicMs();
      for (const lane of this.#lanes.values()) {
        while (lane.running < lane.concurrency && !this.#stop.signal.aborted) {
          const effect = lane.waiting.shift();
          if (effect === undefined) break;
          if (effect.state === "waiting") this.#start(effect, lane);
          if (this.#environment.monotonicMs() - startMs >= TURN_MS_MAX) return this.#drain();
        }
      }
    });
  }

  #start(effect: PendingEffect, lane: Lane): void {
    lane.running++;
    effect.state = "running";
    if (effect.definition.safety === "keyed") this.#run(effect, lane);
    else this.#sink.markStarted(effect, () => this.#run(effect, lane));
  }

  #run(effect: PendingEffect, lane: Lane): void {
    if (this.#stop.signal.aborted) return;
    const files: FileWrite[] = [];
    const work = new Promise<ActorEvent | null>((resolve) => resolve(effect.definition.run(effect.params, this.#context(effect, files))))
      .then((event) => {
        if (event !== null && !isEvent(event))
          throw new CohortError("INTERNAL", { on: `effect ${effect.definition.name} answered no event` });
        encodeJson(event);
        return event;
      })
      .catch((error: unknown) => {
        files.length = 0;
        return this.#failure(effect, error);
      })
      .then((event) => {
        lane.running--;
        if (this.#stop.signal.aborted) return;
        effect.state = "settled";
        this.#sink.settled(effect, event, files);
        this.#drain();
      });
    this.#track(work);
  }

  #failure(effect: PendingEffect, error: unknown): ActorEvent {
    const code = isCohortError(error) ? error.code : "INTERNAL";
    const message = error instanceof Error ? error.message : String(error);
    if (!isCohortError(error)) this.#log.warn({ effect: effect.definition.name, key: effect.key, error }, "an effect threw");
    return { type: "effectFailed", name: effect.definition.name, key: effect.askedKey, code, message };
  }

  /** Outcomes from now on are not delivered: recovery runs the effects again. */
  abort(): void {
    this.#stop.abort(new CohortError("CANCELLED", { on: "the runtime stops" }));
    for (const cancel of this.#retries) cancel();
  }

  /** Aborts what runs and waits for it a bounded time. */
  async stop(): Promise<void> {
    this.abort();
    let cancel: Cancel | undefined;
    const limit = new Promise<void>((resolve) => {
      cancel = this.#environment.after(STOP_EFFECTS_MS_MAX, resolve);
    });
    await Promise.race([Promise.all(this.#active), limit]);
    cancel?.();
  }
}
