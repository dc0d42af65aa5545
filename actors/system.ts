/**
 * The one file that wires everything: journal, content, link to the warden, machines and their effects; and what the daemon may ask.
 * Owns the life of all of them: opened in order, closed in reverse.
 *
 * 1. A run is accepted when its content and its actor are on the disk; the same key answers the same run, before and after any crash.
 * 2. Nothing that is asked here waits for a child.
 * 3. stop() leaves children to their warden; the next system takes them up.
 */
import { createHash, randomInt } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Origin, Runtime } from "../runtime/contract.ts";
import { CohortError } from "../runtime/kernel/error.ts";
import { openRuntimeLog, type OpenedLog } from "../runtime/log/runtime-log.ts";
import { openRuntime } from "../runtime/runtime.ts";
import type { DoctorReport, ExecItem, OutputItem, RunEventItem, RunStarted } from "../machines/messages/api.ts";
import type { ChildRow } from "../machines/messages/facts.ts";
import type { ChildSummary, RunSummary } from "../machines/messages/result.ts";
import type { RunInput } from "../machines/messages/run-events.ts";
import type { RunSpec } from "../machines/messages/task.ts";
import { childDefinition, childEffectDefinitions } from "./child-actor.ts";
import { Content } from "./content.ts";
import type { ExecRequest, LogsRequest, OpenSystem, System, SystemOptions } from "./contract.ts";
import { doctorReport } from "./doctor.ts";
import { LiveOutput } from "./live-output.ts";
import { relayDefinition } from "./relay-actor.ts";
import { ResultFile } from "./result-file.ts";
import { runDefinition, runEffectDefinitions, runScope } from "./run-actor.ts";
import { RunJournal, type CursoredResult } from "./run-journal.ts";
import { checkRunSpec } from "./run-request.ts";
import type { Session } from "./session.ts";
import { SessionTable } from "./session-table.ts";
import { shell } from "./shell.ts";
import { taskLogs } from "./task-logs.ts";
import { VmLink } from "./vm-link.ts";

/** How long a new run waits for a warden before it is refused. */
const WARDEN_WAIT_MS = 5000;
const CHILDREN_PAGE_ROWS = 1000;
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

interface Parts {
  readonly runtime: Runtime;
  readonly content: Content;
  readonly results: ResultFile;
  readonly table: SessionTable;
  readonly link: VmLink;
  readonly live: LiveOutput;
  readonly log: OpenedLog;
  readonly cores: number;
  /** Runs that have not ended. */
  readonly busyRuns: Set<string>;
}

class CohortSystem implements System {
  readonly #parts: Parts;
  readonly #journal: RunJournal;
  /** Starts of keyed runs under way in this process: the second waits for the first. */
  readonly #starting = new Map<string, Promise<RunStarted>>();
  readonly #stopping = new AbortController();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#journal = new RunJournal(parts.runtime, parts.content, parts.results);
  }

  async startRun(spec: RunSpec, key: string | undefined, origin: Origin): Promise<RunStarted> {
    if (key === undefined) return this.#start(newRunId(Date.now()), spec, null, origin);
    const run = keyedRunId(key);
    const underWay = this.#starting.get(run);
    if (underWay !== undefined) return { ...(await underWay), created: false };
    const starting = this.#start(run, spec, key, origin);
    this.#starting.set(run, starting);
    try {
      return await starting;
    } finally {
      this.#starting.delete(run);
    }
  }

  async #start(run: string, spec: RunSpec, key: string | null, origin: Origin): Promise<RunStarted> {
    const { runtime, content, link, busyRuns, cores } = this.#parts;
    if (key !== null && ((await runtime.get("runs", run)) ?? null) !== null) return { run, created: false };
    await checkRunSpec(spec);
    await link.ready(this.#stopping.signal, WARDEN_WAIT_MS);
    const { title, halt, deadlineMs, tasks, resumes } = spec;
    const total = tasks.length;
    const jobs = spec.jobs ?? cores * 2;
    const counterBase = await runtime.reserve("sessions", total);
    await content.createRun({ run, title, key, jobs, halt, deadlineMs: deadlineMs ?? null, total, resumes: resumes ?? null }, tasks);
    const createdAtMs = Date.now();
    const input: RunInput = {
      run,
      total,
      jobs,
      halt,
      createdAtMs,
      deadlineAtMs: deadlineMs === undefined ? null : createdAtMs + deadlineMs,
      counterBase,
    };
    busyRuns.add(run);
    try {
      return { run, created: await runtime.spawn(`run:${run}`, input, { origin, scope: runScope(run) }) };
    } catch (error) {
      busyRuns.delete(run);
      throw error;
    }
  }

  async resumeRun(run: string, origin: Origin): Promise<RunStarted> {
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
    return this.startRun(
      { title: head.title, jobs: head.jobs, halt: head.halt, ...deadline, tasks, resumes: { run, indexes } },
      undefined,
      origin,
    );
  }

  async cancelRun(run: string, mode: "grace" | "kill", reason: string, origin: Origin): Promise<void> {
    const row = await this.#journal.row(run);
    if (row.finishedAtMs === null) await this.#parts.runtime.cancelScope(runScope(run), mode, reason, origin);
  }

  async run(run: string): Promise<RunSummary> {
    return this.#journal.summary(await this.#journal.row(run));
  }

  async runs(limit: number): Promise<readonly RunSummary[]> {
    const rows = await this.#journal.rows();
    return Promise.all(rows.slice(0, limit).map((row) => this.#journal.summary(row)));
  }

  async results(
    run: string,
    after: number,
    limit: number,
  ): Promise<{ readonly results: readonly CursoredResult[]; readonly next: number | null }> {
    await this.#journal.row(run);
    return this.#journal.results(run, after, limit);
  }

  watch(run: string, after: number, signal: AbortSignal): AsyncIterable<RunEventItem> {
    return this.#journal.watch(run, after, AbortSignal.any([signal, this.#stopping.signal]));
  }

  async children(): Promise<readonly ChildSummary[]> {
    const rows = await childRows(this.#parts.runtime);
    return Promise.all(
      rows.map(async ({ name, row }): Promise<ChildSummary> => {
        const { run, index, attempt, state, startedAtMs, lastSignAtMs } = row;
        const { title } = await this.#parts.content.task(run, index);
        return { child: name, run, index, attempt, title, state, startedAtMs, lastSignAtMs };
      }),
    );
  }

  async *logs(request: LogsRequest, signal: AbortSignal): AsyncGenerator<OutputItem> {
    const { content, live, table, runtime } = this.#parts;
    const { run, index } = request;
    const row = await this.#journal.row(run);
    if (index >= row.counts.total)
      throw new CohortError("TASK_UNKNOWN", { on: `${run} has ${row.counts.total} tasks, none of them is ${index}` });
    await content.head(run);
    const parts = {
      live,
      transcriptPath: (...id: [string, number, number]) => content.transcriptPath(...id),
      isLive: (...[ofRun, ofIndex, attempt]: [string, number, number]) => table.attemptOf(ofRun, ofIndex) === attempt,
      latestAttempt: async (): Promise<number | "not-yet" | "never"> => {
        const running = table.attemptOf(run, index);
        if (running !== null) return running;
        const settled = (await this.#journal.attempts(run, index)).at(-1);
        if (settled !== undefined) return settled.attempt;
        return (await runtime.get("runs", run)) === null || (await this.#journal.row(run)).finishedAtMs !== null ? "never" : "not-yet";
      },
    };
    yield* taskLogs(parts, request, AbortSignal.any([signal, this.#stopping.signal]));
  }

  exec(request: ExecRequest, signal: AbortSignal): AsyncIterable<ExecItem> {
    const session = this.#session(request.child);
    const vm = this.#parts.link.current;
    if (vm === null) throw new CohortError("WARDEN_ABSENT");
    return shell(vm, this.#parts.table, session, request, AbortSignal.any([signal, this.#stopping.signal]));
  }

  async resizeExec(child: string, execId: number, rows: number, columns: number): Promise<void> {
    this.#session(child);
    await this.#parts.link.call(this.#stopping.signal, (vm) => vm.resize(child, execId, rows, columns));
  }

  async doctor(child: string | undefined): Promise<DoctorReport> {
    if (child !== undefined) this.#session(child);
    return doctorReport(this.#parts.link.current, child, this.#parts.runtime.stats().eventLoopDelayP99Ms);
  }

  busy(): boolean {
    return this.#parts.busyRuns.size > 0 || this.#starting.size > 0;
  }

  async stop(): Promise<void> {
    const { runtime, link, table, results, content, log } = this.#parts;
    this.#stopping.abort(new CohortError("CANCELLED", { on: "the system stops" }));
    await link.stop();
    await runtime.stop();
    await table.closeAll();
    await results.closeAll();
    await content.closeAll();
    log.close();
  }

  #session(child: string): Session {
    const session = this.#parts.table.find(child);
    if (session === undefined) throw new CohortError("CHILD_UNKNOWN", { on: child });
    return session;
  }
}

async function childRows(runtime: Runtime): Promise<{ readonly name: string; readonly row: ChildRow }[]> {
  const found: { readonly name: string; readonly row: ChildRow }[] = [];
  for (let after: string | undefined; ;) {
    const page = await runtime.list("children", { ...(after === undefined ? {} : { after }), limit: CHILDREN_PAGE_ROWS });
    for (const { key, value } of page) found.push({ name: key, row: value as unknown as ChildRow });
    const last = page.at(-1);
    if (last === undefined || page.length < CHILDREN_PAGE_ROWS) return found;
    after = last.key;
  }
}

/** Rejects with what openRuntime rejects with. The warden may be absent: children wait for it. */
export const openSystem: OpenSystem = async (options: SystemOptions) => {
  const { stateDirectory, connectVm, cores } = options;
  const contentDirectory = join(stateDirectory, "content");
  await mkdir(contentDirectory, { recursive: true, mode: 0o700 });
  const log = openRuntimeLog(join(stateDirectory, "system.log"));
  const content = new Content(contentDirectory);
  const results = new ResultFile(content);
  const live = new LiveOutput();
  const table = new SessionTable({ content, live, wardenIdPath: join(stateDirectory, "warden-id"), log: log.log });
  const link = new VmLink({
    connect: connectVm,
    events: table.events,
    reconcile: (vm) => table.reconcile(vm),
    disconnected: () => table.disconnected(),
    absent: () => table.loseAll(),
    log: log.log,
  });
  const busyRuns = new Set<string>();
  const opened = Promise.withResolvers<Runtime>();
  const ended = async (run: string): Promise<void> => {
    busyRuns.delete(run);
    await results.close(run);
    content.release(run);
  };
  await table.loadWardenId();
  const runtime = await openRuntime({
    directory: join(stateDirectory, "journal"),
    definitions: [runDefinition, childDefinition, relayDefinition],
    effects: [...runEffectDefinitions({ runtime: opened.promise, ended }), ...childEffectDefinitions({ content, results, table, link })],
  });
  opened.resolve(runtime);
  await table.restore(runtime, await childRows(runtime));
  const system = new CohortSystem({ runtime, content, results, table, link, live, log, cores, busyRuns });
  for (const { run, finishedAtMs } of await new RunJournal(runtime, content, results).rows()) if (finishedAtMs === null) busyRuns.add(run);
  link.start();
  return system;
};
