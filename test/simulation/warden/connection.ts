/**
 * Owns the supervisor's end of one connection to a simulated warden: its open requests.
 * Does not own: the warden.
 * 1. Each request settles once: answered, refused, or gone with the connection; after the supervisor's death, never.
 */
import { CohortError } from "../../../runtime/kernel/error.ts";
import type { SimulatedLife } from "../../../runtime/simulated/simulated-environment.ts";
import type { Vm, VmEvents } from "../../../vm/backend.ts";
import type { SimulatedWarden } from "./simulated-warden.ts";
import { Wire } from "./wire.ts";

type Answer = (value: unknown) => void;

const NO_STATS = { memoryBytes: 0, memoryPeakBytes: 0, pids: 1, cpuUs: 0, oomKills: 0, pidsRefused: 0, throttledUs: 0 };

export class Connection {
  readonly wire: Wire;
  readonly #warden: SimulatedWarden;
  readonly #events: VmEvents;
  readonly #life: SimulatedLife;
  readonly #waiting = new Set<(error: CohortError) => void>();
  #closed = false;

  constructor(warden: SimulatedWarden, events: VmEvents, life: SimulatedLife) {
    this.#warden = warden;
    this.#events = events;
    this.#life = life;
    this.wire = new Wire(warden.computer.environment, life, warden.random, () => warden.stalledUntilMs);
  }

  tell(what: string, tell: (events: VmEvents) => void): void {
    this.wire.toSupervisor(() => {
      if (this.#closed) return;
      this.#warden.computer.trace.add("told", what);
      tell(this.#events);
    });
  }

  /** The warden ended it. */
  closed(): void {
    this.wire.end();
    if (this.#closed || this.#life.ended) return;
    this.#life.after(0, () => {
      if (this.#closed) return;
      this.#end();
      this.#events.closed(new CohortError("WARDEN_GONE", { on: "simulated" }));
    });
  }

  #end(): void {
    this.#closed = true;
    for (const refuse of this.#waiting) refuse(new CohortError("WARDEN_GONE"));
    this.#waiting.clear();
  }

  /** `act` answers whenever it can; what it throws is a refusal. */
  #ask<T>(what: string, act: (answer: Answer) => void): Promise<T> {
    if (this.#life.ended) return new Promise(() => {});
    if (this.#closed) return Promise.reject(new CohortError("WARDEN_GONE"));
    this.#warden.computer.trace.add("asked", what);
    return new Promise<T>((resolve, reject) => {
      this.#waiting.add(reject);
      const answer: Answer = (value) =>
        this.wire.toSupervisor(() => {
          if (!this.#waiting.delete(reject)) return;
          if (value instanceof CohortError) reject(value);
          else resolve(value as T);
        });
      this.wire.toWarden(() => {
        try {
          act(answer);
        } catch (error) {
          if (!(error instanceof CohortError)) throw error;
          answer(error);
        }
      });
    });
  }

  #send(act: () => void): void {
    if (!this.#closed && !this.#life.ended) this.wire.toWarden(act);
  }

  vm(): Vm {
    const warden = this.#warden;
    const simply =
      (what: string, act: (name: string) => void) =>
      (name: string): Promise<void> =>
        this.#ask(`${what} ${name}`, (answer) => answer(act(name)));
    return {
      identity: {
        wardenId: warden.wardenId,
        binarySha256: "00",
        features: [],
        sandboxesMax: 4000,
        windowBytesMax: 1 << 20,
        memoryBytesTotal: 1 << 30,
      },
      create: (plan) => this.#ask(`create ${plan.name}`, (answer) => warden.create(plan, answer)),
      exec: (name, plan) => this.#ask(`exec ${name} ${plan.execId}`, (answer) => warden.exec(name, plan, answer)),
      writeStdin: (name, execId, offset, bytes, fin) => this.#send(() => warden.stdin(name, execId, offset, bytes, fin)),
      writeTools: (name, execId, offset, bytes) => this.#send(() => warden.toolsIn(name, execId, offset, bytes)),
      ackOutput: (name, execId, stream, offset) => this.#send(() => warden.ack(name, execId, stream, offset)),
      ackExit: (name, execId) => this.#send(() => warden.ackExit(name, execId)),
      setWindow: () => {},
      signal: (name, execId, signal) => this.#ask(`signal ${name} ${signal}`, (answer) => answer(warden.signal(name, execId, signal))),
      resize: simply("resize", () => {}),
      setDeadline: (name, timeoutMs) =>
        this.#ask(`deadline ${name}`, (answer) => answer(warden.setDeadline(warden.alive(name), timeoutMs))),
      freeze: simply("freeze", (name) => warden.alive(name).freeze(true)),
      thaw: simply("thaw", (name) => warden.alive(name).freeze(false)),
      kill: simply("kill", (name) => warden.kill(name)),
      stats: (name) =>
        this.#ask(`stats ${name}`, (answer) => {
          warden.alive(name);
          answer(NO_STATS);
        }),
      grant: (name, plan) => this.#ask(`grant ${name} ${plan.grantId}`, (answer) => answer(warden.grant(name, plan))),
      revoke: (name, grantId) => this.#ask(`revoke ${name} ${grantId}`, (answer) => answer(warden.revoke(name, grantId, "revoked"))),
      probe: () => this.#ask("probe", (answer) => answer({ inside: ["uid"], outside: ["uid"] })),
      destroy: (name) => this.#ask(`destroy ${name}`, (answer) => warden.destroy(name, answer)),
      list: () =>
        this.#ask("list", (answer) => {
          answer(warden.list());
          warden.listed();
        }),
      shutdown: () => this.#ask("shutdown", (answer) => answer(null)),
      close: () => {
        if (this.#closed) return;
        this.#end();
        this.wire.end();
        warden.closedBy(this);
      },
    };
  }
}
