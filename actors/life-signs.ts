/**
 * Owns what this supervisor has seen of one attempt's life: output, reports, use of the processor, and what keeps it from going on.
 * Does not own what follows from it: the machine is told (life-watch.ts), people are shown it (machines/condition.ts).
 *
 * 1. While it is kept from going on (frozen, asking, its output unwritten) no clock runs.
 * 2. Its machine hears of output and reports at most once a second, of all children together PROGRESS_PER_SECOND_MAX times.
 */
import type { StuckFacts } from "../machines/messages/facts.ts";
import type { ProgressReport } from "../machines/messages/result.ts";

const PROGRESS_MS_MIN = 1000;
/** Progress events of all children together, so that thousands of talkative children leave room for the rest. */
const PROGRESS_PER_SECOND_MAX = 200;

export class LifeSigns {
  /** Output or a report; null: none was seen. */
  progressAtMs: number | null = null;
  /** As it was last looked at, it had used the processor since the look before. */
  heartbeatAtMs: number | null = null;
  /** The newest. */
  report: ProgressReport | null = null;
  frozenSinceMs: number | null = null;
  diskSinceMs: number | null = null;
  /** Clocks count from here: it began, or could go on again. */
  clocksFromMs = Date.now();
  cpuUs: number | null = null;
  /** At its use of the processor. */
  lookedAtMs = 0;
  /** What its machine was told. */
  told: StuckFacts["clock"] | null = null;
  #toldProgressAtMs = 0;

  /** An earlier supervisor saw it; nobody looked in between. */
  resume(lastSignAtMs: number, stuck: StuckFacts | undefined): void {
    this.progressAtMs = lastSignAtMs;
    if (stuck === undefined) return;
    this.told = stuck.clock;
    this.clocksFromMs = stuck.sinceMs;
  }

  begin(): void {
    this.clocksFromMs = Date.now();
  }

  said(report?: Omit<ProgressReport, "atMs">): void {
    this.progressAtMs = Date.now();
    if (report !== undefined) this.report = { ...report, atMs: this.progressAtMs };
  }

  /** Its output can, or cannot, be written down. */
  written(isWritten: boolean): void {
    this.diskSinceMs = isWritten ? null : (this.diskSinceMs ?? Date.now());
  }

  frozen(isFrozen: boolean): void {
    this.frozenSinceMs = isFrozen ? (this.frozenSinceMs ?? Date.now()) : null;
  }

  looked(cpuUs: number, cpuUsMin: number): void {
    this.lookedAtMs = Date.now();
    if (this.cpuUs !== null && cpuUs - this.cpuUs >= cpuUsMin) this.heartbeatAtMs = this.lookedAtMs;
    // What is less adds up.
    if (this.cpuUs === null || cpuUs - this.cpuUs >= cpuUsMin) this.cpuUs = cpuUs;
  }

  /** Whether its machine is to hear now that it made progress. The first output comes with the start, which is a sign of life of its own. */
  tellsProgress(children: number): boolean {
    const nowMs = Date.now();
    const intervalMs = Math.max(PROGRESS_MS_MIN, (1000 * children) / PROGRESS_PER_SECOND_MAX);
    if (nowMs - this.#toldProgressAtMs < intervalMs) return false;
    const isFirst = this.#toldProgressAtMs === 0;
    this.#toldProgressAtMs = nowMs;
    return !isFirst;
  }
}
