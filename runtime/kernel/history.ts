/** What a journal has of the past of actors, as a replay reads it. Plain data: it travels over a socket as it is. */

export interface JournaledEvent {
  readonly seq: number;
  readonly atMs: number;
  readonly cause: string;
  readonly type: string;
  /** JSON. */
  readonly payload: string;
  readonly outcome: string;
  /** Why it failed. */
  readonly detail: string | null;
  /** Of the state after this event, where the journal has it: after an actor's last event in a commit. */
  readonly stateHash: string | null;
}

export interface JournaledActor {
  readonly ref: string;
  /** Of the definition that wrote its row. */
  readonly version: number;
  readonly hash: string;
  readonly status: string;
  /** JSON, after its last event; "null" for one whose first transition threw. */
  readonly snapshot: string;
}

/** Behind `seq` of this actor, or behind the actor where its events are all told. */
export interface HistoryCursor {
  readonly actor: string;
  readonly seq: number | null;
}

export interface HistoryPart {
  /** As it stands at the moment of the last event of this part. */
  readonly actor: JournaledActor;
  readonly events: readonly JournaledEvent[];
  /** Its events go on in the next page. */
  readonly more: boolean;
}

export interface HistoryPage {
  readonly parts: readonly HistoryPart[];
  readonly next: HistoryCursor | null;
}

/** A deletion leaves one such event in the place of what it took. */
export const TOMBSTONE = { cause: "deleted", type: "tombstone" } as const;

/** Begins an incarnation from its input, as a spawn does; what else has this cause leaves the machine alone. */
export const RESTART = { cause: "supervision", type: "restart" } as const;

/** A later build took the actor up, and migrated its state: `from` and `to` in its payload are versions. */
export const MIGRATED = { cause: "migration", type: "migrated" } as const;

/** Why an event was not given to a machine: its incarnation was over. */
export const EARLIER_INCARNATION = "for an earlier incarnation";
