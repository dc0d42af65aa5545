/**
 * Owns a runtime from its opening to its stop: journal, log file, host, followers of logs, the measure of the event loop.
 * Does not own: what any of them does; this file only wires them and guards the door.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { join } from "node:path";
import { PreparedDefinition } from "./actor/definition.ts";
import { Host } from "./actor/host.ts";
import type { Erasure, LogRow, OpenRuntime, Origin, PostOptions, Runtime, RuntimeOptions, RuntimeStats, SpawnOptions } from "./contract.ts";
import { WorkerJournal } from "./journal/worker-journal.ts";
import type { HistoryCursor, HistoryPage } from "./kernel/history.ts";
import { eraseScopes, sweepEvents } from "./journal/erasing.ts";
import type { Journal } from "./journal/journal-port.ts";
import type { JournalQuestion, JournalQuestions } from "./kernel/inspection.ts";
import { LogFollowers } from "./journal/log-followers.ts";
import type { ActorEvent, ActorRef, Json } from "./kernel/actions.ts";
import { systemEnvironment, type Environment } from "./kernel/environment.ts";
import { CohortError } from "./kernel/error.ts";
import { isActorRef } from "./kernel/ids.ts";
import { encodeJson } from "./kernel/json.ts";
import { LIST_ROWS_DEFAULT, READ_ROWS_MAX } from "./kernel/limits.ts";
import { openRuntimeLog, type OpenedLog } from "./log/runtime-log.ts";
import type { CancelMode } from "./scopes/scopes.ts";

interface Opened {
  readonly journal: Journal;
  readonly host: Host;
  readonly followers: LogFollowers;
  readonly log: OpenedLog;
}

/** Refuses here what would otherwise fail its event, or the journal, later. */
function checkRef(ref: ActorRef): void {
  if (!isActorRef(ref)) throw new CohortError("REQUEST_INVALID", { on: `${String(ref)} is not <kind>:<id>` });
}

function encoded(value: Json, what: string): string {
  try {
    return encodeJson(value);
  } catch (cause) {
    throw new CohortError("REQUEST_INVALID", { on: `${what} is not JSON`, cause });
  }
}

function rowLimit(limit: number): number {
  return Math.max(0, Math.min(Math.floor(limit), READ_ROWS_MAX));
}

type DelayMeasure = ReturnType<typeof monitorEventLoopDelay>;

class DurableRuntime implements Runtime {
  readonly #opened: Opened;
  /** Null where time is simulated. */
  readonly #delay: DelayMeasure | null;
  #stopping: Promise<void> | null = null;

  constructor(opened: Opened, delay: DelayMeasure | null) {
    this.#opened = opened;
    this.#delay = delay;
    this.#delay?.enable();
  }

  async spawn(ref: ActorRef, input: Json, options: SpawnOptions): Promise<boolean> {
    const { origin, scope = null, files = [], restart = null, deadlineAtMs = null } = options;
    checkRef(ref);
    encoded(input, "input");
    if (deadlineAtMs !== null && !Number.isFinite(deadlineAtMs))
      throw new CohortError("REQUEST_INVALID", { on: `deadline ${deadlineAtMs}` });
    return (await this.#opened.host.request({ type: "spawn", ref, input, scope, restart, deadlineAtMs, files, origin })) === true;
  }

  knows(ref: ActorRef): boolean {
    return this.#opened.host.knows(ref);
  }

  async post(ref: ActorRef, event: ActorEvent, origin: Origin, { control = false }: PostOptions = {}): Promise<void> {
    checkRef(ref);
    await this.#opened.host.request({ type: "post", to: ref, event, text: encoded(event, "event"), origin, control });
  }

  async cancelScope(scope: string, mode: CancelMode, reason: string, origin: Origin): Promise<void> {
    await this.#opened.host.request({ type: "cancelScope", scope, mode, reason, origin });
  }

  get(collection: string, key: string): Promise<Json> {
    return this.#opened.journal.get(collection, key);
  }

  list(
    collection: string,
    options: { readonly after?: string; readonly limit?: number } = {},
  ): Promise<readonly { readonly key: string; readonly value: Json }[]> {
    return this.#opened.journal.list(collection, options.after ?? "", rowLimit(options.limit ?? LIST_ROWS_DEFAULT));
  }

  readLog(log: string, after: number, limit: number): Promise<readonly LogRow[]> {
    return this.#opened.journal.readLog(log, after, rowLimit(limit));
  }

  followLog(log: string, after: number, signal: AbortSignal): AsyncIterable<LogRow> {
    return this.#opened.followers.follow(log, after, signal);
  }

  history(scope: string, after: HistoryCursor | null, limit: number): Promise<HistoryPage> {
    return this.#opened.journal.history(scope, after, Math.max(1, rowLimit(limit)));
  }

  async reserve(counter: string, count: number): Promise<number> {
    if (!Number.isSafeInteger(count) || count < 1) throw new CohortError("REQUEST_INVALID", { on: `count ${count}` });
    return Number(await this.#opened.host.request({ type: "reserve", counter, count }));
  }

  async erase(erasure: Erasure, origin: Origin): Promise<void> {
    const { host, journal } = this.#opened;
    const unsettled = await journal.upkeep("unsettled", { scope: erasure.scope });
    if (unsettled > 0) throw new CohortError("SCOPE_ALIVE", { on: `${erasure.scope}: ${unsettled} effects are not over` });
    await host.request({ type: "erase", erasure, origin });
  }

  async erasing(): Promise<readonly string[]> {
    return (await this.#opened.journal.upkeep("erasures", null)).map(({ spec }) => spec.scope);
  }

  async finishErasing(scopes: readonly string[], removeContent: (scope: string) => Promise<void>): Promise<void> {
    const { host, journal } = this.#opened;
    const pending = await journal.upkeep("erasures", null);
    const wanted = pending.filter(({ spec }) => scopes.includes(spec.scope));
    if (wanted.length === 0) return;
    const erased = await eraseScopes(
      journal,
      wanted.map(({ spec }) => spec),
      removeContent,
    );
    for (const { spec, events, digest } of erased) {
      const askedAtMs = wanted.find((one) => one.spec.scope === spec.scope)?.atMs ?? 0;
      const payload = encodeJson({ scope: spec.scope, askedAtMs, events, commitment: digest });
      await host.request({ type: "erased", scope: spec.scope, source: spec.source, payload });
    }
  }

  sweep(cutoffMs: number): Promise<number> {
    return sweepEvents(this.#opened.journal, cutoffMs);
  }

  inspect<Q extends JournalQuestion>(question: Q, ask: JournalQuestions[Q]["ask"]): Promise<JournalQuestions[Q]["answer"]> {
    return this.#opened.journal.upkeep(question, ask);
  }

  backup(path: string): Promise<{ readonly bytes: number }> {
    return this.#opened.journal.upkeep("backup", { path });
  }

  stats(): RuntimeStats {
    const { actors, pending, committedEvents, full } = this.#opened.host;
    const delay = this.#delay;
    const nothing = delay === null || delay.count === 0;
    const eventLoopDelayP99Ms = nothing ? 0 : delay.percentile(99) / 1e6;
    const eventLoopDelayMaxMs = nothing ? 0 : delay.max / 1e6;
    delay?.reset();
    return { actors, ...pending, committedEvents, full, eventLoopDelayP99Ms, eventLoopDelayMaxMs };
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const { host, journal, followers, log } = this.#opened;
    const reason = new CohortError("CANCELLED", { on: "the runtime stopped" });
    await host.stop(reason);
    followers.end(reason);
    await journal.close();
    this.#delay?.disable();
    log.close();
  }
}

/** What a runtime stands on. The caller made it, and keeps it where the opening fails. */
export interface RuntimeGround {
  readonly journal: Journal;
  readonly environment: Environment;
  readonly log: OpenedLog;
}

type Definitions = Pick<RuntimeOptions, "definitions" | "effects">;

function prepare(options: Definitions): ReadonlyMap<string, PreparedDefinition> {
  const definitions = new Map(options.definitions.map((definition) => [definition.kind, new PreparedDefinition(definition)]));
  if (definitions.size < options.definitions.length) throw new CohortError("MACHINE_REFUSED", { on: "two definitions of one kind" });
  return definitions;
}

async function start(
  { journal, environment, log }: RuntimeGround,
  definitions: ReadonlyMap<string, PreparedDefinition>,
  effects: RuntimeOptions["effects"],
): Promise<Opened> {
  const loaded = await journal.load();
  const followers = new LogFollowers((name, after, limit) => journal.readLog(name, after, limit));
  const host = new Host({
    journal,
    loaded,
    definitions,
    effects,
    environment,
    log: log.log,
    logged: (rows) => followers.publish(rows),
    failed: (error) => followers.end(error),
  });
  return { journal, host, followers, log };
}

/** The very same runtime on another journal, with other time: simulations and tests. Its stop closes journal and log. */
export async function openRuntimeOn(ground: RuntimeGround, options: Definitions): Promise<Runtime> {
  return new DurableRuntime(await start(ground, prepare(options), options.effects), null);
}

/** Rejects with MACHINE_REFUSED, JOURNAL_LOCKED, JOURNAL_VERSION, JOURNAL_CORRUPT or JOURNAL_FULL. */
export const openRuntime: OpenRuntime = async (options) => {
  const definitions = prepare(options);
  const journal = await WorkerJournal.open(options.directory, options.filesDirectory ?? options.directory);
  let log: OpenedLog | null = null;
  try {
    log = openRuntimeLog(join(options.directory, "runtime.log"));
    const ground = { journal, environment: options.environment ?? systemEnvironment, log };
    return new DurableRuntime(await start(ground, definitions, options.effects), monitorEventLoopDelay({ resolution: 1 }));
  } catch (error) {
    log?.close();
    await journal.close();
    throw error;
  }
};
