/**
 * Owns the count of what a simulated process asks of its disk, the moment of its death, and what is refused for want of space.
 * Does not own: bytes (files and the database have them, and lose what was not durable in `settle`).
 * 1. Each operation has a number; a death comes before or after one, or in the middle of a write.
 * 2. After its death a process changes nothing: every operation throws, until the restart.
 */
import type { SeededRandom } from "./seeded-random.ts";

/** killed: the process ends, the machine lives: what was written stays. power: what was not synced may be lost, or in part. */
export type Death = "killed" | "power";

export interface PlannedDeath {
  /** Number of the operation. */
  readonly at: number;
  readonly place: "before" | "within" | "after";
  readonly death: Death;
}

export interface Survivor {
  /** Loses what does not outlive the death. */
  settle(death: Death, random: SeededRandom): void;
}

/** Nobody may catch this and go on: the process is gone. */
export class SimulatedDeath extends Error {
  override readonly name = "SimulatedDeath";
}

class DiskFull extends Error {
  readonly code = "ENOSPC";
}

export class DiskGate {
  readonly random: SeededRandom;
  /** Names of what was done, newest last; for coverage and traces. */
  observe: (operation: number, name: string) => void = () => {};
  /** Called once at each death, in the operation that died. */
  died: (death: Death) => void = () => {};
  full = false;
  planned: PlannedDeath | null = null;
  readonly #survivors: Survivor[] = [];
  #operations = 0;
  #dead = false;

  constructor(random: SeededRandom) {
    this.random = random;
  }

  get operations(): number {
    return this.#operations;
  }

  get dead(): boolean {
    return this.#dead;
  }

  add(survivor: Survivor): void {
    this.#survivors.push(survivor);
  }

  /** `partly` does a part of it, as a death in its middle may leave. */
  pass<T>(name: string, act: () => T, partly: () => void = () => {}): T {
    if (this.#dead) throw new SimulatedDeath(name);
    const operation = ++this.#operations;
    this.observe(operation, name);
    const planned = this.planned !== null && this.planned.at <= operation ? this.planned : null;
    if (planned !== null && planned.place !== "after") {
      if (planned.place === "within") partly();
      this.#die(planned.death, name);
    }
    const result = act();
    if (planned !== null) this.#die(planned.death, name);
    return result;
  }

  /** As pass; throws ENOSPC while the disk is full, having done a part. */
  passWrite<T>(name: string, act: () => T, partly: () => void): T {
    return this.pass(
      name,
      () => {
        if (!this.full) return act();
        if (this.random.chance(0.5)) partly();
        throw new DiskFull(`ENOSPC: no space left on device, ${name}`);
      },
      partly,
    );
  }

  /** At once, between two operations. */
  die(death: Death): void {
    if (this.#dead) return;
    this.#dead = true;
    this.planned = null;
    this.died(death);
    for (const survivor of this.#survivors) survivor.settle(death, this.random);
  }

  #die(death: Death, name: string): never {
    this.die(death);
    throw new SimulatedDeath(name);
  }

  restart(): void {
    this.#dead = false;
    this.planned = null;
  }
}
