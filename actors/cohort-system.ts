/**
 * What the daemon may ask of the actors, answered from what system.ts wired. Owns nothing but the moment of stopping.
 *
 * 1. Nothing that is asked here waits for a child.
 * 2. stop() leaves children to their warden; the next system takes them up.
 */
import type { Origin, Runtime } from "../runtime/contract.ts";
import { CohortError, isCohortError } from "../runtime/kernel/error.ts";
import type { HistoryCursor, HistoryPage } from "../runtime/kernel/history.ts";
import type { OpenedLog } from "../runtime/log/runtime-log.ts";
import type { ContentItem, DoctorReport, ExecItem, OutputItem, RunEventItem, RunPage, RunStarted } from "../machines/messages/api.ts";
import type { RunDeleted } from "../machines/messages/journal.ts";
import type { ChildSummary, RunSummary } from "../machines/messages/result.ts";
import type { RunSpec } from "../machines/messages/task.ts";
import type { Asks } from "./asks.ts";
import { childRows } from "./child-rows.ts";
import type { Content } from "./content.ts";
import { readContent, type ContentRequest } from "./content-reader.ts";
import type { Approvals, ExecRequest, Grants, JournalDoor, LogsRequest, RetentionOptions, System } from "./contract.ts";
import { Deletion, heldChanges } from "./deletion.ts";
import { doctorReport } from "./doctor.ts";
import type { Endpoints } from "./endpoints.ts";
import type { DenialFile } from "./denial-file.ts";
import type { Denials } from "./denials.ts";
import { childSummary } from "./child-summary.ts";
import { OpenJournalDoor } from "./journal-door.ts";
import type { LifeWatch } from "./life-watch.ts";
import type { LiveOutput } from "./live-output.ts";
import type { ResultFile } from "./result-file.ts";
import type { Permissions } from "./permissions/permissions.ts";
import { Retention } from "./retention.ts";
import { RunAdmission, type AdmissionParts } from "./run-admission.ts";
import { runScope } from "./run-actor.ts";
import { RunJournal, type CursoredResult } from "./run-journal.ts";
import type { Session } from "./session.ts";
import type { SessionTable } from "./session-table.ts";
import { shell } from "./shell.ts";
import type { StagedChanges } from "./staged-changes.ts";
import { freeze, thaw } from "./standing-still.ts";
import { taskLogs } from "./task-logs.ts";
import type { ToolsChannels } from "./tools-channels.ts";
import type { VmLink } from "./vm-link.ts";

export interface SystemParts extends AdmissionParts {
  readonly runtime: Runtime;
  readonly content: Content;
  readonly results: ResultFile;
  readonly denials: Denials;
  readonly denialFile: DenialFile;
  readonly permissions: Permissions;
  readonly diffs: StagedChanges;
  readonly endpoints: Endpoints;
  readonly table: SessionTable;
  readonly link: VmLink;
  readonly live: LiveOutput;
  readonly life: LifeWatch;
  readonly channels: ToolsChannels;
  readonly log: OpenedLog;
  readonly retentionOptions: RetentionOptions;
}

export class CohortSystem implements System {
  readonly #parts: SystemParts;
  readonly #journal: RunJournal;
  readonly #admission: RunAdmission;
  readonly #stopping = new AbortController();
  readonly #deletion: Deletion;
  readonly #retention: Retention;
  readonly journal: JournalDoor;

  constructor(parts: SystemParts) {
    this.#parts = parts;
    const { runtime, content, results, denialFile, diffs } = parts;
    const log = parts.log.log;
    const journal = new RunJournal(runtime, content, results);
    this.#journal = journal;
    this.journal = new OpenJournalDoor({ runtime, content, results, journal });
    this.#deletion = new Deletion({
      ...{ runtime, content, journal, results, denialFile, log },
      held: (run) => heldChanges(this.grants, run),
      applies: (run) => diffs.isApplying(run),
    });
    this.#retention = new Retention({ runtime, journal, deletion: this.#deletion, options: parts.retentionOptions, log });
    this.#admission = new RunAdmission(parts, this.#journal, this.#stopping.signal);
  }

  startRun(spec: RunSpec, key: string | undefined, origin: Origin): Promise<RunStarted> {
    return this.#admission.start(spec, key, origin);
  }

  resumeRun(run: string, key: string | undefined, origin: Origin): Promise<RunStarted> {
    return this.#admission.resume(run, key, origin);
  }

  async cancelRun(run: string, mode: "grace" | "kill", reason: string, origin: Origin): Promise<void> {
    const row = await this.#journal.row(run);
    if (row.finishedAtMs === null) await this.#parts.runtime.cancelScope(runScope(run), mode, reason, origin);
  }

  deleteRun(run: string, discard: boolean, origin: Origin): Promise<RunDeleted> {
    return this.#deletion.delete(run, discard, origin);
  }

  /** In the background: what an earlier supervisor began to delete; then the look for what is old. */
  keepHouse(): void {
    this.#deletion.finish().catch((error: unknown) => this.#parts.log.log.error({ error }, "a deletion could not be finished"));
    this.#retention.start();
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

  async history(run: string, after: HistoryCursor | null, limit: number): Promise<HistoryPage> {
    // Of a deleted run there are tombstones.
    if ((await this.#journal.deletedAtMs(run)) === null) await this.#journal.row(run);
    return this.#parts.runtime.history(runScope(run), after, limit);
  }

  poll(run: string, after: number, limit: number, waitMs: number, signal: AbortSignal): Promise<RunPage> {
    return this.#journal.poll(run, after, limit, waitMs, AbortSignal.any([signal, this.#stopping.signal]));
  }

  read(request: ContentRequest, signal: AbortSignal): AsyncIterable<ContentItem> {
    return readContent(this.#parts.content, request, AbortSignal.any([signal, this.#stopping.signal]));
  }

  watch(run: string, after: number, signal: AbortSignal): AsyncIterable<RunEventItem> {
    return this.#journal.watch(run, after, AbortSignal.any([signal, this.#stopping.signal]));
  }

  async children(): Promise<readonly ChildSummary[]> {
    const { runtime, table, denials } = this.#parts;
    const rows = await childRows(runtime);
    const titles = await Promise.all(rows.map(({ row }) => this.#titleOf(row.run, row.index)));
    const seen = { hasWarden: this.connected(), nowMs: Date.now() };
    return rows.map(({ name, row }, at) =>
      childSummary(name, row, { ...seen, title: titles[at] ?? "", session: table.find(name), deniedTimes: denials.times(name) }),
    );
  }

  async #titleOf(run: string, index: number): Promise<string> {
    try {
      return (await this.#parts.content.task(run, index)).title;
    } catch (error) {
      if (!isCohortError(error, "CONTENT_GONE")) throw error;
      return "";
    }
  }

  async *logs(request: LogsRequest, signal: AbortSignal): AsyncGenerator<OutputItem> {
    const { content, live, table, runtime, busyRuns } = this.#parts;
    const { run, index } = request;
    // A run that lives is asked for the moment it was started: its content knows as much as the journal, and is at hand.
    const isAlive = busyRuns.has(run) && runtime.knows(`run:${run}`);
    const row = isAlive ? null : await this.#journal.row(run);
    const { total } = await content.head(run);
    const tasks = row?.counts.total ?? total;
    if (index >= tasks) throw new CohortError("TASK_UNKNOWN", { on: `the tasks of run ${run} are 0 to ${tasks - 1}, not ${index}` });
    const parts = {
      live,
      transcriptPath: (...id: [string, number, number]) => content.transcriptPath(...id),
      session: (attempt: number) => {
        const session = table.sessionOf(run, index);
        return session?.id.attempt === attempt ? session : null;
      },
      latestAttempt: async (): Promise<number | "not-yet" | "never"> => {
        const running = table.sessionOf(run, index);
        if (running !== null) return running.id.attempt;
        const settled = (await this.#journal.attempts(run, index)).at(-1);
        if (settled !== undefined) return settled.attempt;
        if ((await runtime.get("runs", run)) !== null && (await this.#journal.row(run)).finishedAtMs === null) return "not-yet";
        // It may have been settled between the two looks.
        return (await this.#journal.attempts(run, index)).at(-1)?.attempt ?? "never";
      },
    };
    yield* taskLogs(parts, request, AbortSignal.any([signal, this.#stopping.signal]));
  }

  get grants(): Grants {
    return this.#parts.permissions.grants;
  }

  /** For the tools channels of children. */
  get asks(): Asks {
    return this.#parts.permissions.asks;
  }

  get approvals(): Approvals {
    return this.#parts.permissions.approvals;
  }

  async freezeChild(child: string): Promise<void> {
    await freeze(this.#session(child), this.#parts.link, this.#stopping.signal);
  }

  async thawChild(child: string): Promise<void> {
    await thaw(this.#session(child), this.#parts.link, this.#stopping.signal);
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

  connected(): boolean {
    return this.#parts.link.current !== null;
  }

  busy(): boolean {
    return this.#parts.busyRuns.size > 0;
  }

  async stop(): Promise<void> {
    const { runtime, link, table, results, denialFile, permissions, diffs, content, log } = this.#parts;
    this.#stopping.abort(new CohortError("CANCELLED", { on: "the system stops" }));
    this.#parts.life.stop();
    permissions.stop();
    await link.stop();
    await this.#retention.stop();
    await this.#deletion.stop();
    await runtime.stop();
    await table.closeAll();
    await this.#parts.endpoints.closeAll();
    await results.closeAll();
    await denialFile.closeAll();
    await diffs.close();
    await content.closeAll();
    log.close();
  }

  #session(child: string): Session {
    const session = this.#parts.table.find(child);
    if (session === undefined) throw new CohortError("CHILD_UNKNOWN", { on: child });
    return session;
  }
}
