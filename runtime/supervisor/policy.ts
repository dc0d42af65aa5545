/** What supervision decides, as pure functions: who is restarted, when, and when a supervisor gives up. */
import type { ExitReason, RestartType, Strategy, Supervises } from "../contract.ts";
import { RESTART_DELAY_MS_MAX, RESTART_DELAY_MS_MIN, RESTART_WINDOW_MS, RESTARTS_MAX } from "../kernel/limits.ts";

/** Of actors without a supervisor among actors: each is on its own. */
export const DEFAULT_POLICY: Supervises = {
  strategy: "one-for-one",
  restartsMax: RESTARTS_MAX,
  windowMs: RESTART_WINDOW_MS,
  delayMsMin: RESTART_DELAY_MS_MIN,
  delayMsMax: RESTART_DELAY_MS_MAX,
};

export function wantsRestart(type: RestartType, reason: ExitReason): boolean {
  switch (reason) {
    case "done":
      return type === "permanent";
    case "failed":
    case "escalated":
      return type !== "temporary";
    case "cancelled":
      return false;
  }
}

/** Who shares the fate of `failed`, among its living siblings in the order they were spawned; `failed` is one of them. */
export function affected<T>(strategy: Strategy, siblings: readonly T[], failed: T): readonly T[] {
  switch (strategy) {
    case "one-for-one":
      return [failed];
    case "rest-for-one":
      return siblings.slice(siblings.indexOf(failed));
    case "all":
      return siblings;
  }
}

/** The restarts that still count at `atMs`. */
export function recentRestarts(restartsMs: readonly number[], windowMs: number, atMs: number): readonly number[] {
  return restartsMs.filter((restartMs) => atMs - restartMs < windowMs);
}

/** Before the `count`-th restart in the window; `random` is 0 … 1. */
export function restartDelayMs({ delayMsMin, delayMsMax }: Supervises, count: number, random: number): number {
  return Math.min(delayMsMax, delayMsMin * 2 ** Math.min(count - 1, 40)) * (0.5 + random / 2);
}
