/** What a watcher of one run knows of it: owns nothing but the state that events build; reads no clock, writes nowhere. */
import type { ChildSummary, Condition, ProgressReport, RunCounts, RunEvent, TaskResult } from "../../../machines/messages/result.ts";

export interface RunningTask {
  readonly index: number;
  readonly attempt: number;
  readonly child: string;
  readonly title: string;
  readonly state: ChildSummary["state"];
  readonly startedAtMs: number;
  /** Null until the supervisor told. */
  readonly lastSignAtMs: number | null;
  readonly condition: Condition;
  readonly progress: ProgressReport | null;
}

export interface FailedTask {
  readonly index: number;
  readonly title: string;
  readonly verdict: string;
}

export interface SlowTask {
  readonly index: number;
  readonly title: string;
  readonly wallMs: number;
}

export type RunEnd = Extract<RunEvent, { type: "run-finished" }>["status"];

export const FAILURES_KEPT_MAX = 10;
export const SLOWEST_KEPT_MAX = 3;

/** Enough of a run's id to name it again, and to be read. */
export function shortRun(run: string): string {
  return run.slice(0, 8);
}

export function isFailure(result: TaskResult): boolean {
  return result.status !== "succeeded" && result.status !== "cancelled";
}

const SIGNALS: Readonly<Record<number, string>> = {
  1: "SIGHUP",
  2: "SIGINT",
  3: "SIGQUIT",
  4: "SIGILL",
  6: "SIGABRT",
  7: "SIGBUS",
  8: "SIGFPE",
  9: "SIGKILL",
  11: "SIGSEGV",
  13: "SIGPIPE",
  14: "SIGALRM",
  15: "SIGTERM",
};

/** One or two words: `ok`, `exit 3`, `SIGSEGV`, `timed out`. */
export function verdictOf(result: TaskResult): string {
  switch (result.status) {
    case "succeeded":
      return "ok";
    case "failed":
      return `exit ${result.exitCode ?? "?"}`;
    case "signaled":
      return SIGNALS[result.signal ?? 0] ?? `signal ${result.signal ?? "?"}`;
    case "timed-out":
      return "timed out";
    case "stuck":
      return "stuck";
    case "out-of-memory":
      return "out of memory";
    case "output-limit":
      return "too much output";
    case "cancelled":
      return "cancelled";
    case "not-started":
      return "could not be started";
    case "refused":
      return "refused";
    case "sandbox-died":
      return "its sandbox died";
    case "lost":
      return "lost";
    case "unknown":
      return "outcome unknown";
  }
}

/** Why, for a person: empty where the verdict says it all. A task that succeeded has a detail only when something of it was lost. */
export function reasonOf(result: TaskResult): string {
  const saysAll: readonly TaskResult["status"][] = ["cancelled", "timed-out", "out-of-memory", "output-limit"];
  return saysAll.includes(result.status) ? "" : result.detail;
}

export class RunView {
  readonly run: string;
  readonly title: string;
  readonly running = new Map<number, RunningTask>();
  /** The first ones. */
  readonly failures: TaskResult[] = [];
  /** The latest, for the live view. */
  readonly latestFailures: FailedTask[] = [];
  readonly slowest: SlowTask[] = [];
  /** The first tasks that were refused something, and how many there were. */
  readonly refusals: TaskResult[] = [];
  refusedTasks = 0;
  /** Questions that wait for a person, by the task that asks. */
  readonly asking = new Map<number, Set<string>>();
  counts: RunCounts;
  startedAtMs: number | null = null;
  finishedAtMs: number | null = null;
  end: RunEnd | null = null;
  cancelling: "grace" | "kill" | null = null;
  readonly #titleOf: (index: number) => string | undefined;
  readonly #titles = new Map<number, string>();

  constructor(run: string, title: string, total: number, titleOf: (index: number) => string | undefined) {
    this.run = run;
    this.title = title;
    this.counts = { total, waiting: total, running: 0, succeeded: 0, cancelled: 0, failed: 0 };
    this.#titleOf = titleOf;
  }

  titleOf(index: number): string {
    return this.#titleOf(index) ?? this.#titles.get(index) ?? `task ${index}`;
  }

  apply(event: RunEvent): void {
    switch (event.type) {
      case "run-started":
        this.startedAtMs = event.atMs;
        this.counts = { ...this.counts, total: event.total, waiting: event.total };
        return;
      case "task-started":
        this.#started(event.index, event.attempt, event.child, event.atMs);
        return;
      case "task-retried": {
        const running = this.running.get(event.index);
        if (running !== undefined) this.running.set(event.index, { ...running, state: "destroying" });
        return;
      }
      case "task-finished":
        this.#finished(event.index, event.result);
        return;
      case "run-cancelling":
        this.cancelling = event.mode;
        return;
      case "run-finished":
        this.finishedAtMs = event.atMs;
        this.end = event.status;
        this.counts = event.summary;
        this.running.clear();
        return;
      case "approval-requested":
        this.asking.set(event.index, (this.asking.get(event.index) ?? new Set()).add(event.approval));
        return;
      case "approval-answered": {
        const asked = this.asking.get(event.index);
        asked?.delete(event.approval);
        if (asked?.size === 0) this.asking.delete(event.index);
        return;
      }
      case "task-stuck":
        this.#changed(event.index, { type: "stuck", clock: event.clock, sinceMs: event.sinceMs });
        return;
      case "task-unstuck":
        this.#changed(event.index, { type: "working" });
        return;
      case "grant-attached":
      case "grant-ended":
      case "denied":
        return;
    }
  }

  /** What the supervisor tells of living children: fresher states, signs of life, titles of tasks that this process did not write. */
  observe(children: readonly ChildSummary[]): void {
    for (const seen of children) {
      if (seen.run !== this.run) continue;
      const running = this.running.get(seen.index);
      if (running === undefined || running.child !== seen.child) continue;
      if (this.#titleOf(seen.index) === undefined) this.#titles.set(seen.index, seen.title);
      const { state, lastSignAtMs, condition, progress } = seen;
      this.running.set(seen.index, { ...running, title: this.titleOf(seen.index), state, lastSignAtMs, condition, progress });
    }
  }

  #started(index: number, attempt: number, child: string, atMs: number): void {
    const again = this.running.has(index);
    this.running.set(index, {
      index,
      attempt,
      child,
      title: this.titleOf(index),
      state: "running",
      startedAtMs: atMs,
      lastSignAtMs: null,
      condition: { type: "working" },
      progress: null,
    });
    if (!again) this.counts = { ...this.counts, waiting: Math.max(0, this.counts.waiting - 1), running: this.counts.running + 1 };
  }

  #changed(index: number, condition: Condition): void {
    const running = this.running.get(index);
    if (running !== undefined) this.running.set(index, { ...running, condition });
  }

  #finished(index: number, result: TaskResult): void {
    const { counts } = this;
    const wasRunning = this.running.delete(index);
    this.asking.delete(index);
    this.#titles.delete(index);
    this.counts = {
      ...counts,
      running: counts.running - (wasRunning ? 1 : 0),
      waiting: Math.max(0, counts.waiting - (wasRunning ? 0 : 1)),
      succeeded: counts.succeeded + (result.status === "succeeded" ? 1 : 0),
      cancelled: counts.cancelled + (result.status === "cancelled" ? 1 : 0),
      failed: counts.failed + (isFailure(result) ? 1 : 0),
    };
    if (isFailure(result)) {
      if (this.failures.length < FAILURES_KEPT_MAX) this.failures.push(result);
      this.latestFailures.push({ index, title: result.title, verdict: verdictOf(result) });
      if (this.latestFailures.length > FAILURES_KEPT_MAX) this.latestFailures.shift();
    }
    if (result.deniedTimes > 0) {
      this.refusedTasks += 1;
      if (this.refusals.length < FAILURES_KEPT_MAX) this.refusals.push(result);
    }
    this.slowest.push({ index, title: result.title, wallMs: result.wallMs });
    this.slowest.sort((left, right) => right.wallMs - left.wallMs);
    this.slowest.length = Math.min(this.slowest.length, SLOWEST_KEPT_MAX);
  }
}
