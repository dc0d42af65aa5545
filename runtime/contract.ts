/** The runtime as its users see it: definitions go in, a Runtime comes out. */
import type { AnyStateMachine } from "xstate";
import type { ActorEvent, ActorRef, Json } from "./kernel/actions.ts";
import type { HistoryCursor, HistoryPage } from "./kernel/history.ts";
import type { JournalQuestion, JournalQuestions } from "./kernel/inspection.ts";
import type { Environment } from "./kernel/environment.ts";

/** Who commanded: journaled with every event that came from outside. */
export interface Origin {
  readonly surface: "cli" | "sdk" | "daemon" | "test";
  /** Host name and, where there is one, the terminal. */
  readonly device: string;
  /** Process id of the client, where it told. */
  readonly pid?: number;
}

/** Why an actor's incarnation is over. escalated: it supervises, and its children broke too often. */
export type ExitReason = "done" | "failed" | "cancelled" | "escalated";

/** Restarted: permanent after done, failed and escalated; transient after failed and escalated; temporary never. What was cancelled is never restarted. */
export type RestartType = "permanent" | "transient" | "temporary";

/** Who is restarted with a child: none else, those spawned after it, or all. */
export type Strategy = "one-for-one" | "rest-for-one" | "all";

export interface Supervises {
  readonly strategy: Strategy;
  /** More within the window, and the supervisor itself exits as escalated. */
  readonly restartsMax: number;
  readonly windowMs: number;
  /** Before a restart: the minimum, doubled with each restart in the window up to the maximum, times ½ … 1 by chance. */
  readonly delayMsMin: number;
  readonly delayMsMax: number;
}

export interface ActorDefinition {
  /** First part of an ActorRef. */
  readonly kind: string;
  /** Grows with each change of states or context. */
  readonly version: number;
  readonly machine: AnyStateMachine;
  /** Snapshot of version n → n+1, pure. Missing steps refuse to load. */
  readonly migrations?: Readonly<Record<number, (snapshot: Json) => Json>>;
  /** Event types that may be ignored by a state without being a dead letter. */
  readonly ignores?: readonly string[];
  /**
   * Whether it begins again from its input when its incarnation is over (see docs/design/runtime.md). Default temporary. Where it is not restarted and did not
   * come to its own final state, its parent hears `{ type: "actorFailed", ref, reason, message }`.
   */
  readonly restart?: RestartType;
  /** How its children are supervised. Without it each child is on its own, with the limits of limits.ts. */
  readonly supervises?: Supervises;
}

/**
 * keyed: running it twice with one key is harmless, so recovery runs it again.
 * once: marked started before it runs; if a crash leaves it started, `unknown` is delivered in place of an outcome.
 */
export interface EffectDefinition {
  readonly name: string;
  readonly safety: "keyed" | "once";
  /** Most of this effect that run at a time. Default 64. */
  readonly concurrency?: number;
  /** Returns the event that completes it, or null. A throw becomes `{ type: "effectFailed", name, key, code, message }`. */
  run(params: Json, context: EffectContext): Promise<ActorEvent | null>;
  /**
   * Undo, when no transition took the outcome: its actor ended before, or the actor's state (after a cancel, say) does not take the event.
   * An effect that was planned by the very transition that ended its actor is a farewell: it runs, and is not undone. Must be idempotent.
   */
  compensate?(params: Json, context: EffectContext): Promise<void>;
}

export interface EffectContext {
  readonly key: string;
  readonly owner: ActorRef;
  /** Aborts when the runtime stops. Cancellation of an actor goes through its machine, not through this signal. */
  readonly signal: AbortSignal;
  /** True when a crash may have come between an earlier start and this one. For keyed effects, that is whenever it was pending at the opening. */
  readonly recovered: boolean;
  /** Is written in the transaction that takes the outcome, and readable after its commit. Not written when the effect fails. */
  attach(file: FileWrite): void;
}

/** Bytes of a file that become durable in one step with what refers to them. */
export interface FileWrite {
  /** Below RuntimeOptions.filesDirectory; directories on the way are made. */
  readonly path: string;
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** Whatever the file held before is gone. */
  readonly fresh: boolean;
}

export interface PostOptions {
  /**
   * It ends or takes back something: on a full disk it is written into the journal's reserve, and so are the outcomes of the effects that its transition
   * plans. Not for what goes on with work: the reserve is 4 MiB. Cancelling a scope, and what actors of a cancelled scope hear, needs no such mark.
   */
  readonly control?: boolean;
}

export interface LogRow {
  readonly cursor: number;
  readonly value: Json;
}

export interface RuntimeOptions {
  /** Directory of the journal, created 0700. */
  readonly directory: string;
  readonly definitions: readonly ActorDefinition[];
  readonly effects: readonly EffectDefinition[];
  /** Where FileWrites go. Default `directory`. */
  readonly filesDirectory?: string;
  /** Time, chance and turns. Default the machine's. */
  readonly environment?: Environment;
}

export interface SpawnOptions {
  readonly origin: Origin;
  readonly scope?: string;
  readonly files?: readonly FileWrite[];
  /** In place of its definition's. */
  readonly restart?: RestartType;
  /** Of its scope, which is then cancelled with the reason `deadline`. The earliest that anyone named counts, and that of an outer scope before it. */
  readonly deadlineAtMs?: number;
}

export interface Runtime {
  /** Creates a root actor in its own scope (or the named one). Resolves after the commit, which writes `files` too; a known ref is left as it is and answers false. */
  spawn(ref: ActorRef, input: Json, options: SpawnOptions): Promise<boolean>;
  /** Whether there ever was an actor of this name. */
  knows(ref: ActorRef): boolean;
  /** Resolves after the commit. Rejects with ACTOR_UNKNOWN, DEAD_LETTER, or, where too many wait already, MAILBOX_FULL. */
  post(ref: ActorRef, event: ActorEvent, origin: Origin, options?: PostOptions): Promise<void>;
  /** Journals the request and sends `{ type: "cancel", mode, reason }` to every live actor of the scope, and to each that joins later. Idempotent; kill overrides grace. */
  cancelScope(scope: string, mode: "grace" | "kill", reason: string, origin: Origin): Promise<void>;
  get(collection: string, key: string): Promise<Json>;
  /** Rows in key order. */
  list(
    collection: string,
    options?: { readonly after?: string; readonly limit?: number },
  ): Promise<readonly { readonly key: string; readonly value: Json }[]>;
  readLog(log: string, after: number, limit: number): Promise<readonly LogRow[]>;
  /** All rows after the cursor, first from the journal, then live, each once and in order, until the signal aborts. A slow reader falls back to the journal: memory is bounded. */
  followLog(log: string, after: number, signal: AbortSignal): AsyncIterable<LogRow>;
  /** What the journal has of the actors of a scope and of those inside it: pages, in an order of their own. For replay. */
  history(scope: string, after: HistoryCursor | null, limit: number): Promise<HistoryPage>;
  /** A durable counter: reserves `count` numbers and answers the first. */
  reserve(counter: string, count: number): Promise<number>;
  /** Begins a deletion; resolves after the commit, also on a full disk. Rejects with SCOPE_ALIVE while anything of the scope has not ended. Idempotent. */
  erase(erasure: Erasure, origin: Origin): Promise<void>;
  /** Scopes whose deletion was begun and is not over, oldest first. */
  erasing(): Promise<readonly string[]>;
  /**
   * Carries on what erase began, in slices between commits, until nothing of it is left in any file of the journal; then the tombstones stand. `removeContent`
   * removes what lies elsewhere; it is called twice or more, and must not mind. Rejects with JOURNAL_FULL, to be called again.
   */
  finishErasing(scopes: readonly string[], removeContent: (scope: string) => Promise<void>): Promise<void>;
  /** Removes old facts of what was deleted, and lets the file shrink, in slices between commits. Answers how many events went. */
  sweep(cutoffMs: number): Promise<number>;
  inspect<Q extends JournalQuestion>(question: Q, ask: JournalQuestions[Q]["ask"]): Promise<JournalQuestions[Q]["answer"]>;
  /** A consistent copy of the journal as one new file, 0600; commits wait meanwhile. Rejects with REQUEST_INVALID where the file exists or cannot be made. */
  backup(path: string): Promise<{ readonly bytes: number }>;
  stats(): RuntimeStats;
  /** Finishes the commit in flight and closes the journal. Running effects are aborted and will be recovered. */
  stop(): Promise<void>;
}

/** What goes when a scope is deleted. Facts of its actors' events stay, as long as retention keeps them, and so does the knowledge that its names were used. */
export interface Erasure {
  readonly scope: string;
  /** Whose rows go. */
  readonly logs: readonly string[];
  /** Rows that go, and rows that come, in the step that begins it. */
  readonly projections: readonly { readonly collection: string; readonly key: string }[];
  readonly put: readonly { readonly collection: string; readonly key: string; readonly value: Json }[];
}

export interface RuntimeStats {
  readonly actors: number;
  readonly pendingEffects: number;
  readonly pendingTimers: number;
  readonly queuedEvents: number;
  readonly committedEvents: number;
  /** The journal's disk is full: nothing is accepted but what ends or takes back something. */
  readonly full: boolean;
  /** Of the event loop since the last call, at 1 ms resolution. */
  readonly eventLoopDelayP99Ms: number;
  readonly eventLoopDelayMaxMs: number;
}

/** Loads every snapshot, re-arms timers, redelivers the outbox, recovers effects, then returns. */
export type OpenRuntime = (options: RuntimeOptions) => Promise<Runtime>;
