/**
 * Owns one simulation of the runtime alone: clients that post, actors that play, effects whose outside world is counted.
 * Does not own: the computer. What was acknowledged is noted, for the checks.
 */
import type { EffectDefinition, Origin, Runtime } from "../../../runtime/contract.ts";
import type { ActorEvent, ActorRef, Json } from "../../../runtime/kernel/actions.ts";
import { isCohortError } from "../../../runtime/kernel/error.ts";
import type { Death } from "../../../runtime/simulated/disk-gate.ts";
import type { SeededRandom } from "../../../runtime/simulated/seeded-random.ts";
import type { Computer } from "../machine/computer.ts";
import { openRuntime } from "../replaced/watched-runtime.ts";
import { definitions } from "./machines.ts";

export const ORIGIN: Origin = { surface: "test", device: "simulated" };
const PATIENCE_MS = 3000;
const LATER: ReadonlySet<string> = new Set(["JOURNAL_FULL", "MAILBOX_FULL", "CANCELLED"]);

export type Told = "acked" | "perhaps";

export class Workload {
  readonly computer: Computer;
  /** How often the outside world saw each key. */
  readonly executed = new Map<string, number>();
  readonly #random: SeededRandom;
  #runtime: Runtime | null = null;
  #up = Promise.withResolvers<Runtime>();
  #gone = Promise.withResolvers<"gone">();
  #openings = 0;
  downMs = 20;

  constructor(computer: Computer) {
    this.computer = computer;
    this.#random = computer.random.fork("workload");
    computer.onDeath = (death) => this.#died(death);
  }

  up(): Promise<Runtime> {
    return this.#up.promise;
  }

  start(): void {
    const on = this.computer;
    on.boot();
    const { life } = on;
    const opening = ++this.#openings;
    on.trace.add("boot", String(opening));
    openRuntime({ directory: "/journal", definitions, effects: this.#effects() }).then(
      (runtime) => {
        if (opening !== this.#openings || life.ended) return;
        on.trace.add("up");
        this.#runtime = runtime;
        this.#up.resolve(runtime);
      },
      (error: unknown) => {
        if (life.ended) return;
        if (!isCohortError(error, "JOURNAL_FULL") && !on.gate.full) on.violate(`the opening failed: ${String(error)}`);
        this.downMs = 1000;
        on.die("killed");
      },
    );
  }

  #died(_: Death): void {
    if (this.#runtime !== null) this.#up = Promise.withResolvers<Runtime>();
    this.#runtime = null;
    this.#openings++;
    this.#gone.resolve("gone");
    this.#gone = Promise.withResolvers<"gone">();
    const { downMs } = this;
    this.downMs = 20;
    this.computer.environment.after(downMs, () => this.start());
  }

  /** Each takes a while before it touches the world, and a while before it says so. */
  #effects(): readonly EffectDefinition[] {
    const { computer, executed } = this;
    const { life } = computer;
    const wait = (ms: number): Promise<void> => new Promise((resolve) => life.after(ms, resolve));
    return (["keyed", "once"] as const).map((safety) => ({
      name: safety,
      safety,
      run: async (_: Json, { key }) => {
        await wait(this.#random.next() * 4);
        const times = (executed.get(key) ?? 0) + 1;
        executed.set(key, times);
        computer.trace.add("world", `${key} ${times}`);
        if (safety === "once" && times > 1) computer.violate(`the once effect ${key} ran ${times} times`);
        await wait(this.#random.next() * 4);
        return { type: "worked", key, times };
      },
    }));
  }

  /** perhaps: whether it was taken is not known. */
  async post(ref: ActorRef, event: ActorEvent): Promise<Told> {
    return this.#ask(`post ${ref} ${event.type}`, (runtime) => runtime.post(ref, event, ORIGIN));
  }

  /** Again until it is acknowledged: spawning twice is harmless. */
  async spawn(ref: ActorRef, input: Json): Promise<void> {
    while ((await this.#ask(`spawn ${ref}`, (runtime) => runtime.spawn(ref, input, { origin: ORIGIN }))) !== "acked") await this.sleep(20);
  }

  async cancel(scope: string): Promise<void> {
    while ((await this.#ask(`cancel ${scope}`, (runtime) => runtime.cancelScope(scope, "kill", "simulated", ORIGIN))) !== "acked")
      await this.sleep(20);
  }

  async #ask(what: string, act: (runtime: Runtime) => Promise<unknown>): Promise<Told> {
    const runtime = await this.up();
    const { trace } = this.computer;
    trace.add("asked", what);
    try {
      const patience = this.sleep(PATIENCE_MS).then(() => "gone" as const);
      if ((await Promise.race([act(runtime), this.#gone.promise, patience])) === "gone") return "perhaps";
      trace.add("acked", what);
      return "acked";
    } catch (error) {
      if (!isCohortError(error) || !LATER.has(error.code)) this.computer.violate(`${what} was refused: ${String(error)}`);
      trace.add("refused", what);
      return "perhaps";
    }
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.computer.environment.after(ms, resolve));
  }
}
