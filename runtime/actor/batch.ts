/**
 * Owns what the events since the last flush changed, until it travels to the journal as one transaction.
 * Does not own: when it is flushed, what the changes mean.
 * 1. Of a row that changes several times only the last state is written.
 * 2. A message sent and consumed within one batch leaves no row.
 * 3. Answers and `committed` callbacks come after the transaction, in the order they were added.
 * 4. It is urgent when somebody waits for its commit: for an answer, or to run an effect.
 */
import type { AnyMachineSnapshot } from "xstate";
import type { FileWrite, RestartType } from "../contract.ts";
import type { ActorRef } from "../kernel/actions.ts";
import { CohortError } from "../kernel/error.ts";
import type { ActorStatus, BatchRows, BatchTable, Cell, EffectState } from "../journal/batch-rows.ts";
import { JOURNAL_FORMAT } from "../journal/schema.ts";
import type { Scope } from "../scopes/scopes.ts";
import type { PreparedDefinition } from "./definition.ts";

export type Outcome = "applied" | "ignored" | "dead" | "failed" | "duplicate";

/** The parts of an actor that its row holds. */
export interface StoredActor {
  readonly ref: ActorRef;
  readonly definition: PreparedDefinition;
  readonly scope: string;
  readonly parent: ActorRef | null;
  restart: RestartType;
  /** JSON; null for one that is never restarted. */
  input: string | null;
  /** Its place among its siblings. */
  spawnSeq: number;
  incarnation: number;
  /** What has a lower number belongs to an earlier incarnation. */
  startedSeq: number;
  snapshot: AnyMachineSnapshot | null;
  status: ActorStatus;
  inboxHigh: number;
  controlHigh: number;
  /** When it, or a child that it supervises, was restarted lately. */
  restartsMs: readonly number[];
  /** Its row has all that never changes within an incarnation. */
  stored: boolean;
}

export interface EventFacts {
  readonly seq: number;
  readonly atMs: number;
  readonly actor: string;
  readonly cause: "post" | "message" | "timer" | "effect" | "spawn" | "scope" | "supervision" | "migration" | "deleted";
  /** Who: the origin as JSON, the sender's ref, the effect's name. */
  readonly source: string | null;
  readonly sourceId: number | null;
  readonly type: string;
  readonly payload: string;
  readonly outcome: Outcome;
  readonly detail: string | null;
}

/** Someone who asked, and is answered once the batch is durable. */
export interface Waiter {
  resolve(value: number | boolean): void;
  reject(error: CohortError): void;
}

export interface LoggedRow {
  readonly log: string;
  readonly cursor: number;
  readonly text: string;
}

function encodeSnapshot(actor: StoredActor): string {
  try {
    return actor.snapshot === null ? "null" : actor.definition.encode(actor.snapshot);
  } catch (cause) {
    throw new CohortError("INTERNAL", { on: `the context of ${actor.ref} cannot be written as JSON`, cause });
  }
}

export class Batch {
  readonly logged: LoggedRow[] = [];
  events = 0;
  chars = 0;
  /** A cancellation, revocation, end or deletion is in it: a full disk must not hold it up. */
  control = false;
  readonly #tables: { [T in BatchTable]?: Cell[] } = {};
  readonly #actors = new Set<StoredActor>();
  readonly #outbox = new Map<number, readonly Cell[]>();
  readonly #timers = new Map<string, readonly [owner: string, name: string, atMs: number | null]>();
  readonly #projections = new Map<string, readonly [collection: string, key: string, value: string | null]>();
  readonly #logHeads = new Map<string, number>();
  readonly #counters = new Map<string, number>();
  readonly #scopes = new Map<string, Scope | null>();
  readonly #files: FileWrite[] = [];
  readonly #committed: (() => void)[] = [];
  #waiters: { readonly waiter: Waiter; readonly verdict: number | boolean | CohortError }[] = [];
  #touched = false;
  #urgent = false;

  get empty(): boolean {
    return !this.#touched;
  }

  get urgent(): boolean {
    return this.#urgent;
  }

  committed(callback: () => void, when: "urgent" | "lazy" = "urgent"): void {
    this.#touched = true;
    if (when === "urgent") this.#urgent = true;
    this.#committed.push(callback);
  }

  /** An error is an answer too: it is given after what it reports is durable. */
  answer(waiter: Waiter, verdict: number | boolean | CohortError): void {
    this.#touched = true;
    this.#urgent = true;
    this.#waiters.push({ waiter, verdict });
  }

  settle(): void {
    for (const { waiter, verdict } of this.#waiters) {
      if (verdict instanceof CohortError) waiter.reject(verdict);
      else waiter.resolve(verdict);
    }
    for (const callback of this.#committed) callback();
  }

  rejectWaiters(error: CohortError): void {
    for (const { waiter } of this.#waiters) waiter.reject(error);
    this.#waiters = [];
  }

  #add(table: BatchTable, ...cells: readonly Cell[]): void {
    this.#touched = true;
    (this.#tables[table] ??= []).push(...cells);
  }

  event(facts: EventFacts): void {
    this.events++;
    this.chars += facts.payload.length;
    const { seq, atMs, actor, cause, source, sourceId, type, payload, outcome, detail } = facts;
    this.#add("events", seq, atMs, actor, cause, source, sourceId, type, payload, outcome, detail);
  }

  actor(actor: StoredActor): void {
    this.#touched = true;
    this.#actors.add(actor);
  }

  send(id: number, sender: string, receiver: string, event: string): void {
    this.#touched = true;
    this.chars += event.length;
    this.#outbox.set(id, [id, sender, receiver, event]);
  }

  consume(id: number): void {
    if (!this.#outbox.delete(id)) this.#add("outboxGone", id);
  }

  timer(owner: ActorRef, name: string, atMs: number | null): void {
    this.#touched = true;
    this.#timers.set(`${owner}\0${name}`, [owner, name, atMs]);
  }

  effect(id: number, owner: ActorRef, name: string, key: string, askedKey: string, params: string, farewell: boolean): void {
    this.chars += params.length;
    this.#add("effects", id, owner, name, key, askedKey, params, farewell ? 1 : 0);
  }

  effectState(id: number, state: EffectState): void {
    this.#add("effectStates", state, id);
  }

  project(collection: string, key: string, value: string | null): void {
    this.#touched = true;
    this.chars += value?.length ?? 0;
    this.#projections.set(`${collection}\0${key}`, [collection, key, value]);
  }

  append(log: string, cursor: number, text: string): void {
    this.chars += text.length;
    this.#logHeads.set(log, cursor);
    this.logged.push({ log, cursor, text });
    this.#add("logs", log, cursor, text);
  }

  file(file: FileWrite): void {
    this.#touched = true;
    this.chars += file.bytes.length;
    this.#files.push(file);
  }

  counter(name: string, value: number): void {
    this.#touched = true;
    this.#counters.set(name, value);
  }

  scope(name: string, scope: Scope | null): void {
    this.#touched = true;
    this.#scopes.set(name, scope);
  }

  /** `spec`: null when it is over. */
  erasure(scope: string, atMs: number, spec: string | null): void {
    if (spec === null) this.#add("erasuresGone", scope);
    else this.#add("erasures", scope, atMs, spec);
  }

  /** Reads the snapshots as they are now: everything computed so far belongs to this batch. */
  encode(sequence: number): BatchRows {
    for (const actor of this.#actors) {
      const { ref, definition, scope, parent, restart, spawnSeq, incarnation, startedSeq, status, inboxHigh, controlHigh, input } = actor;
      const restarts = actor.restartsMs.length === 0 ? null : JSON.stringify(actor.restartsMs);
      const snapshot = encodeSnapshot(actor);
      if (actor.stored) {
        this.#add("actorStates", status, inboxHigh, controlHigh, restarts, snapshot, ref);
        continue;
      }
      actor.stored = true;
      const { kind, version, hash } = definition;
      this.#add("actors", ref, kind, version, hash, scope, parent, restart, spawnSeq, incarnation, startedSeq);
      this.#add("actors", status, inboxHigh, controlHigh, restarts, input, snapshot);
    }
    for (const row of this.#outbox.values()) this.#add("outbox", ...row);
    for (const [owner, name, atMs] of this.#timers.values()) {
      if (atMs === null) this.#add("timersGone", owner, name);
      else this.#add("timers", owner, name, atMs);
    }
    for (const [collection, key, value] of this.#projections.values()) {
      if (value === null) this.#add("projectionsGone", collection, key);
      else this.#add("projections", collection, key, value);
    }
    for (const [log, cursor] of this.#logHeads) this.#add("logHeads", log, cursor);
    for (const [name, value] of this.#counters) this.#add("counters", name, value);
    for (const [name, scope] of this.#scopes) {
      if (scope === null) this.#add("scopesGone", name);
      else
        this.#add(
          "scopes",
          name,
          scope.parent?.name ?? null,
          scope.cancelled?.mode ?? null,
          scope.cancelled?.reason ?? "",
          scope.deadlineAtMs,
        );
    }
    return { format: JOURNAL_FORMAT, sequence, tables: this.#tables, files: this.#files };
  }
}
