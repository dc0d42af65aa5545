/**
 * Owns one simulated computer: its time, its disk, and the one process of cohortd that runs on it, life after life.
 * Does not own: what that process does, the warden (it outlives the process, and dies with the computer).
 * 1. There is one computer at a time, so that what replaces Node's modules finds the clock and the disk of whoever calls.
 * 2. A process that died finds nothing to wait for: its timers and its files never answer.
 */
import { DiskGate, SimulatedDeath, type Death } from "../../../runtime/simulated/disk-gate.ts";
import { SeededRandom } from "../../../runtime/simulated/seeded-random.ts";
import { SimulatedDisk } from "../../../runtime/simulated/simulated-disk.ts";
import { SimulatedEnvironment, type SimulatedLife } from "../../../runtime/simulated/simulated-environment.ts";
import type { BatchFiles } from "../../../runtime/journal/journaled-files.ts";
import { FileSystem } from "./file-system.ts";
import { Trace } from "./trace.ts";

let present: Computer | null = null;

/** The computer of the simulation that runs now. */
export function computer(): Computer {
  if (present === null) throw new Error("no simulation runs");
  return present;
}

export function isSimulated(): boolean {
  return present !== null;
}

export interface ComputerOptions {
  readonly seed: number;
  readonly chaos: boolean;
  readonly files: () => BatchFiles;
}

export class Computer {
  readonly random: SeededRandom;
  readonly environment: SimulatedEnvironment;
  readonly trace = new Trace();
  readonly gate: DiskGate;
  readonly disk: SimulatedDisk;
  readonly files: FileSystem;
  /** How much longer than usual its disk takes. */
  slowness = 1;
  /** Keys of effects whose plan is durable. */
  readonly planned = new Set<string>();
  /** What is never to happen, and did. */
  readonly violations: string[] = [];
  onDeath: (death: Death) => void = () => {};
  #life: SimulatedLife;
  readonly #diskTime: SeededRandom;
  readonly #chances: SeededRandom;

  constructor({ seed, chaos, files }: ComputerOptions) {
    this.random = new SeededRandom(seed, "computer");
    this.environment = new SimulatedEnvironment({ seed, chaos });
    this.#diskTime = this.random.fork("disk time");
    this.#chances = this.random.fork("chances");
    this.gate = new DiskGate(this.random.fork("disk"));
    this.disk = new SimulatedDisk({ gate: this.gate, files });
    this.files = new FileSystem(this.gate);
    this.#life = this.environment.live();
    this.trace.clock = () => this.environment.elapsedMs;
    this.gate.observe = (operation, name) => this.trace.add("disk", `${operation} ${name}`);
    this.gate.died = (death) => {
      this.#life.end();
      this.trace.add(`death ${death}`);
      this.onDeath(death);
    };
    // oxlint-disable-next-line typescript/no-this-alias -- the replaced modules have no other way to the computer that they run on.
    present = this;
  }

  get life(): SimulatedLife {
    return this.#life;
  }

  /** A new process. */
  boot(): void {
    this.gate.restart();
    this.#life = this.environment.live();
  }

  die(death: Death): void {
    this.gate.die(death);
  }

  violate(what: string): void {
    this.trace.add("violation", what);
    this.violations.push(what);
  }

  /** Of the process: ids that must not be guessable in reality repeat here. */
  below(limit: number): number {
    return this.#chances.below(limit);
  }

  diskMs(usualMs: number): number {
    return usualMs * (0.5 + this.#diskTime.next()) * this.slowness;
  }

  /** Something that the process asks of the kernel and waits for. */
  answered<T>(usualMs: number, act: () => T): Promise<T> {
    const life = this.#life;
    if (life.ended) return new Promise(() => {});
    return new Promise((resolve, reject) => {
      life.after(this.diskMs(usualMs), () => {
        try {
          resolve(act());
        } catch (error) {
          if (!(error instanceof SimulatedDeath)) reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
    });
  }

  dispose(): void {
    this.#life.end();
    this.disk.dispose();
    if (present === this) present = null;
  }
}
