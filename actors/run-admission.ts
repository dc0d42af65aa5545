/**
 * Owns the way from a request to a run: its id, its name counters, its content on the disk, and then its actor.
 * Does not own the run from there on.
 *
 * 1. A run is accepted when its content and its actor are durable; at once or in this order, so that no run lacks its tasks.
 * 2. The same key answers the same run, before and after any crash: the key decides the run's id, and an id is spawned once.
 * 3. A request that cannot be carried out is refused whole, before anything runs.
 */
import { createHash, randomInt } from "node:crypto";
import type { Origin, Runtime } from "../runtime/contract.ts";
import { CohortError } from "../runtime/kernel/error.ts";
import type { RunStarted } from "../machines/messages/api.ts";
import type { RunInput } from "../machines/messages/run-events.ts";
import type { RunSpec } from "../machines/messages/task.ts";
import type { Content } from "./content.ts";
import { mountRefusal } from "./mount-access.ts";
import { runScope } from "./run-actor.ts";
import type { RunJournal } from "./run-journal.ts";
import { checkRunSpec } from "./run-request.ts";
import type { VmLink } from "./vm-link.ts";

/** Numbers of sessions reserved ahead, so that few runs wait for that commit; what a restart leaves unused is skipped. */
const SESSIONS_BLOCK = 1024;
/** How long a new run waits for a warden before it is refused. */
const WARDEN_WAIT_MS = 5000;
const RUN_ID_CHARS = 10;
/** Run ids sort by time: seconds since this moment, then chance. */
const ID_EPOCH_MS = Date.UTC(2025, 0, 1);

function newRunId(nowMs: number): string {
  const seconds = Math.floor((nowMs - ID_EPOCH_MS) / 1000)
    .toString(36)
    .padStart(6, "0");
  return `${seconds}${randomInt(36 ** (RUN_ID_CHARS - 6))
    .toString(36)
    .padStart(RUN_ID_CHARS - 6, "0")}`;
}

/** The same key names the same run for ever, without standing in the journal. */
function keyedRunId(key: string): string {
  return `k${createHash("sha256").update(`cohort run key\0${key}`).digest("hex").slice(0, 24)}`;
}

export interface AdmissionParts {
  readonly runtime: Runtime;
  /** Without symbolic links: tasks must not see it. */
  readonly stateDirectory: string;
  readonly content: Content;
  readonly link: VmLink;
  readonly cores: number;
  /** Runs that have not ended. */
  readonly busyRuns: Set<string>;
}

export class RunAdmission {
  readonly #parts: AdmissionParts;
  readonly #journal: RunJournal;
  readonly #stopping: AbortSignal;
  /** Starts of keyed runs under way in this process: the second waits for the first. */
  readonly #starting = new Map<string, Promise<RunStarted>>();
  /** Reserved and not yet given: from `next` up to `end`. */
  #sessions = { next: 0, end: 0 };

  constructor(parts: AdmissionParts, journal: RunJournal, stopping: AbortSignal) {
    this.#parts = parts;
    this.#journal = journal;
    this.#stopping = stopping;
  }

  async start(spec: RunSpec, key: string | undefined, origin: Origin): Promise<RunStarted> {
    if (key === undefined) return this.#admit(this.#freshId(), spec, null, origin);
    const run = keyedRunId(key);
    const underWay = this.#starting.get(run);
    if (underWay !== undefined) return { ...(await underWay), created: false };
    const starting = this.#admit(run, spec, key, origin);
    this.#starting.set(run, starting);
    try {
      return await starting;
    } finally {
      this.#starting.delete(run);
    }
  }

  /** An id decides where content is written: a chance repetition must not meet another run's. */
  #freshId(): string {
    for (;;) {
      const run = newRunId(Date.now());
      if (!this.#parts.busyRuns.has(run) && !this.#isKnown(run)) return run;
    }
  }

  #isKnown(run: string): boolean {
    return this.#parts.runtime.knows(`run:${run}`);
  }

  async #admit(run: string, spec: RunSpec, key: string | null, origin: Origin): Promise<RunStarted> {
    const { busyRuns } = this.#parts;
    const wasBusy = busyRuns.has(run);
    busyRuns.add(run);
    try {
      const started = await this.#spawn(run, spec, key, origin);
      if (!started.created && !wasBusy) busyRuns.delete(run);
      return started;
    } catch (error) {
      if (!wasBusy) busyRuns.delete(run);
      throw error;
    }
  }

  async #spawn(run: string, spec: RunSpec, key: string | null, origin: Origin): Promise<RunStarted> {
    const { runtime, stateDirectory, content, link, cores } = this.#parts;
    await checkRunSpec(spec, stateDirectory);
    const refusal = await mountRefusal(spec.tasks);
    const options = { origin, scope: runScope(run) };
    // Spawned again, so that the answer comes after the first one's commit.
    if (this.#isKnown(run)) return { run, created: await runtime.spawn(`run:${run}`, { run }, options) };
    if (refusal !== null) throw refusal;
    await link.ready(this.#stopping, WARDEN_WAIT_MS);
    const { title, halt, deadlineMs = null, preAnswers, tasks, resumes = null } = spec;
    const total = tasks.length;
    const jobs = spec.jobs ?? cores * 2;
    const head = { run, title, key, jobs, halt, deadlineMs, preAnswers, total, resumes };
    const [counterBase, files] = await Promise.all([this.#reserveSessions(total), content.createRun(head, tasks)]);
    const createdAtMs = Date.now();
    const deadlineAtMs = deadlineMs === null ? null : createdAtMs + deadlineMs;
    const input: RunInput = { run, total, jobs, halt, createdAtMs, deadlineAtMs, counterBase };
    return { run, created: await runtime.spawn(`run:${run}`, input, { ...options, files }) };
  }

  /** The first of `count` numbers, each of which names the sessions of one task. */
  async #reserveSessions(count: number): Promise<number> {
    const { next, end } = this.#sessions;
    if (next + count <= end) {
      this.#sessions = { next: next + count, end };
      return next;
    }
    const size = Math.max(count, SESSIONS_BLOCK);
    const first = await this.#parts.runtime.reserve("sessions", size);
    // Of two blocks that were reserved at once the larger rest is kept.
    if (size - count > this.#sessions.end - this.#sessions.next) this.#sessions = { next: first + count, end: first + size };
    return first;
  }

  /** A new run of those tasks that did not succeed. */
  async resume(run: string, key: string | undefined, origin: Origin): Promise<RunStarted> {
    const { content } = this.#parts;
    const row = await this.#journal.row(run);
    if (row.finishedAtMs === null)
      throw new CohortError("REQUEST_INVALID", { on: `run ${run} is still ${row.status}`, hint: "wait for its end, or cancel it first" });
    const head = await content.head(run);
    const succeeded = await this.#journal.succeeded(run);
    const indexes = Array.from({ length: head.total }, (_, index) => index).filter((index) => !succeeded.has(index));
    if (indexes.length === 0) throw new CohortError("REQUEST_INVALID", { on: `every task of run ${run} succeeded` });
    const tasks: RunSpec["tasks"] = [];
    for (const index of indexes) tasks.push(await content.task(run, index));
    const deadline = head.deadlineMs === null ? {} : { deadlineMs: head.deadlineMs };
    return this.start(
      {
        title: head.title,
        jobs: head.jobs,
        halt: head.halt,
        ...deadline,
        preAnswers: [...(head.preAnswers ?? [])],
        tasks,
        resumes: { run, indexes },
      },
      key,
      origin,
    );
  }
}
