/**
 * Owns the one supervisor of a simulated computer, life after life: starts it, has it die, starts it again.
 * Does not own: the computer, the warden.
 */
import type { System } from "../../../actors/contract.ts";
import { openSystem } from "../../../actors/system.ts";
import type { Death } from "../../../runtime/simulated/disk-gate.ts";
import { isCohortError } from "../../../runtime/kernel/error.ts";
import type { Computer } from "../machine/computer.ts";
import { forgetDescriptors } from "../replaced/fs.ts";
import type { SimulatedWarden } from "../warden/simulated-warden.ts";

export const STATE = "/state";
/** After an opening that failed, as systemd would. */
const RESTART_MS = 1000;
/** A death that was planned by the operation may come when nobody thinks of how long. */
const DOWN_MS = 50;

export class Daemon {
  readonly #computer: Computer;
  readonly #warden: SimulatedWarden;
  #system: System | null = null;
  #up = Promise.withResolvers<System>();
  #gone = Promise.withResolvers<"gone">();
  #openings = 0;
  /** Of the next death. */
  downMs = DOWN_MS;

  constructor(computer: Computer, warden: SimulatedWarden) {
    this.#computer = computer;
    this.#warden = warden;
    computer.onDeath = (death) => this.#died(death);
  }

  get system(): System | null {
    return this.#system;
  }

  get openings(): number {
    return this.#openings;
  }

  start(): void {
    const on = this.#computer;
    on.boot();
    forgetDescriptors();
    const { life } = on;
    const opening = ++this.#openings;
    on.trace.add("boot", String(opening));
    openSystem({ stateDirectory: STATE, connectVm: (events) => this.#warden.connect(events, life), cores: 2 }).then(
      (system) => {
        if (opening !== this.#openings || life.ended) return;
        on.trace.add("up");
        this.#system = system;
        this.#up.resolve(system);
      },
      (error: unknown) => {
        if (life.ended) return;
        on.trace.add("opening failed", String(error));
        if (!isCohortError(error, "JOURNAL_FULL") && !on.gate.full) on.violate(`the opening failed: ${String(error)}`);
        this.downMs = RESTART_MS;
        on.die("killed");
      },
    );
  }

  /** Resolves with the system, once there is one. */
  up(): Promise<System> {
    return this.#up.promise;
  }

  /** What the system answers, or that it died before. */
  raced<T>(work: Promise<T>): Promise<T | "gone"> {
    return Promise.race([work, this.#gone.promise]);
  }

  #died(death: Death): void {
    // Whoever waits for one that was opening waits for the next.
    if (this.#system !== null) this.#up = Promise.withResolvers<System>();
    this.#system = null;
    this.#openings++;
    this.#gone.resolve("gone");
    this.#gone = Promise.withResolvers<"gone">();
    const { downMs } = this;
    this.downMs = DOWN_MS;
    if (death === "power") this.#warden.die(downMs);
    this.#warden.supervisorDied();
    this.#computer.environment.after(downMs, () => this.start());
  }
}
