/**
 * A user's actors in simulated time, on a disk in memory: the same runtime, journal and handles as `openActors` gives, in one process and without waiting.
 *
 * Owns the simulated world, its disk, and one life of the runtime after the other.
 */
import type { AnyStateMachine } from "xstate";
import type { z } from "zod";
import type { Runtime } from "../../runtime/contract.ts";
import type { BatchRows, LoadedState } from "../../runtime/journal/batch-rows.ts";
import type { ActorRef, Json } from "../../runtime/kernel/actions.ts";
import { CohortError } from "../../runtime/kernel/error.ts";
import type { HistoryCursor } from "../../runtime/kernel/history.ts";
import { openRuntimeOn } from "../../runtime/runtime.ts";
import { SimulatedDisk } from "../../runtime/simulated/simulated-disk.ts";
import type { SimulatedLife } from "../../runtime/simulated/simulated-environment.ts";
import { SimulatedJournal } from "../../runtime/simulated/simulated-journal.ts";
import type { ActorHandle, HandleGround } from "../actors/actor-handle.ts";
import type { ActorKind, AnswerSchemas, AnyActorKind, EventSchema } from "../actors/actor-kind.ts";
import { Actors, definitionsOf } from "../actors/actors.ts";
import { Changes } from "../actors/changes.ts";
import type { AnyEffectKind } from "../actors/effect-kind.ts";
import { observed, type JournalObserver } from "../actors/observed-journal.ts";
import { PlannedEffects, type JournaledEffect } from "./planned-effects.ts";
import { SimulatedWorld } from "./simulated-world.ts";

export interface TestActorsOptions {
  readonly actors: readonly AnyActorKind[];
  /** What the actors plan, as fakes: `defineEffect`, `simulatedTasks`, or the real ones where they need nothing from outside. */
  readonly effects?: readonly AnyEffectKind[];
  /** Of chance: the same seed gives the same test. Default 1. */
  readonly seed?: number;
  /** What the clock says at first, in ms since the epoch. Default 2026-01-01 UTC. */
  readonly startMs?: number;
}

/** As the journal has it. */
export interface TestedEvent {
  readonly type: string;
  /** The whole event. */
  readonly payload: Json;
  readonly atMs: number;
  /** dead: its state did not take it. failed: the machine threw. */
  readonly outcome: "applied" | "ignored" | "dead" | "failed" | "duplicate";
  /** post: from outside. */
  readonly cause: "post" | "message" | "timer" | "effect" | "spawn" | "scope";
}

export interface TestClock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Lets so many ms pass, with all that happens in them and what comes of it at once. */
  advance(ms: number): Promise<void>;
  /** For fakes of effects: resolves when somebody let so many ms pass. Outlives a crash, as the world outside does. */
  sleep(ms: number): Promise<void>;
}

/** When a process is killed: at which operation of its disk, counted from its opening. */
export interface Kill {
  readonly operation: number;
  readonly place: "before" | "within" | "after";
}

const PAGE = 1000;
const NOTHING = (): void => undefined;
const SILENT = { log: { debug: NOTHING, info: NOTHING, warn: NOTHING, error: NOTHING }, close: NOTHING };

interface Life {
  readonly ground: HandleGround;
  readonly runtime: Runtime;
}

export class TestActors {
  readonly clock: TestClock;
  readonly #disk: SimulatedDisk;
  readonly #world: SimulatedWorld;
  readonly #planned = new PlannedEffects();
  #options: Required<Pick<TestActorsOptions, "actors" | "effects">>;
  #actors: Actors | null = null;
  #life: Life | null = null;
  #isDisposed = false;

  /** Use `testActors`. */
  constructor({ actors, effects = [], seed = 1, startMs = Date.UTC(2026, 0, 1) }: TestActorsOptions) {
    this.#options = { actors, effects };
    this.#world = new SimulatedWorld({ seed, startMs });
    this.#disk = new SimulatedDisk({ seed });
    const { environment } = this.#world;
    this.clock = {
      now: () => environment.now(),
      advance: (ms) => this.#world.advance(ms),
      sleep: (ms) => new Promise((resolve) => environment.after(ms, resolve)),
    };
  }

  /** False between a crash and `reopen`. */
  get isRunning(): boolean {
    return this.#life !== null;
  }

  /** As in class Actors. Like every wait here it lets simulated time pass as far as it needs. */
  start<M extends AnyStateMachine, I extends z.ZodType, E extends EventSchema, A extends AnswerSchemas<E>>(
    kind: ActorKind<M, I, E, A>,
    id: string,
    input: z.input<I>,
  ): Promise<ActorHandle<M, E, A>> {
    return this.#open().start(kind, id, input);
  }

  /** As in class Actors. Handles outlive a crash. */
  of<M extends AnyStateMachine, E extends EventSchema, A extends AnswerSchemas<E>>(
    kind: ActorKind<M, z.ZodType, E, A>,
    id: string,
  ): ActorHandle<M, E, A> {
    return this.#open().of(kind, id);
  }

  get(collection: string, key: string): Promise<Json> {
    return this.#open().get(collection, key);
  }

  list(
    collection: string,
    options: { readonly after?: string; readonly limit?: number } = {},
  ): Promise<readonly { readonly key: string; readonly value: Json }[]> {
    return this.#open().list(collection, options);
  }

  /** Until nothing more happens without a timer or an effect; takes some ms of simulated time. */
  settle(): Promise<void> {
    return this.#world.settle();
  }

  /** Every event of an actor, in order, with what became of it. */
  async events(ref: ActorRef): Promise<readonly TestedEvent[]> {
    const { runtime } = this.#living();
    const all: TestedEvent[] = [];
    let after: HistoryCursor | null = { actor: ref, seq: 0 };
    while (after !== null) {
      const page: Awaited<ReturnType<Runtime["history"]>> = await this.#world.drive(runtime.history(ref, after, PAGE));
      for (const { actor, events } of page.parts)
        if (actor.ref === ref) for (const event of events) all.push(tested(event as TestedEvent & { readonly payload: string }));
      after = page.next?.actor === ref && page.next.seq !== null ? page.next : null;
    }
    return all;
  }

  /** Every effect that was planned, in order, with how far the journal knows it to be. */
  effects(name?: string): readonly JournaledEffect[] {
    return this.#planned.all.filter((effect) => name === undefined || effect.name === name);
  }

  /**
   * The process ends at once, as by `kill -9`: what was durable stays, what ran is gone, whoever waits gets CANCELLED. `power`: the machine ends too, so what was not
   * synced may be lost or torn.
   */
  crash(death: "killed" | "power" = "killed"): void {
    this.#living();
    this.#disk.gate.die(death);
  }

  /** Opens the journal again after a crash; with other kinds, as a new build of the program would. Rejects as `openActors` does. */
  async reopen(changed: Pick<Partial<TestActorsOptions>, "actors" | "effects"> = {}): Promise<void> {
    if (this.#life !== null) throw new CohortError("JOURNAL_LOCKED", { on: "it is open: crash() first" });
    this.#options = { ...this.#options, ...changed };
    await this.#begin();
  }

  /** Ends in an orderly way. */
  async stop(): Promise<void> {
    this.#disk.gate.planned = null;
    const life = this.#life;
    this.#life = null;
    if (life !== null) await this.#world.drive(life.runtime.stop());
    if (!this.#isDisposed) this.#disk.dispose();
    this.#isDisposed = true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** For `testActors` and `killEverywhere`: opens for the first time, or after a crash. */
  async begin(kill: Kill | null): Promise<void> {
    const { gate } = this.#disk;
    await this.#begin(() => {
      gate.planned = kill === null ? null : { at: gate.operations + kill.operation, place: kill.place, death: "killed" };
    });
  }

  async #begin(opening: () => void = NOTHING): Promise<void> {
    const { actors, effects: kinds } = this.#options;
    const { environment } = this.#world;
    const life = environment.live();
    const { gate } = this.#disk;
    gate.restart();
    gate.died = () => {
      life.end();
      this.#life = null;
      this.#world.kill();
    };
    opening();
    const changes = new Changes();
    const { answers, definitions, effects } = definitionsOf(actors, kinds, "test");
    const observer = {
      loaded: (state: LoadedState) => this.#planned.loaded(state),
      committed: (batch: BatchRows) => {
        this.#planned.committed(batch);
        this.#world.committed();
        changes.committed(batch);
      },
    };
    const runtime = await this.#runtime(life, observer, { definitions, effects });
    const drive = <T>(promise: Promise<T>): Promise<T> => this.#world.drive(promise);
    const ground: HandleGround = { runtime, environment: life, answers, changes, origin: { surface: "test", device: "simulated" }, drive };
    this.#life = { ground, runtime };
    this.#actors = new Actors(
      actors,
      () => this.#living().ground,
      () => this.stop(),
    );
  }

  async #runtime(life: SimulatedLife, observer: JournalObserver, definitions: Parameters<typeof openRuntimeOn>[1]): Promise<Runtime> {
    try {
      const journal = observed(new SimulatedJournal({ disk: this.#disk, environment: life }), observer);
      return await this.#world.drive(openRuntimeOn({ journal, environment: life, log: SILENT }, definitions));
    } catch (error) {
      // A death at the opening shows in what the journal says; here it has its own name.
      throw life.ended ? new CohortError("CANCELLED", { on: "the simulated process was killed", cause: error }) : error;
    }
  }

  #living(): Life {
    if (this.#life === null) throw new CohortError("CANCELLED", { on: "the simulated process is not running: reopen()" });
    return this.#life;
  }

  #open(): Actors {
    this.#living();
    if (this.#actors === null) throw new CohortError("INTERNAL", { on: "never opened" });
    return this.#actors;
  }
}

/** Opens actors on an empty disk, in simulated time. Rejects as `openActors` does. */
export async function testActors(options: TestActorsOptions): Promise<TestActors> {
  const actors = new TestActors(options);
  await actors.begin(null);
  return actors;
}

function tested({ type, payload, atMs, outcome, cause }: TestedEvent & { readonly payload: string }): TestedEvent {
  return { type, payload: JSON.parse(payload) as Json, atMs, outcome, cause };
}
