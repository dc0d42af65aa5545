/** The one table of errors. docs/errors.md lists exactly these codes; a test compares both ways. */

export interface ErrorEntry {
  readonly message: string;
  /** What a person can do about it. */
  readonly hint: string;
  readonly retryable: boolean;
  readonly audience: "user" | "operator" | "developer";
}

function entry(audience: ErrorEntry["audience"], retryable: boolean, message: string, hint: string): ErrorEntry {
  return { message, hint, retryable, audience };
}

export const errorTable = {
  // runtime
  INTERNAL: entry("developer", false, "an internal rule was broken", "report it with `cohort doctor --json` and the log"),
  CANCELLED: entry("user", false, "cancelled", "run it again when you are ready"),
  DEADLINE: entry("user", true, "the deadline passed", "allow more time"),
  JOURNAL_LOCKED: entry(
    "user",
    true,
    "another supervisor uses this journal",
    "one cohortd per person and state directory; end the other one",
  ),
  JOURNAL_FULL: entry("user", true, "the journal cannot be written: no space", "free some space; nothing that was accepted is lost"),
  JOURNAL_VERSION: entry("user", false, "the journal was written by another version", "use the version of Cohort that wrote it"),
  JOURNAL_CORRUPT: entry("operator", false, "the journal does not verify", "restore it from a backup"),
  MACHINE_REFUSED: entry("developer", false, "a machine uses what cannot be durable", "use named actions only; see ARCHITECTURE.md"),
  ACTOR_UNKNOWN: entry("developer", false, "no such actor", "it ended, or it never was"),
  DEAD_LETTER: entry("developer", false, "the actor does not take this event now", "see its statechart"),
  SCOPE_ALIVE: entry("developer", true, "something of this scope still lives", "cancel it, and wait for its end"),
  MAILBOX_FULL: entry("user", true, "too many requests wait", "try again a little later"),
  FRAME_INVALID: entry("developer", false, "a frame breaks the protocol", "both sides must be of one version"),
  TRANSPORT_CLOSED: entry("user", true, "the connection closed", "it is opened again by the next command"),
  // warden
  WARDEN_ABSENT: entry("user", true, "no warden is running for you", "start it once: sudo cohort vm up"),
  WARDEN_GONE: entry("user", true, "the warden ended", "start it again: sudo cohort vm up"),
  WARDEN_REFUSED: entry("operator", false, "the warden refused", "see the message; `cohort doctor` tells what this machine offers"),
  WARDEN_BUILD: entry(
    "user",
    false,
    "the warden could not be built",
    "install a C compiler with static libc: apt-get install gcc libc6-dev",
  ),
  CGROUP_UNAVAILABLE: entry(
    "operator",
    false,
    "no usable cgroup hierarchy",
    "mount cgroup v2, or v1 with memory and pids, and run the warden as root",
  ),
  MOUNT_REFUSED: entry(
    "user",
    false,
    "a directory cannot be mounted",
    "see the reason; the person who runs Cohort must be able to read it",
  ),
  GRANT_FS_UNSUPPORTED: entry(
    "user",
    false,
    "the file system of a directory cannot show its files as a child's own, so it cannot be given for writing",
    "give it staged or read-only: the child then works on a copy",
  ),
  GRANT_ENDED: entry("user", false, "the grant has ended", "make a new one"),
  GRANT_REFUSED: entry("user", false, "this cannot be given to a child", "give another directory, or less of it"),
  GRANT_UNCONFIRMED: entry("user", false, "giving this needs an explicit confirmation", "read what it means, then say so"),
  GRANT_UNKNOWN: entry("user", false, "no such grant", "list them: cohort grants --all"),
  CHILD_FROZEN: entry("user", false, "the child stands still, and starts nothing", "let it go on: cohort thaw CHILD"),
  CHILD_BUSY: entry("user", true, "the child cannot be frozen at this moment", "try again in a moment"),
  APPROVAL_UNKNOWN: entry("user", false, "no such approval", "list them: cohort approvals"),
  APPROVAL_ANSWERED: entry("user", false, "it has another answer already", "list them: cohort approvals --all"),
  LAYER_MISSING: entry("operator", false, "a layer of the confinement is missing, so nothing was run", "see `cohort doctor`"),
  SANDBOX_FAILED: entry("operator", true, "the sandbox could not be built", "see the message and `cohort doctor`"),
  EXEC_FAILED: entry(
    "user",
    false,
    "the command could not be started",
    "is it installed inside the sandbox (/usr), or in a mounted directory?",
  ),
  COLLECT_INVALID: entry(
    "user",
    false,
    "the archive of the collected files is not valid",
    "the child broke it, or ended early; its output streams are kept",
  ),
  STAGED_INVALID: entry(
    "user",
    false,
    "the diff of the staged directory is not valid",
    "the child broke it, or ended early; nothing of it is applied",
  ),
  STAGED_INCOMPLETE: entry(
    "user",
    false,
    "the diff of the staged directory is incomplete, so it is not applied",
    "what is too much, too deep or too long is named in it: cohort diff GRANT",
  ),
  APPLY_FAILED: entry(
    "user",
    true,
    "the changes could not be applied",
    "see the reason; what was begun is finished or taken back by the next call",
  ),
  // daemon and clients
  DAEMON_UNREACHABLE: entry("user", true, "cohortd cannot be reached", "see its log in the state directory"),
  DAEMON_UNTRUSTED: entry("user", false, "the state directory is not private", "it must belong to you with mode 0700"),
  DAEMON_VERSION: entry("user", false, "cohortd is of another version", "end it with `cohort daemon stop`, then try again"),
  NOT_AUTHORIZED: entry("user", false, "not authorized", "only the person who owns this cohortd may command it"),
  ROOT_WITHOUT_USER: entry("operator", false, "there is no user to drop root to", "create one: useradd --system cohort"),
  UNREADABLE_AS_USER: entry(
    "user",
    false,
    "the user that Cohort runs as cannot read this",
    "grant that user access, or run Cohort as an ordinary user",
  ),
  // requests
  USAGE: entry("user", false, "the command line is not valid", "see cohort --help, or cohort COMMAND --help"),
  REQUEST_INVALID: entry("user", false, "the request is not valid", "see the field that is named"),
  TASK_FILE_INVALID: entry("user", false, "the task file is not valid", "nothing was run; mend the line that is named"),
  TASK_FILE_UNREADABLE: entry("user", false, "the task file cannot be read", "check the path"),
  TASK_FAILED: entry("user", false, "a task failed", "see its output: cohort logs RUN/1"),
  NONE_SUCCEEDED: entry("user", false, "none of the alternatives succeeded", "each says why"),
  SCOPE_ENDED: entry("developer", false, "the scope has ended, so nothing can be started in it", "wait in its body for what it is to do"),
  SCOPE_UNPROVEN: entry(
    "user",
    true,
    "a scope ended, and it could not be proven that nothing of it runs any more",
    "look with cohort ps, and end it with cohort cancel RUN",
  ),
  MACHINE_FILE_INVALID: entry(
    "user",
    false,
    "there is no machine to replay with",
    "export an xstate machine as `run`, `child`, `relay`, `grant` or `approval`, or as default with that id",
  ),
  RUN_UNKNOWN: entry("user", false, "no such run", "list them: cohort ps --all"),
  TASK_UNKNOWN: entry("user", false, "no such task", "list them: cohort results RUN"),
  CHILD_UNKNOWN: entry("user", false, "no such child", "list them: cohort ps"),
  RUN_LIVES: entry("user", true, "the run has not ended", "cancel it, or wait for its end: cohort cancel RUN"),
  CONTENT_GONE: entry("user", false, "the content was deleted", "facts remain; outputs of a deleted run do not"),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof errorTable;
