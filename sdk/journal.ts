/** The journal of a cohortd, as programs see it: sizes, events, a check of everything, a backup. */
import { resolve } from "node:path";
import type {
  ChainWalk,
  EventPage,
  EventQuery,
  InspectedActor,
  InspectedEffect,
  JournalQuestion,
  JournalQuestions,
  JournalSummary,
} from "../runtime/kernel/inspection.ts";
import type { CallInput } from "../machines/messages/api.ts";
import type { JournalState, VerifyItem } from "../machines/messages/journal.ts";
import type { Environment } from "./account.ts";
import { runProgram } from "./program.ts";
import type { Link } from "./link.ts";

/** Every page is read to measure tables; a large journal takes a while to copy. */
const LONG_TIMEOUT_MS = 600_000;

/** What can be asked with and without a cohortd. */
export interface JournalReader {
  summary(options?: { readonly measure?: boolean }): Promise<JournalSummary>;
  events(query?: Partial<EventQuery>): Promise<EventPage>;
  effects(options?: { readonly after?: number; readonly limit?: number }): Promise<readonly InspectedEffect[]>;
  actor(ref: string): Promise<InspectedActor | null>;
  backup(file: string): Promise<{ readonly bytes: number }>;
}

type Asked<Q extends JournalQuestion> = Extract<CallInput<"journal.ask">, { readonly question: Q }>;

/**
 * The journal of a cohortd that does not run, or cannot: read from a private copy, without a lock, by a process of its own. Rejects with
 * DAEMON_UNREACHABLE where there is none, and with what the journal's opening rejects with.
 */
export class StoppedJournal implements JournalReader {
  readonly #environment: Environment;

  /** `home`: state directory, in place of COHORT_HOME. */
  constructor(options: { readonly home?: string } = {}) {
    this.#environment = options.home === undefined ? process.env : { ...process.env, COHORT_HOME: options.home };
  }

  summary(options: { readonly measure?: boolean } = {}): Promise<JournalSummary> {
    return this.#ask({ question: "summary", ...options });
  }

  events(query: Partial<EventQuery> = {}): Promise<EventPage> {
    return this.#ask({ question: "events", ...query });
  }

  effects(options: { readonly after?: number; readonly limit?: number } = {}): Promise<readonly InspectedEffect[]> {
    return this.#ask({ question: "effects", ...options });
  }

  actor(ref: string): Promise<InspectedActor | null> {
    return this.#ask({ question: "actor", ref });
  }

  async backup(file: string): Promise<{ readonly bytes: number }> {
    return (await this.#run({ type: "backup", path: resolve(file) })) as { readonly bytes: number };
  }

  /** The chain of events; results and transcripts are checked by a cohortd that runs. */
  async verify(): Promise<ChainWalk> {
    return ((await this.#run({ type: "verify" })) as { readonly events: ChainWalk }).events;
  }

  async #ask<Q extends JournalQuestion>(question: Asked<Q>): Promise<JournalQuestions[Q]["answer"]> {
    return (await this.#run({ type: "ask", question })) as JournalQuestions[Q]["answer"];
  }

  #run(request: object): Promise<unknown> {
    return runProgram("journal", [JSON.stringify(request)], this.#environment);
  }
}

export class Journal implements JournalReader {
  readonly #link: Link;

  /** Use `cohort.journal`. */
  constructor(link: Link) {
    this.#link = link;
  }

  /** Whether its disk is full, and how large it is. Cheap. */
  state(): Promise<JournalState> {
    return this.#link.call("journal.state", {}, { repeatable: true });
  }

  /** `measure`: how large each table is, for which every page is read (default false). */
  summary(options: { readonly measure?: boolean } = {}): Promise<JournalSummary> {
    return this.#ask({ question: "summary", ...options });
  }

  /** A page of events, oldest first. `of`: an actor, or a scope (of a run `run:<id>`). Where a type is wanted a page may be empty and have a next one. */
  events(query: Partial<EventQuery> = {}): Promise<EventPage> {
    return this.#ask({ question: "events", ...query });
  }

  /** Effects that are planned, started or being undone. */
  effects(options: { readonly after?: number; readonly limit?: number } = {}): Promise<readonly InspectedEffect[]> {
    return this.#ask({ question: "effects", ...options });
  }

  /** Null: no actor has this name. */
  actor(ref: string): Promise<InspectedActor | null> {
    return this.#ask({ question: "actor", ref });
  }

  /** A consistent copy as one new file, 0600. Rejects with REQUEST_INVALID where it exists, or cohortd cannot make it. */
  backup(file: string): Promise<{ readonly bytes: number }> {
    return this.#link.call("journal.backup", { path: resolve(file) }, { repeatable: false, timeoutMs: LONG_TIMEOUT_MS });
  }

  /** Events along their chain, then results and transcripts by their hashes. Items say how far it came; the last one is `done`. */
  verify(signal?: AbortSignal): AsyncGenerator<VerifyItem, void> {
    return this.#link.follow("journal.verify", () => ({}), signal);
  }

  async #ask<Q extends JournalQuestion>(asked: Asked<Q>): Promise<JournalQuestions[Q]["answer"]> {
    return (await this.#link.call("journal.ask", asked, { repeatable: true, timeoutMs: LONG_TIMEOUT_MS })) as JournalQuestions[Q]["answer"];
  }
}
