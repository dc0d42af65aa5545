/** A world for the machines in which everything that can happen to a sandbox happens, in an order and with outcomes that a list of numbers chooses. */
import type { ActorEvent, Json } from "../../runtime/kernel/actions.ts";
import type { ExitFacts } from "../../machines/messages/facts.ts";
import { PureHost, type Pending } from "./pure-host.ts";

export const cleanExit: ExitFacts = {
  cause: "exited",
  code: 0,
  signal: 0,
  oomKilled: false,
  deadlineHit: false,
  leaseExpired: false,
  outIsEmpty: false,
  wallUs: 1500,
  cpuUs: 900,
  maxRssKib: 2048,
  stdoutBytes: 3,
  stderrBytes: 0,
};

export class OutcomeModel {
  readonly host = new PureHost();
  /** Sandboxes in which a process runs. */
  readonly live = new Set<string>();
  readonly executions = new Map<string, number>();
  readonly #numbers: readonly number[];
  #at = 0;

  constructor(numbers: readonly number[]) {
    this.#numbers = numbers;
  }

  choose(below: number): number {
    const value = this.#numbers[this.#at % this.#numbers.length] ?? 0;
    this.#at += 1;
    return (value + Math.floor(this.#at / this.#numbers.length)) % below;
  }

  /** One thing happens. False when nothing is left to happen. */
  step(): boolean {
    const { pending } = this.host;
    const timersOnly = pending.every((item) => item.kind === "timer");
    if (pending.length === 0 || (timersOnly && this.live.size > 0)) return this.#end();
    const item = pending[this.choose(pending.length)];
    if (item === undefined) return false;
    // Timers come when nothing else is left, or now and then.
    if (item.kind === "timer" && !timersOnly && this.choose(4) !== 0) return true;
    const first =
      item.kind === "event" ? pending.find((other) => other.kind === "event" && other.from === item.from && other.to === item.to) : item;
    if (first === undefined) return false;
    pending.splice(pending.indexOf(first), 1);
    this.#happen(first);
    return true;
  }

  #happen(item: Pending): void {
    switch (item.kind) {
      case "event":
        this.host.deliver(item.to, item.event);
        return;
      case "timer":
        this.host.deliver(item.owner, { type: "timer", name: item.name });
        return;
      case "effect":
        return this.#effect(item.owner, item.name, item.key, item.params);
    }
  }

  /** A process ends by itself, or its warden is gone. */
  #end(): boolean {
    const name = [...this.live][this.choose(Math.max(1, this.live.size))];
    if (name === undefined) return false;
    const [owner] = name.split("#");
    this.live.delete(name);
    const ends: ActorEvent[] = [
      { type: "exited", exit: cleanExit },
      { type: "exited", exit: { ...cleanExit, code: 1 } },
      { type: "exited", exit: { ...cleanExit, cause: "signaled", signal: 9, oomKilled: true } },
      { type: "lost", status: "unknown" },
    ];
    this.#event(owner ?? "", ends[this.choose(ends.length)]);
    return true;
  }

  #effect(owner: string, name: string, key: string, params: Record<string, Json>): void {
    const attempt = `${owner}#${String(params["attempt"])}`;
    const policy = { retries: 2, idempotent: this.choose(2) === 0, timeoutMs: this.choose(2) * 1000 };
    switch (name) {
      case "sandbox.start": {
        const outcome = this.choose(6);
        if (outcome === 0) return this.#event(owner, { type: "startFailed", status: "refused", policy });
        if (outcome === 1) return this.#event(owner, { type: "effectFailed", name, key, code: "INTERNAL", message: "" });
        this.executions.set(attempt, (this.executions.get(attempt) ?? 0) + 1);
        if (outcome === 2) this.#event(owner, { type: "exited", exit: cleanExit });
        else this.live.add(attempt);
        return this.#event(owner, { type: "started", policy });
      }
      case "sandbox.kill":
      case "sandbox.signal":
        if (this.choose(5) === 0) return this.#event(owner, { type: "effectFailed", name, key, code: "WARDEN_GONE", message: "" });
        if (name === "sandbox.signal" && this.choose(2) === 0) return;
        if (this.live.delete(attempt)) this.#event(owner, { type: "exited", exit: { ...cleanExit, cause: "signaled", signal: 9 } });
        return;
      case "sandbox.settle":
        if (this.choose(4) === 0) return this.#event(owner, { type: "effectFailed", name, key, code: "JOURNAL_FULL", message: "" });
        return this.#event(owner, { type: "settled", record: { offset: 0, bytes: 10 }, gone: this.choose(3) > 0 });
      case "sandbox.destroy":
        if (this.choose(3) === 0) return this.#event(owner, { type: "effectFailed", name, key, code: "DEADLINE", message: "" });
        return this.#event(owner, { type: "destroyed" });
      case "run.cancelScope":
        if (this.choose(3) === 0) return this.#event(owner, { type: "effectFailed", name, key, code: "INTERNAL", message: "" });
        return this.host.cancelScope("grace", String(params["reason"]));
      case "run.ended":
        return;
      default:
        throw new Error(`no such effect: ${name}`);
    }
  }

  #event(to: string, event: ActorEvent | undefined): void {
    if (event !== undefined) this.host.pending.push({ kind: "event", from: `world of ${to}`, to, event });
  }
}
