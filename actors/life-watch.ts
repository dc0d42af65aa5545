/**
 * Owns the timer that looks whether running children still live, and tells their machines of those that do not.
 * Does not own what is seen (life-signs.ts), nor what follows (the child's machine).
 *
 * 1. Only who has been silent for a while is looked at, at most LOOKS_PER_TICK_MAX a second, whoever was not looked at for longest first.
 * 2. Stuck needs evidence: a look, at least stuckAfterMs after the last sign of life, that found the processor unused.
 */
import { isCohortError } from "../runtime/kernel/error.ts";
import type { ActorEvent } from "../runtime/kernel/actions.ts";
import type { RuntimeLog } from "../runtime/log/runtime-log.ts";
import type { Task } from "../machines/messages/task.ts";
import type { Vm } from "../vm/backend.ts";
import type { LifeSigns } from "./life-signs.ts";
import type { Session } from "./session.ts";

export interface LifeWatchPorts {
  /** Whose process runs. */
  running(): readonly Session[];
  /** It waits for a person's answer. */
  isAsking(name: string): boolean;
  vm(): Vm | null;
  post(session: Session, event: ActorEvent): Promise<unknown>;
  /** A sentence that its result will show. */
  note(session: Session, text: string): Promise<void>;
  readonly log: RuntimeLog;
}

const TICK_MS = 500;
/** Silent for so long, output alone is no evidence of life any more. */
const SILENT_MS = 2000;
const LOOK_EVERY_MS_MAX = 5000;
/** A look is a round trip to the warden that reads a few files of a cgroup: about 0.2 ms of a processor. */
const LOOKS_PER_TICK_MAX = 25;
/** Between two looks: an idle event loop's timers use less, any work uses more. */
const HEARTBEAT_CPU_US_MIN = 1000;
/** Long enough for a slow download or a long sleep to be rare, short enough that nobody waits an hour for nothing. */
export const STUCK_AFTER_MS_DEFAULT = 120_000;

export class LifeWatch {
  readonly #ports: LifeWatchPorts;
  #timer: NodeJS.Timeout | undefined;
  #busy = false;

  constructor(ports: LifeWatchPorts) {
    this.#ports = ports;
  }

  start(): void {
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    if (this.#busy) return;
    this.#busy = true;
    this.#look()
      .catch((error: unknown) => {
        if (!isCohortError(error, "CANCELLED")) this.#ports.log.error({ error }, "a look at the children failed");
      })
      .finally(() => (this.#busy = false));
  }

  async #look(): Promise<void> {
    const nowMs = Date.now();
    const sessions = this.#ports.running();
    for (const { id, signs } of sessions) if (this.#waits(id.name, signs)) signs.clocksFromMs = nowMs;
    const vm = this.#ports.vm();
    const due = sessions.filter((session) => vm !== null && isDue(session, nowMs));
    due.sort((one, other) => one.signs.lookedAtMs - other.signs.lookedAtMs);
    await Promise.all(due.slice(0, LOOKS_PER_TICK_MAX).map((session) => this.#lookAt(session, vm)));
    await Promise.all(sessions.map((session) => this.#judge(session)));
  }

  #waits(name: string, signs: LifeSigns): boolean {
    return signs.frozenSinceMs !== null || signs.diskSinceMs !== null || this.#ports.isAsking(name);
  }

  async #lookAt({ id, signs }: Session, vm: Vm | null): Promise<void> {
    try {
      const stats = await vm?.stats(id.name);
      if (stats !== undefined) signs.looked(stats.cpuUs, HEARTBEAT_CPU_US_MIN);
    } catch (error) {
      // Its sandbox, or the connection, is gone meanwhile: others tell of that.
      if (!isCohortError(error)) throw error;
    }
  }

  async #judge(session: Session): Promise<void> {
    const { id, signs, task } = session;
    if (this.#waits(id.name, signs)) return;
    const clock = runOut(signs, task, Date.now());
    if ((clock === null) === (signs.told === null)) return;
    const { attempt } = id;
    signs.told = clock;
    if (clock === null) {
      await this.#ports.post(session, { type: "unstuck", attempt });
      return;
    }
    const sinceMs = clock === "heartbeat" ? livedAtMs(signs) : spokeAtMs(signs);
    const ends = task?.onStuck === "cancel";
    if (ends) await this.#ports.note(session, sentence(clock, Date.now() - sinceMs));
    await this.#ports.post(session, { type: "stuck", attempt, clock, sinceMs, ends });
  }
}

function spokeAtMs({ progressAtMs, clocksFromMs }: LifeSigns): number {
  return Math.max(progressAtMs ?? 0, clocksFromMs);
}

function livedAtMs(signs: LifeSigns): number {
  return Math.max(spokeAtMs(signs), signs.heartbeatAtMs ?? 0);
}

function stuckAfterMs(task: Task | null): number {
  return task?.stuckAfterMs ?? STUCK_AFTER_MS_DEFAULT;
}

function isDue({ signs, task }: Session, nowMs: number): boolean {
  const afterMs = stuckAfterMs(task);
  if (nowMs - spokeAtMs(signs) < Math.min(SILENT_MS, afterMs / 2)) return false;
  return nowMs - signs.lookedAtMs >= Math.min(LOOK_EVERY_MS_MAX, afterMs / 4);
}

function runOut(signs: LifeSigns, task: Task | null, nowMs: number): LifeSigns["told"] {
  if (signs.lookedAtMs - livedAtMs(signs) >= stuckAfterMs(task)) return "heartbeat";
  const silentAfterMs = task?.silentAfterMs;
  return silentAfterMs !== undefined && nowMs - spokeAtMs(signs) >= silentAfterMs ? "progress" : null;
}

function sentence(clock: NonNullable<LifeSigns["told"]>, forMs: number): string {
  const seconds = Math.round(forMs / 100) / 10;
  return clock === "heartbeat"
    ? `it gave no sign of life for ${seconds} s, and its task says to end it then`
    : `it neither wrote nor reported anything for ${seconds} s, and its task says to end it then`;
}
