/** Every limit of the runtime, each with its reason. Units stand last in the names. */

/** A turn of the loop ends after this long: at 5 ms a socket of a client never waits noticeably. */
export const TURN_MS_MAX = 5;

/** Requests from outside that may wait for their turn; about one second of work. More get MAILBOX_FULL. */
export const EDGE_QUEUE_MAX = 8192;

/** Of those, as many for one actor: a flooded one leaves room for requests to others. */
export const EDGE_ACTOR_MAX = 1024;
/** Room beyond all of them for what ends or takes back something: a flood must not refuse its own cancellation. */
export const EDGE_CONTROL_MAX = 1024;

/** Messages of one receiver in memory; what is beyond stays in the journal's outbox until it has drained. Half a batch: pulling pays, and 10,000 such mailboxes fit. */
export const MAILBOX_WINDOW = 256;

/** Events of one actor in a row while others have mail, too: few enough that nobody waits long, enough that a turn is not all changes. */
export const VISIT_EVENTS_MAX = 16;

/** Events computed ahead of the commit in flight; a batch beyond this gains nothing (measured: 256 are near the top of the curve). */
export const BATCH_EVENTS_MAX = 512;

/** What nobody waits for (that a command runs, say) is committed this late at most: a commit of its own would cost more than the event. */
export const LAZY_COMMIT_MS = 5;

/** In a crowd a commit begins this long after the one before, unless it has many events already: each costs processor time of its own. */
export const COMMIT_SPACING_MS = 3;
export const SPACED_EVENTS_MAX = 64;
/** Actors that make a crowd: a run of a task or two has four. */
export const CROWD_ACTORS_MIN = 8;

/** Characters of events and parameters in one batch, so that a few large events cannot hold much memory. */
export const BATCH_CHARS_MAX = 8 * 1024 ** 2;

/** One event or parameter, as JSON: content belongs into transcripts and blobs, not into the journal. */
export const EVENT_CHARS_MAX = 32 * 1024 ** 2;

/** A macrostep of a machine: far above any honest one, so that a cycle of raised events throws and does not hang the process. */
export const MICROSTEPS_MAX = 200_000;

/** Actors that create actors in their first transition, nested: recursion must end. */
export const SPAWN_DEPTH_MAX = 32;

/** Restarts within the window before a supervisor gives up, where it does not say: Erlang's default order of magnitude. */
export const RESTARTS_MAX = 5;
export const RESTART_WINDOW_MS = 60_000;
/** A supervisor remembers the time of each restart that counts, in its row: no more than these. */
export const SUPERVISED_RESTARTS_MAX = 1000;
/** Before a restart: doubled with each within the window, and jittered, so that what broke together does not come back together. */
export const RESTART_DELAY_MS_MIN = 100;
export const RESTART_DELAY_MS_MAX = 30_000;

/** Effects of one name that run at a time, where the definition does not say. */
export const EFFECT_CONCURRENCY = 64;

/** Undo is retried with a doubling, jittered delay between these, so many times per start of the runtime. */
export const COMPENSATION_DELAY_MS_MIN = 100;
export const COMPENSATION_DELAY_MS_MAX = 30_000;
export const COMPENSATION_ATTEMPTS_MAX = 20;

/** setTimeout overflows above 2^31-1 ms; the timer heap looks again after an hour at most, which also follows a changed wall clock. */
export const TIMER_SLEEP_MS_MAX = 3_600_000;

/** Rows that wait for one follower of a log; a slower reader falls back to the journal. */
export const FOLLOW_BUFFER_ROWS_MAX = 256;

/** Rows of one read of a log or a collection. */
export const READ_ROWS_MAX = 10_000;
export const LIST_ROWS_DEFAULT = 1000;
/** Rows per page when a follower reads from the journal: small, so that the writer is never held up long. */
export const FOLLOW_PAGE_ROWS = 500;

/** A full disk is tried again this often; requests that wait hear JOURNAL_FULL after the second figure. */
export const JOURNAL_RETRY_MS = 500;
export const JOURNAL_FULL_WAIT_MS_MAX = 2_000;

/** The journal is verified whole at its opening up to this size (about 0.2 s); beyond it, page by page as it is read. */
export const JOURNAL_CHECK_BYTES_MAX = 64 * 1024 ** 2;

/** After stop, running effects get this long to hear of their signal. */
export const STOP_EFFECTS_MS_MAX = 1000;

/** The journal's tail goes into the database at this size (about twenty thousand events), or when nothing was written for so long. */
export const TAIL_BYTES_MAX = 4 * 1024 ** 2;
export const CHECKPOINT_IDLE_MS = 250;
export const CHECKPOINT_RETRY_MS = 10_000;
/** While the disk has no room for that, the tail grows up to here; then nothing is accepted. */
export const TAIL_BYTES_FULL = 64 * 1024 ** 2;
/** Kept free in the tail for cancellations, revocations, ends and deletions on a full disk: those of some 700 children, at 6 KB each. */
export const TAIL_RESERVE_BYTES = 4 * 1024 ** 2;

/** Rows of one slice of a deletion or of retention: some milliseconds, in which a commit may wait. */
export const ERASE_SLICE_ROWS = 500;
export const SWEEP_SLICE_ROWS = 1000;
/** 1 MiB at a time goes back to the disk. */
export const SHRINK_SLICE_PAGES = 256;

/** Closing the journal checkpoints its log; more means a dead disk. */
export const JOURNAL_CLOSE_MS_MAX = 30_000;

/** The operational log is moved aside at this size, once: two files at most. */
export const LOG_BYTES_MAX = 16 * 1024 ** 2;
