/** Reads a run's log and joins facts with content: rows become events and results. Owns nothing. */
import type { Runtime } from "../runtime/contract.ts";
import type { Json } from "../runtime/kernel/actions.ts";
import { CohortError, isCohortError } from "../runtime/kernel/error.ts";
import { resultHandle } from "../machines/content-handle.ts";
import type { ResultFacts, RunLogRow, RunRow } from "../machines/messages/facts.ts";
import type { RunEvent, RunSummary, TaskResult } from "../machines/messages/result.ts";
import type { RunEventItem, RunPage } from "../machines/messages/api.ts";
import type { Content } from "./content.ts";
import { PermissionContent } from "./permissions/permission-content.ts";
import { permissionEvent } from "./permissions/permission-events.ts";
import { DenialFile } from "./denial-file.ts";
import type { ResultFile } from "./result-file.ts";

/** Rows of one read: most are other events than results, and a page's join reads as many lines. */
const PAGE_ROWS = 500;

/** Collection of what is left of deleted runs: that they were, and when they went. */
export const DELETED_RUNS = "runsDeleted";

export interface CursoredResult {
  readonly cursor: number;
  readonly result: TaskResult;
}

export class RunJournal {
  readonly #runtime: Runtime;
  readonly #content: Content;
  readonly #results: ResultFile;
  readonly #words: PermissionContent;
  readonly #denials: DenialFile;

  constructor(runtime: Runtime, content: Content, results: ResultFile) {
    this.#runtime = runtime;
    this.#content = content;
    this.#results = results;
    this.#words = new PermissionContent(content, false);
    this.#denials = new DenialFile(content);
  }

  /** Throws RUN_UNKNOWN, or CONTENT_GONE where it was deleted. */
  async row(run: string): Promise<RunRow> {
    const row = (await this.#runtime.get("runs", run)) as RunRow | null | undefined;
    if (row !== null && row !== undefined) return row;
    const deletedAtMs = await this.deletedAtMs(run);
    if (deletedAtMs === null) throw new CohortError("RUN_UNKNOWN", { on: run });
    throw new CohortError("CONTENT_GONE", { on: `run ${run}, at ${new Date(deletedAtMs).toISOString()}` });
  }

  /** Null: it was not, or never was. */
  async deletedAtMs(run: string): Promise<number | null> {
    const row = (await this.#runtime.get(DELETED_RUNS, run)) as { readonly deletedAtMs: number } | null;
    return row?.deletedAtMs ?? null;
  }

  async summary(row: RunRow): Promise<RunSummary> {
    try {
      const { title, key } = await this.#content.head(row.run);
      return { ...row, title, key };
    } catch (error) {
      if (!isCohortError(error, "CONTENT_GONE")) throw error;
      return { ...row, title: "", key: null };
    }
  }

  /** Newest first. */
  async rows(): Promise<RunRow[]> {
    const rows: RunRow[] = [];
    for (let after: string | undefined; ;) {
      const page = await this.#runtime.list("runs", { ...(after === undefined ? {} : { after }), limit: PAGE_ROWS });
      for (const { value } of page) rows.push(value as unknown as RunRow);
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE_ROWS) break;
      after = last.key;
    }
    return rows.toSorted((one, other) => other.createdAtMs - one.createdAtMs);
  }

  /** Runs that have not ended. */
  async living(): Promise<readonly string[]> {
    return (await this.rows()).filter(({ finishedAtMs }) => finishedAtMs === null).map(({ run }) => run);
  }

  /** Results behind the cursor, in the order in which they came; `next` is the cursor to go on from, null when there are no more now. */
  async results(
    run: string,
    after: number,
    limit: number,
  ): Promise<{ readonly results: readonly CursoredResult[]; readonly next: number | null }> {
    const found: { readonly cursor: number; readonly facts: ResultFacts }[] = [];
    let cursor = after;
    for (;;) {
      const rows = await this.#runtime.readLog(`run:${run}`, cursor, PAGE_ROWS);
      for (const { cursor: at, value } of rows) {
        const row = value as unknown as RunLogRow;
        cursor = at;
        if (row.type === "task-finished") found.push({ cursor: at, facts: row.facts });
        if (found.length === limit) return { results: await this.#joinAll(run, found), next: cursor };
      }
      if (rows.length < PAGE_ROWS) return { results: await this.#joinAll(run, found), next: null };
    }
  }

  /** Every settled attempt of the run, in the order in which they came. */
  async *settled(run: string): AsyncGenerator<ResultFacts> {
    for (let cursor = 0; ;) {
      const rows = await this.#runtime.readLog(`run:${run}`, cursor, PAGE_ROWS);
      for (const { cursor: at, value } of rows) {
        const row = value as unknown as RunLogRow;
        cursor = at;
        if (row.type === "task-finished" || row.type === "task-retried") yield row.facts;
      }
      if (rows.length < PAGE_ROWS) return;
    }
  }

  /** The settled attempts of one task, retries included, last one last. */
  async attempts(run: string, index: number): Promise<readonly ResultFacts[]> {
    const found: ResultFacts[] = [];
    for (let cursor = 0; ;) {
      const rows = await this.#runtime.readLog(`run:${run}`, cursor, PAGE_ROWS);
      for (const { cursor: at, value } of rows) {
        const row = value as unknown as RunLogRow;
        cursor = at;
        if ((row.type === "task-finished" || row.type === "task-retried") && row.facts.index === index) found.push(row.facts);
      }
      if (rows.length < PAGE_ROWS) return found;
    }
  }

  /** Indexes of the tasks that succeeded. */
  async succeeded(run: string): Promise<ReadonlySet<number>> {
    const found = new Set<number>();
    for (let cursor = 0; ;) {
      const rows = await this.#runtime.readLog(`run:${run}`, cursor, PAGE_ROWS);
      for (const { cursor: at, value } of rows) {
        const row = value as unknown as RunLogRow;
        cursor = at;
        if (row.type === "task-finished" && row.facts.status === "succeeded") found.add(row.facts.index);
      }
      if (rows.length < PAGE_ROWS) return found;
    }
  }

  /** Rows behind the cursor: at once where there are any, else when one comes, after `waitMs` at the latest. */
  async poll(run: string, after: number, limit: number, waitMs: number, signal: AbortSignal): Promise<RunPage> {
    const log = `run:${run}`;
    const { finishedAtMs } = await this.row(run);
    let rows = await this.#runtime.readLog(log, after, limit);
    if (rows.length === 0 && finishedAtMs === null && waitMs > 0) {
      const enough = AbortSignal.any([signal, AbortSignal.timeout(waitMs)]);
      for await (const _ of this.#runtime.followLog(log, after, enough)) break;
      signal.throwIfAborted();
      rows = await this.#runtime.readLog(log, after, limit);
    }
    const events: RunEventItem[] = [];
    for (const { cursor, value } of rows) events.push({ cursor, event: await this.#event(run, value) });
    const last = events.at(-1);
    const finished = last === undefined ? finishedAtMs !== null : last.event.type === "run-finished";
    return { events, next: last?.cursor ?? after, finished };
  }

  /** Ends after run-finished. */
  async *watch(run: string, after: number, signal: AbortSignal): AsyncGenerator<RunEventItem> {
    await this.row(run);
    for await (const { cursor, value } of this.#runtime.followLog(`run:${run}`, after, signal)) {
      const event = await this.#event(run, value);
      yield { cursor, event };
      if (event.type === "run-finished") return;
    }
  }

  async #event(run: string, value: Json): Promise<RunEvent> {
    const row = value as unknown as RunLogRow;
    switch (row.type) {
      case "task-finished": {
        const [joined] = await this.#joinAll(run, [{ cursor: 0, facts: row.facts }]);
        return { type: row.type, index: row.facts.index, atMs: row.atMs, result: joined?.result ?? withoutContent(run, row.facts) };
      }
      case "task-retried": {
        const [joined] = await this.#joinAll(run, [{ cursor: 0, facts: row.facts }]);
        const { index, attempt, status } = row.facts;
        return { type: row.type, index, attempt, status, detail: joined?.result.detail ?? "", atMs: row.atMs };
      }
      case "denied": {
        const { index, attempt, child, times, words, atMs } = row;
        return { type: row.type, index, attempt, child, ...(await this.#denials.read(run, words)), repeated: times, atMs };
      }
      case "approval-requested":
      case "approval-answered":
      case "grant-attached":
      case "grant-ended":
        return permissionEvent(this.#words, run, row);
      case "run-started":
      case "task-started":
      case "task-stuck":
      case "task-unstuck":
      case "run-cancelling":
      case "run-finished":
        return row;
    }
  }

  async #joinAll(run: string, found: readonly { readonly cursor: number; readonly facts: ResultFacts }[]): Promise<CursoredResult[]> {
    const refs = found.flatMap(({ facts }) => (facts.record === null ? [] : [facts.record]));
    const read = refs.length === 0 ? [] : await this.#readOrGone(run, refs);
    const byOffset = new Map(read.map((result, at) => [refs[at]?.offset, result]));
    return found.map(({ cursor, facts }) => ({ cursor, result: byOffset.get(facts.record?.offset) ?? withoutContent(run, facts) }));
  }

  async #readOrGone(run: string, refs: readonly { readonly offset: number; readonly bytes: number }[]): Promise<TaskResult[]> {
    try {
      return await this.#results.read(run, refs);
    } catch (error) {
      if (!isCohortError(error, "CONTENT_GONE")) throw error;
      return [];
    }
  }
}

/** What the journal alone knows of a result whose content was deleted, or could not be written. */
function withoutContent(run: string, facts: ResultFacts): TaskResult {
  const { record, stdoutBytes, stderrBytes, ...rest } = facts;
  return {
    ...rest,
    title: "",
    detail: record === null ? "its content could not be written down" : "its content was deleted",
    handle: resultHandle(run, facts.index, facts.attempt),
    stdout: { bytes: stdoutBytes, preview: "", truncated: stdoutBytes > 0 },
    stderr: { bytes: stderrBytes, preview: "", truncated: stderrBytes > 0 },
    out: [],
    outSkipped: [],
    outDirectory: null,
    limitsHit: [],
    denied: [],
    deniedTimes: 0,
  };
}
