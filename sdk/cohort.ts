/**
 * A person's cohortd, as programs see it.
 *
 * Owns one connection. Runs do not belong to it: they go on when it closes, and `attach` finds them again.
 */
import { CohortError, isCohortError } from "../runtime/kernel/error.ts";
import type { ContentItem, DoctorReport } from "../machines/messages/api.ts";
import type { ChildSummary, RunSummary } from "../machines/messages/result.ts";
import type { RunDeleted } from "../machines/messages/journal.ts";
import type { RunSpecInput } from "../machines/messages/task.ts";
import { Approvals } from "./approvals.ts";
import { ExecSession } from "./exec-session.ts";
import { Grants } from "./grants.ts";
import { Journal } from "./journal.ts";
import { Link, type Origin } from "./link.ts";
import { mapSpec, type MapOptions } from "./map-spec.ts";
import { onceKey, visibleSummary } from "./run-key.ts";
import { Run } from "./run.ts";
import { openScope, type Scope, type ScopeOptions } from "./scope.ts";

/** 100,000 tasks are checked and written down in a few seconds; a busy machine takes longer. */
const START_TIMEOUT_MS = 120_000;
/** It tries every layer. */
const DOCTOR_TIMEOUT_MS = 60_000;

export interface ConnectOptions {
  /** State directory, in place of COHORT_HOME. */
  readonly home?: string;
  /** Who asks; written down with each command. Default: surface "sdk", this host, this process. */
  readonly origin?: Partial<Origin>;
  /** Start cohortd (and, as root, the warden) where it does not run. Default true. */
  readonly start?: boolean;
}

export interface RunOptions {
  /** Names the run: the same key again answers with the same run (`created` is false), even after a crash of this process. */
  readonly key?: string;
  /** Abort cancels the run with grace. */
  readonly signal?: AbortSignal;
}

/**
 * Connects to the person's cohortd. Rejects with DAEMON_UNREACHABLE (its message has the end of the log), DAEMON_UNTRUSTED, DAEMON_VERSION,
 * NOT_AUTHORIZED, ROOT_WITHOUT_USER, UNREADABLE_AS_USER, WARDEN_BUILD.
 */
export async function connect(options: ConnectOptions = {}): Promise<Cohort> {
  const environment = options.home === undefined ? process.env : { ...process.env, COHORT_HOME: options.home };
  const link = new Link({ environment, origin: options.origin ?? {}, start: options.start ?? true });
  await link.client();
  return new Cohort(link);
}

export class Cohort {
  /** Directories given to living children. */
  readonly grants: Grants;
  /** What children ask for. */
  readonly approvals: Approvals;
  /** What is written down of everything. */
  readonly journal: Journal;
  readonly #link: Link;

  /** Use `connect`. */
  constructor(link: Link) {
    this.#link = link;
    this.grants = new Grants(link);
    this.journal = new Journal(link);
    this.approvals = new Approvals(link);
  }

  /** The process that answered last: its id, and a text that is another one after each start of cohortd. */
  get daemon(): { readonly pid: number; readonly instance: string } {
    const { pid = 0, instance = "" } = this.#link.daemon ?? {};
    return { pid, instance };
  }

  /**
   * Starts a run; resolves once it is written down. Rejects with REQUEST_INVALID (naming the field, or a specification of more than 64 MiB; nothing
   * was started), WARDEN_ABSENT, CANCELLED when the signal had aborted before.
   */
  async run(spec: RunSpecInput, options: RunOptions = {}): Promise<Run> {
    const { signal } = options;
    if (signal?.aborted === true) throw new CohortError("CANCELLED", { on: spec.title });
    const key = options.key ?? onceKey();
    const started = await this.#withWarden(() =>
      this.#link.call("run.start", { spec, key }, { repeatable: true, timeoutMs: START_TIMEOUT_MS }),
    );
    // A key of our own is new, so a run that "was there before" is the one whose answer got lost.
    const run = new Run(this.#link, started.run, options.key === undefined || started.created);
    if (signal !== undefined) run.cancelOn(signal);
    return run;
  }

  /**
   * One task for each item. In each part of `command` `{}` becomes the item, and `{.} {/} {//} {/.} {#}` what they are in GNU parallel; if no
   * part names the item it is appended. No shell is involved. Items are read to their end first. Rejects as `run` does.
   */
  async map(command: readonly string[], items: Iterable<string> | AsyncIterable<string>, options: MapOptions = {}): Promise<Run> {
    const spec = await mapSpec(command, items, options);
    const { key, signal } = options;
    return this.run(spec, { ...(key === undefined ? {} : { key }), ...(signal === undefined ? {} : { signal }) });
  }

  /**
   * Structured concurrency: whatever `body` starts in its scope has ended when this settles. A throw, the signal and the deadline cancel the rest, and it is
   * waited for until its end is proven. Resolves with what `body` answers; a task still running then is waited for. Rejects with what it throws, with a
   * failure that it did not look at, with CANCELLED or DEADLINE.
   */
  scope<T>(body: (scope: Scope) => Promise<T>, options: ScopeOptions = {}): Promise<T> {
    return openScope(this, body, options);
  }

  /** A run that was started earlier. Whether it exists shows at its first use (RUN_UNKNOWN). */
  attach(run: string): Run {
    return new Run(this.#link, run, false);
  }

  /** Starts a new run of those tasks that did not succeed; once, whatever becomes of the connection, and with a key once for ever. Rejects with RUN_UNKNOWN. */
  async resume(run: string, options: Pick<RunOptions, "key"> = {}): Promise<Run> {
    const key = options.key ?? onceKey();
    const started = await this.#withWarden(() =>
      this.#link.call("run.resume", { run, key }, { repeatable: true, timeoutMs: START_TIMEOUT_MS }),
    );
    return new Run(this.#link, started.run, options.key === undefined || started.created);
  }

  /**
   * What a result only previews, or any part of it: by its `handle` with `/stdout`, `/stderr` or `/out/<path>` behind it. Of an output that grows, as
   * much as there is. Throws REQUEST_INVALID for what is no handle, CONTENT_GONE.
   */
  async *read(
    handle: string,
    options: { readonly offset?: number; readonly bytes?: number; readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<ContentItem, void> {
    const { bytes, signal } = options;
    const from = options.offset ?? 0;
    let { offset = 0 } = options;
    const params = (): { handle: string; offset: number; bytes?: number } => ({
      handle,
      offset,
      ...(bytes === undefined ? {} : { bytes: Math.max(1, from + bytes - offset) }),
    });
    for await (const item of this.#link.follow("content.read", params, signal)) {
      offset = item.offset + item.bytes.length;
      yield item;
      if (bytes !== undefined && offset >= from + bytes) return;
    }
  }

  /**
   * Deletes a run that has ended, for good: what it was asked, wrote, left and said. That it was, and when it went, stays; its id is never used again.
   * `discard`: also changes to staged directories that nobody applied. Rejects with RUN_LIVES, RUN_UNKNOWN, CONTENT_GONE (it was deleted before),
   * REQUEST_INVALID (changes would be lost).
   */
  async delete(run: string, options: { readonly discard?: boolean } = {}): Promise<RunDeleted> {
    return this.#link.call("run.delete", { run, ...options }, { repeatable: false, timeoutMs: START_TIMEOUT_MS });
  }

  /** Latest first; at most `limit` (default 100, at most 1000). */
  async runs(options: { readonly limit?: number } = {}): Promise<readonly RunSummary[]> {
    const { runs } = await this.#link.call("run.list", options, { repeatable: true });
    return runs.map(visibleSummary);
  }

  /** Children that live now. */
  async children(): Promise<readonly ChildSummary[]> {
    return (await this.#link.call("child.list", {}, { repeatable: true })).children;
  }

  /** Its processes stand still, whatever they do, until it is thawed. Rejects with CHILD_UNKNOWN. */
  async freeze(child: string): Promise<void> {
    await this.#link.call("child.freeze", { child }, { repeatable: true });
  }

  async thaw(child: string): Promise<void> {
    await this.#link.call("child.thaw", { child }, { repeatable: true });
  }

  /** What this machine offers and which layers are active; with a child's name, for that child, asked from inside and outside. */
  async doctor(child?: string): Promise<DoctorReport> {
    return this.#link.call("doctor", child === undefined ? {} : { child }, { repeatable: true, timeoutMs: DOCTOR_TIMEOUT_MS });
  }

  /** Runs a command beside a child's task. Rejects with CHILD_UNKNOWN, EXEC_FAILED. */
  async openExec(
    child: string,
    request: { readonly command: readonly string[]; readonly pty?: { readonly rows: number; readonly columns: number } | null },
  ): Promise<ExecSession> {
    return ExecSession.open(this.#link, child, { command: request.command, pty: request.pty ?? null });
  }

  /** Ends cohortd in an orderly way, and this connection. Children go on, under the warden's lease; the next command starts cohortd again. */
  async stop(): Promise<void> {
    await this.#link.call("daemon.stop", {}, { repeatable: false });
    this.close();
  }

  /** Closes the connection. Runs go on. */
  close(): void {
    this.#link.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  // The warden may have ended while cohortd went on. Root can start it again; nobody else can.
  async #withWarden<T>(request: () => Promise<T>): Promise<T> {
    try {
      return await request();
    } catch (error) {
      if (!isCohortError(error, "WARDEN_ABSENT")) throw error;
      await this.#link.ensureWarden();
      return request();
    }
  }
}
