/** What can be asked of a journal, and what it answers: plain data, which crosses a socket as it is. */

export interface TableSize {
  readonly table: string;
  readonly rows: number;
  /** With its indexes; null where measuring would hold up a large journal that is in use. */
  readonly bytes: number | null;
}

export interface JournalSummary {
  readonly format: number;
  /** Of the database's file, without its log. */
  readonly bytes: number;
  /** In that file, and free to be used again. */
  readonly freeBytes: number;
  readonly tailBytes: number;
  /** What cancellations, revocations and deletions may still write on a full disk. */
  readonly reserveBytesLeft: number;
  readonly tables: readonly TableSize[];
  readonly events: {
    readonly total: number;
    readonly oldestAtMs: number | null;
    readonly newestAtMs: number | null;
    /** Over the last thousand. */
    readonly perSecond: number;
    /** Removed by retention. */
    readonly removed: number;
  };
  readonly actors: Readonly<Record<string, number>>;
  readonly pendingEffects: number;
  readonly timers: number;
  readonly outbox: number;
  /** Deletions that are not finished. */
  readonly erasures: number;
  readonly head: { readonly seq: number; readonly link: string };
}

/** Cheap, however large the journal is. */
export interface JournalSize {
  readonly bytes: number;
  readonly freeBytes: number;
  readonly tailBytes: number;
  readonly reserveBytesLeft: number;
  readonly erasures: number;
}

export interface InspectedEvent {
  readonly seq: number;
  readonly atMs: number;
  readonly actor: string;
  readonly cause: string;
  readonly source: string | null;
  readonly type: string;
  readonly outcome: string;
  readonly detail: string | null;
  /** JSON; '' when its content was deleted. */
  readonly payload: string;
  readonly stateHash: string | null;
}

export interface EventPage {
  readonly events: readonly InspectedEvent[];
  /** Go on behind this one; null at the end. */
  readonly next: number | null;
}

export interface InspectedEffect {
  readonly id: number;
  readonly owner: string;
  readonly name: string;
  readonly key: string;
  readonly state: string;
  readonly params: string;
}

export interface InspectedActor {
  readonly ref: string;
  readonly kind: string;
  readonly version: number;
  readonly scope: string;
  readonly parent: string | null;
  readonly status: string;
  readonly incarnation: number;
  /** JSON; '' when its content was deleted. */
  readonly snapshot: string;
  readonly events: number;
  readonly waitingMessages: number;
  readonly timers: readonly { readonly name: string; readonly atMs: number }[];
  readonly effects: readonly InspectedEffect[];
}

export interface ChainProblem {
  readonly seq: number;
  /** changed: its facts or a row before it are not those that were written. content: what it says is not. missing: rows before it are gone. */
  readonly what: "changed" | "content" | "missing";
}

/** How far a walk along the chain of events came, and what it found. */
export interface ChainWalk {
  /** Of the last row that was looked at. */
  readonly seq: number;
  readonly link: string;
  readonly events: number;
  /** Whose content was deleted. */
  readonly erased: number;
  /** Removed by retention, in this many stretches. */
  readonly removed: number;
  readonly gaps: number;
  /** Written by a format without links. */
  readonly unlinked: number;
  readonly problems: readonly ChainProblem[];
  readonly done: boolean;
}

export const walkStart: ChainWalk = {
  seq: 0,
  link: "",
  events: 0,
  erased: 0,
  removed: 0,
  gaps: 0,
  unlinked: 0,
  problems: [],
  done: false,
};

export interface EventQuery {
  /** An actor, or a scope and those inside it. */
  readonly of?: string | undefined;
  readonly type?: string | undefined;
  readonly after: number;
  readonly limit: number;
}

/** Each is answered within some milliseconds, or in slices: a commit never waits long behind it. */
export interface JournalQuestions {
  readonly size: { readonly ask: null; readonly answer: JournalSize };
  readonly summary: { readonly ask: { readonly measure: boolean }; readonly answer: JournalSummary };
  readonly events: { readonly ask: EventQuery; readonly answer: EventPage };
  readonly effects: { readonly ask: { readonly after: number; readonly limit: number }; readonly answer: readonly InspectedEffect[] };
  readonly actor: { readonly ask: { readonly ref: string }; readonly answer: InspectedActor | null };
  /** A slice of the walk: ask on with the answer until it is done. */
  readonly walk: { readonly ask: { readonly from: ChainWalk; readonly limit: number }; readonly answer: ChainWalk };
}

export type JournalQuestion = keyof JournalQuestions;
