/** The tables of the journal, and the format number that guards them. */

/** Grows with each change of the tables. PRAGMA user_version of the file. */
export const JOURNAL_FORMAT = 3;

/** PRAGMA application_id: "COHJ". A file with another one is not ours. */
export const JOURNAL_APPLICATION_ID = 0x434f484a;

/** The first generation is by chance: the tail of another journal, left lying in this directory, is void. */
const TAIL = `CREATE TABLE tail (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), generation INTEGER NOT NULL) STRICT;
INSERT INTO tail VALUES (1, random() & 4503599627370495);`;

const STATE_HASH = "ALTER TABLE event ADD COLUMN state_hash TEXT;";

/** For whoever reads the past of an actor, or deletes it. */
const HISTORY = `CREATE INDEX event_actor ON event (actor);
CREATE INDEX actor_scope ON actor (scope, ref);`;

/** A mailbox that was drained pulls what waits for it. */
const PULL = "CREATE INDEX outbox_receiver ON outbox (receiver, id);";

/** Of actors that were written before they could be restarted from their input. */
const SUPERVISION = `ALTER TABLE actor ADD COLUMN restart TEXT NOT NULL DEFAULT 'temporary';
ALTER TABLE actor ADD COLUMN spawn_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE actor ADD COLUMN incarnation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE actor ADD COLUMN started_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE actor ADD COLUMN control_high INTEGER NOT NULL DEFAULT 0;
ALTER TABLE actor ADD COLUMN restarts TEXT;
ALTER TABLE scope ADD COLUMN deadline_ms REAL;`;

/** Events that were written before have no link: the chain begins behind them. */
const CHAIN_COLUMNS = `ALTER TABLE event ADD COLUMN salt TEXT;
ALTER TABLE event ADD COLUMN commitment TEXT;
ALTER TABLE event ADD COLUMN link TEXT;`;

const CHAIN = `CREATE TABLE chain (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), seq INTEGER NOT NULL, link TEXT NOT NULL, events INTEGER NOT NULL) STRICT;
INSERT INTO chain VALUES (1, 0, '', 0);
CREATE TABLE event_gap (first_seq INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL, events INTEGER NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL) STRICT;
CREATE TABLE erasure (scope TEXT PRIMARY KEY, at_ms REAL NOT NULL, spec TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE used_key (hash INTEGER PRIMARY KEY) STRICT;
CREATE INDEX effect_owner ON effect (owner);`;

/** From an older format to the next one, a step each. */
export const UPGRADES: Readonly<Record<number, string>> = { 1: TAIL, 2: STATE_HASH + HISTORY + SUPERVISION + PULL + CHAIN_COLUMNS + CHAIN };

/**
 * event: what happened, in order; nothing reads it for recovery, so old rows may be deleted. state_hash: of the actor's state after its last event in a
 * commit, null in the others.
 * Of a deleted run's events the facts stay: payload is '' then, detail and salt are null. link: see event-chain.ts. event_gap: rows that retention removed
 * between two that stand, with the link before and the link after them. chain: the newest link.
 * erasure: what is being deleted; it is done when its row is gone. used_key: 63 bits of the hash of each key whose effect row retention removed.
 * actor: latest snapshot; '' when its content was deleted; rows of ended actors stay, so that a ref is never used twice. spawn_seq: its place among its siblings; started_seq: what has a
 * lower number belongs to an earlier incarnation; restarts: when it (or, for a supervisor, any child of its) was restarted lately, as JSON.
 * outbox: sent and not yet consumed. The receiver's high-water mark of the lane (the highest message id it consumed) makes a second delivery void:
 * control_high for what comes from a scope, inbox_high for all others.
 * tail: the generation of the records in journal.tail that are not in these tables yet.
 * effect: key is null for a row whose key was used before; asked_key is the machine's, the same in each incarnation.
 */
export const SCHEMA = `${TAIL}
CREATE TABLE sequence (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), value INTEGER NOT NULL) STRICT;
INSERT INTO sequence VALUES (1, 0);
CREATE TABLE event (
  seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, actor TEXT NOT NULL, cause TEXT NOT NULL, source TEXT, source_id INTEGER,
  type TEXT NOT NULL, payload TEXT NOT NULL, outcome TEXT NOT NULL, detail TEXT, state_hash TEXT,
  salt TEXT, commitment TEXT, link TEXT
) STRICT;
CREATE TABLE actor (
  ref TEXT PRIMARY KEY, kind TEXT NOT NULL, version INTEGER NOT NULL, hash TEXT NOT NULL, scope TEXT NOT NULL, parent TEXT,
  restart TEXT NOT NULL, spawn_seq INTEGER NOT NULL, incarnation INTEGER NOT NULL, started_seq INTEGER NOT NULL, status TEXT NOT NULL,
  inbox_high INTEGER NOT NULL, control_high INTEGER NOT NULL, restarts TEXT, input TEXT, snapshot TEXT NOT NULL
) STRICT;
CREATE INDEX actor_status ON actor (status, ref);
CREATE TABLE outbox (id INTEGER PRIMARY KEY, sender TEXT NOT NULL, receiver TEXT NOT NULL, event TEXT NOT NULL) STRICT;
CREATE TABLE timer (owner TEXT NOT NULL, name TEXT NOT NULL, at_ms REAL NOT NULL, PRIMARY KEY (owner, name)) STRICT, WITHOUT ROWID;
CREATE TABLE effect (
  id INTEGER PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, key TEXT UNIQUE, asked_key TEXT, params TEXT NOT NULL,
  farewell INTEGER NOT NULL, state TEXT NOT NULL
) STRICT;
CREATE INDEX effect_pending ON effect (id) WHERE state <> 'done';
CREATE TABLE projection (collection TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (collection, key)) STRICT, WITHOUT ROWID;
CREATE TABLE log (log TEXT NOT NULL, cursor INTEGER NOT NULL, value TEXT NOT NULL, PRIMARY KEY (log, cursor)) STRICT, WITHOUT ROWID;
CREATE TABLE log_head (log TEXT PRIMARY KEY, cursor INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE scope (name TEXT PRIMARY KEY, parent TEXT, mode TEXT, reason TEXT NOT NULL, deadline_ms REAL) STRICT, WITHOUT ROWID;
${HISTORY}
${PULL}
${CHAIN}
`;
