/**
 * Owns one client's wishes: a run that it wants started once, cancelled, and watched to its end; over a channel that doubles, delays and loses.
 * Does not own: the system. Notes what it was told, for the checkers.
 */
import type { System } from "../../../actors/contract.ts";
import type { RunEvent } from "../../../machines/messages/result.ts";
import { isCohortError } from "../../../runtime/kernel/error.ts";
import { canonicalJson } from "../canonical-json.ts";
import type { SeededRandom } from "../../../runtime/simulated/seeded-random.ts";
import type { Origin } from "../../../runtime/contract.ts";
import type { Computer } from "../machine/computer.ts";
import type { Daemon } from "./daemon.ts";
import type { RunPlan } from "./scenario.ts";

const ORIGIN: Origin = { surface: "test", device: "simulated" };
const PATIENCE_MS = 4000;
/** Refusals that a client tries again after. */
const LATER: ReadonlySet<string> = new Set(["JOURNAL_FULL", "MAILBOX_FULL", "WARDEN_ABSENT", "WARDEN_GONE", "CANCELLED"]);

type Answered<T> = { readonly type: "answered"; readonly value: T } | { readonly type: "lost" } | { readonly type: "later" };

export class Client {
  readonly plan: RunPlan;
  readonly #computer: Computer;
  readonly #daemon: Daemon;
  readonly #random: SeededRandom;
  /** As it was told. */
  run: string | null = null;
  /** Cancellations that were acknowledged. */
  cancelled = 0;
  /** By cursor, as JSON: each is the same for whoever looks, whenever. */
  readonly seen: string[] = [];
  readonly events: RunEvent[] = [];
  watchersDone = 0;
  cancelsDone = false;

  constructor(plan: RunPlan, computer: Computer, daemon: Daemon) {
    this.plan = plan;
    this.#computer = computer;
    this.#daemon = daemon;
    this.#random = computer.random.fork(`client ${plan.key}`);
  }

  get done(): boolean {
    return this.cancelsDone && this.watchersDone === this.plan.watchers;
  }

  async carryOut(): Promise<void> {
    await this.#sleep(this.plan.atMs);
    const twin = this.#random.chance(0.3) ? this.#start() : null;
    await this.#start();
    await twin;
    const work = Array.from({ length: this.plan.watchers }, (_, number) => this.#watch(number));
    await Promise.all([...work, this.#cancel()]);
  }

  async #start(): Promise<void> {
    const { key, spec } = this.plan;
    for (;;) {
      const answered = await this.#ask("start", (system) => system.startRun(spec, key, ORIGIN));
      if (answered.type === "answered") return this.#started(answered.value.run);
      await this.#sleep(this.#random.next() * 500);
    }
  }

  #started(run: string): void {
    if (this.run !== null && this.run !== run) this.#computer.violate(`the key ${this.plan.key} started ${this.run} and ${run}`);
    this.run = run;
    this.#computer.trace.add("acked start", run);
  }

  async #cancel(): Promise<void> {
    for (const { afterMs, mode } of this.plan.cancels.toSorted((left, right) => left.afterMs - right.afterMs)) {
      await this.#sleep(afterMs);
      for (;;) {
        const { run } = this;
        if (run === null) throw new Error("not started");
        const answered = await this.#ask(`cancel ${mode}`, (system) => system.cancelRun(run, mode, "simulated", ORIGIN));
        if (answered.type === "answered") break;
        await this.#sleep(this.#random.next() * 300);
      }
      this.cancelled++;
      this.#computer.trace.add("acked cancel", `${this.run} ${mode}`);
    }
    this.cancelsDone = true;
  }

  /** The answer may be lost on its way, and the request itself. */
  async #ask<T>(what: string, act: (system: System) => Promise<T>): Promise<Answered<T>> {
    if (this.#random.chance(0.05)) {
      this.#computer.trace.add("request lost", what);
      return { type: "lost" };
    }
    const system = await this.#daemon.up();
    await this.#sleep(this.#random.next() * 3);
    if (this.#daemon.system !== system) return { type: "lost" };
    this.#computer.trace.add("request", what);
    if (this.#random.chance(0.1)) act(system).catch(() => {});
    try {
      const patience = this.#sleep(PATIENCE_MS).then(() => "gone" as const);
      const value = await Promise.race([this.#daemon.raced(act(system)), patience]);
      if (value === "gone" || this.#random.chance(0.05)) return { type: "lost" };
      return { type: "answered", value };
    } catch (error) {
      if (isCohortError(error) && LATER.has(error.code)) {
        this.#computer.trace.add("refused", `${what} ${error.code}`);
        return { type: "later" };
      }
      this.#computer.violate(`${what} was refused: ${String(error)}`);
      return { type: "later" };
    }
  }

  /** Follows the run to its end, over as many connections as it takes. */
  async #watch(number: number): Promise<void> {
    let cursor = 0;
    for (let ended = false; !ended;) {
      const system = await this.#daemon.up();
      const { run } = this;
      if (run === null) throw new Error("not started");
      const stop = new AbortController();
      const items = system.watch(run, cursor, stop.signal)[Symbol.asyncIterator]();
      // The client is killed now and then.
      let patience = this.#random.chance(0.5) ? this.#random.between(1, 10) : Infinity;
      try {
        for (;;) {
          const next = await this.#daemon.raced(items.next());
          if (next === "gone" || next.done === true) break;
          if (next.value.cursor !== cursor + 1)
            this.#computer.violate(`watcher ${number} of ${run} got row ${next.value.cursor} behind ${cursor}`);
          cursor = next.value.cursor;
          this.#saw(cursor, next.value.event);
          if (next.value.event.type === "run-finished") ended = true;
          if (ended || --patience <= 0) break;
          if (this.#random.chance(0.1)) await this.#sleep(this.#random.next() * 200);
          if (this.#daemon.system !== system) break;
        }
      } catch (error) {
        // A result may wait for space.
        if (!isCohortError(error, "CANCELLED") && !isCohortError(error, "JOURNAL_FULL"))
          this.#computer.violate(`watcher ${number} of ${run}: ${String(error)}`);
      }
      stop.abort();
      await this.#sleep(1 + this.#random.next() * 20);
    }
    this.watchersDone++;
  }

  #saw(cursor: number, event: RunEvent): void {
    const text = canonicalJson(withoutLateWords(event));
    const known = this.seen[cursor - 1];
    if (known === undefined) {
      this.seen[cursor - 1] = text;
      this.events.push(event);
      this.#computer.trace.add("row", `${this.run} ${cursor} ${event.type}`);
    } else if (known !== text) this.#computer.violate(`row ${cursor} of ${this.run} was ${known}, and is ${text}`);
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.#computer.environment.after(ms, resolve));
  }
}

/** What a person or the warden says of a grant may be written down after its end was told. */
function withoutLateWords(event: RunEvent): RunEvent {
  if (event.type === "grant-ended") return { ...event, detail: "" };
  return event.type === "approval-answered" ? { ...event, reason: "" } : event;
}
