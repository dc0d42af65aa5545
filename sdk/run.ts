/**
 * One run, as its client sees it.
 *
 * Owns nothing but the last cursor it has seen: the run lives in cohortd and goes on without this object.
 *
 * U1 events and results come once each and in order, across restarts of cohortd.
 * U2 a loop over them ends after the run finished; leaving it earlier changes nothing about the run.
 */
import { CohortError } from "../runtime/kernel/error.ts";
import type { CallAnswers, OutputItem, RunEventItem, RunPage } from "../machines/messages/api.ts";
import type { RunSummary, TaskResult } from "../machines/messages/result.ts";
import type { ActorReplayed } from "../runtime/replay/actor-replay.ts";
import type { Link } from "./link.ts";
import type { ChangedMachine } from "./replay.ts";
import { visibleSummary } from "./run-key.ts";

/** A stream that ends without run-finished is opened again so often. */
const EARLY_ENDS_MAX = 20;

/** Beyond the waiting: a cohortd that is busy answers late, not never. */
const POLL_ANSWER_MS = 30_000;

export type ResultsPage = CallAnswers["run.results"];

export class Run {
  readonly id: string;
  /** False when the key named an earlier run, and for attached runs. */
  readonly created: boolean;
  readonly #link: Link;
  #cursor = 0;
  #isFinished = false;
  #cancelFailure: Error | null = null;

  /** For class Cohort: use `run`, `map`, `attach` or `resume` there. */
  constructor(link: Link, id: string, created: boolean) {
    this.#link = link;
    this.id = id;
    this.created = created;
  }

  /**
   * Everything that happens in the run, from its start (or after a cursor), live until it finished. A slow reader loses nothing.
   * Throws RUN_UNKNOWN; CANCELLED when the signal aborts (which ends the reading, not the run).
   */
  async *events(options: { readonly after?: number; readonly signal?: AbortSignal } = {}): AsyncGenerator<RunEventItem, void> {
    let after = options.after ?? 0;
    for (let early = 0; early < EARLY_ENDS_MAX; early += 1) {
      for await (const item of this.#link.follow("run.watch", () => ({ run: this.id, after }), options.signal)) {
        after = item.cursor;
        this.#cursor = Math.max(this.#cursor, after);
        early = 0;
        if (item.event.type === "run-finished") this.#isFinished = true;
        yield item;
        if (item.event.type === "run-finished") return;
      }
    }
    throw new CohortError("TRANSPORT_CLOSED", { on: `the events of run ${this.id} end before it finished` });
  }

  /**
   * The same events for who asks now and then, and keeps the cursor: those behind `after`, at most `limit` (default 100, at most 1000; large ones are
   * fewer). When there are none it waits up to `waitMs` (default 0, at most a minute) for the first. Go on from `next`, until `finished`.
   * Throws RUN_UNKNOWN.
   */
  async poll(options: { readonly after?: number; readonly limit?: number; readonly waitMs?: number } = {}): Promise<RunPage> {
    const { waitMs = 0 } = options;
    return this.#link.call("run.poll", { run: this.id, ...options }, { repeatable: true, timeoutMs: waitMs + POLL_ANSWER_MS });
  }

  /** Results behind a cursor, oldest first, each with its own; `next` is null when there are no more now. Throws RUN_UNKNOWN. */
  async resultsAfter(after: number, options: { readonly limit?: number } = {}): Promise<ResultsPage> {
    return this.#link.call("run.results", { run: this.id, after, ...options }, { repeatable: true });
  }

  /** Each task's result, as it comes; ends when the run finished. Throws RUN_UNKNOWN. */
  async *results(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<TaskResult, void> {
    for await (const { event } of this.events(options)) {
      if (event.type === "task-finished") yield event.result;
    }
  }

  /**
   * Resolves when the cancellation is written down; the run's end comes as an event. Idempotent; kill overrides grace.
   * grace: SIGTERM, then SIGKILL after the grace period. kill: SIGKILL at once.
   */
  async cancel(mode: "grace" | "kill" = "grace", reason = ""): Promise<void> {
    await this.#link.call("run.cancel", { run: this.id, mode, reason }, { repeatable: true });
  }

  /** Waits for the end. Does not throw when tasks failed: see `counts` and `status`. */
  async finished(): Promise<RunSummary> {
    if (!this.#isFinished) {
      const events = this.events({ after: this.#cursor });
      while ((await events.next()).done !== true) if (this.#cancelFailure !== null) throw this.#cancelFailure;
    }
    return this.summary();
  }

  /** Where the run stands now. Throws RUN_UNKNOWN. */
  async summary(): Promise<RunSummary> {
    return visibleSummary(await this.#link.call("run.get", { run: this.id }, { repeatable: true }));
  }

  /**
   * Output of one task, stdout and stderr interleaved as it came, as bytes with their offset in their stream.
   * attempt: from 1; default the latest. follow: go on until the attempt ends. Throws TASK_UNKNOWN, CONTENT_GONE.
   */
  async *logs(
    index: number,
    options: { readonly follow?: boolean; readonly attempt?: number; readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<OutputItem, void> {
    const { follow = false, attempt, signal } = options;
    const offsets = { stdout: 0, stderr: 0 };
    const params = (): { run: string; index: number; follow: boolean; attempt?: number; stdoutOffset: number; stderrOffset: number } => ({
      run: this.id,
      index,
      follow,
      ...(attempt === undefined ? {} : { attempt }),
      stdoutOffset: offsets.stdout,
      stderrOffset: offsets.stderr,
    });
    for await (const item of this.#link.follow("task.logs", params, signal)) {
      offsets[item.stream] = item.offset + item.bytes.length;
      yield item;
    }
  }

  /**
   * Gives every event of the run's journal to the machines of this build again, in this process and without effects, and tells of each actor whether it
   * goes the same way; with `changed`, also the first event after which those machines would have gone another one. The run goes on meanwhile.
   * Throws RUN_UNKNOWN, MACHINE_REFUSED.
   */
  async *replay(options: { readonly changed?: readonly ChangedMachine[] } = {}): AsyncGenerator<ActorReplayed, void> {
    const { replayRun } = await import("./replay.ts");
    yield* replayRun(this.#link, this.id, options.changed ?? []);
  }

  /** Abort of the signal cancels the run with grace; a failure to do so comes out of finished(). */
  cancelOn(signal: AbortSignal): void {
    const cancel = (): void => {
      this.cancel("grace", "aborted by the client").catch((error: unknown) => {
        this.#cancelFailure = error instanceof Error ? error : new CohortError("INTERNAL", { on: String(error) });
      });
    };
    if (signal.aborted) cancel();
    else signal.addEventListener("abort", cancel, { once: true });
  }
}
