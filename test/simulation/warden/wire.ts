/**
 * Owns one connection between a simulated warden and its supervisor: what is on its way in either direction, and when it arrives.
 * Does not own: what the messages mean.
 * 1. Each direction keeps its order. Nothing is doubled: what is sent again is sent again by one of the sides.
 * 2. When it is cut, what is on its way may be lost, from some message on.
 * 3. A supervisor that died hears nothing more.
 */
import type { Environment } from "../../../runtime/kernel/environment.ts";
import type { SeededRandom } from "../../../runtime/simulated/seeded-random.ts";

interface Direction {
  dueMs: number;
  sent: number;
  arrived: number;
  /** Of the messages those before this one arrive. */
  limit: number;
}

const direction = (): Direction => ({ dueMs: 0, sent: 0, arrived: 0, limit: Infinity });

export class Wire {
  readonly #environment: Environment;
  readonly #life: Environment;
  readonly #random: SeededRandom;
  readonly #down = direction();
  readonly #up = direction();
  readonly #stalledUntilMs: () => number;
  cut = false;

  /** `life`: of the supervisor's process. Nothing moves before `stalledUntilMs`. */
  constructor(environment: Environment, life: Environment, random: SeededRandom, stalledUntilMs: () => number) {
    this.#stalledUntilMs = stalledUntilMs;
    this.#environment = environment;
    this.#life = life;
    this.#random = random;
  }

  toWarden(act: () => void): void {
    this.#send(this.#down, this.#environment, act);
  }

  toSupervisor(act: () => void): void {
    this.#send(this.#up, this.#life, act);
  }

  /** What was sent by then to the warden may still arrive in part. */
  end(): void {
    if (this.cut) return;
    this.cut = true;
    this.#down.limit = this.#random.between(this.#down.arrived, this.#down.sent);
    this.#up.limit = this.#up.arrived;
  }

  /** A newer connection took its place: nothing arrives any more. */
  replaced(): void {
    this.end();
    this.#down.limit = this.#down.arrived;
  }

  #send(way: Direction, receiver: Environment, act: () => void): void {
    if (this.cut) return;
    const nowMs = this.#environment.monotonicMs();
    const slow = this.#random.chance(0.02) ? this.#random.next() * 80 : 0;
    way.dueMs = Math.max(way.dueMs, nowMs + this.#random.next() * 0.5 + slow, this.#stalledUntilMs());
    const order = way.sent++;
    receiver.after(way.dueMs - nowMs, () => this.#arrive(way, order, act));
  }

  /** Timers may come late, and then out of order: whoever is first waits for none, but nobody overtakes. */
  readonly #early = new Map<Direction, Map<number, () => void>>();

  #arrive(way: Direction, order: number, act: () => void): void {
    const waiting = this.#early.get(way) ?? new Map<number, () => void>();
    this.#early.set(way, waiting.set(order, act));
    for (let next = waiting.get(way.arrived); next !== undefined; next = waiting.get(way.arrived)) {
      if (way.arrived >= way.limit) return;
      waiting.delete(way.arrived);
      way.arrived++;
      next();
    }
  }
}
