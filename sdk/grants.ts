/** Directories of this machine that living children were given. Owns nothing: grants live in cohortd and the warden, and end with their child. */
import type { CallInput } from "../machines/messages/api.ts";
import type { GrantApplied, GrantDiff, GrantSummary } from "../machines/messages/grant.ts";
import type { Link } from "./link.ts";

/** A source that cannot be mapped is copied first. */
const CREATE_TIMEOUT_MS = 120_000;
/** What was staged is collected first. */
const REVOKE_TIMEOUT_MS = 240_000;
const STAGED_TIMEOUT_MS = 900_000;

/** `child` and `path`, and what differs from: read-only, 30 minutes, one use. */
export type GrantOptions = CallInput<"grant.create">;

export class Grants {
  readonly #link: Link;

  /** Use `Cohort.grants`. */
  constructor(link: Link) {
    this.#link = link;
  }

  /**
   * Gives a living child a directory or file; resolves when it stands under its ~/mnt. Not repeated after a lost connection: then look at `list()`.
   * Rejects with CHILD_UNKNOWN, GRANT_REFUSED, GRANT_UNCONFIRMED (say acceptUnprotected or acceptHome), MOUNT_REFUSED (with the warden's reason).
   */
  async create(options: GrantOptions): Promise<GrantSummary> {
    return this.#link.call("grant.create", options, { repeatable: false, timeoutMs: CREATE_TIMEOUT_MS });
  }

  /** Living ones, latest first; with `ended` also the others. */
  async list(options: CallInput<"grant.list"> = {}): Promise<readonly GrantSummary[]> {
    return (await this.#link.call("grant.list", options, { repeatable: true })).grants;
  }

  /**
   * Takes it back; resolves with the proof, and says what had to be killed for it. What a staged grant holds is kept for `diff` and `apply`,
   * unless it is discarded. Of one that has ended it answers how it ended. Rejects with GRANT_UNKNOWN.
   */
  async revoke(grant: string, options: { readonly discard?: boolean } = {}): Promise<GrantSummary> {
    return this.#link.call("grant.revoke", { grant, ...options }, { repeatable: true, timeoutMs: REVOKE_TIMEOUT_MS });
  }

  /** What the child changed in a staged grant: of a living child as of now. Rejects with GRANT_UNKNOWN, CONTENT_GONE. */
  async diff(grant: string, options: { readonly patch?: boolean } = {}): Promise<GrantDiff> {
    return this.#link.call("grant.diff", { grant, ...options }, { repeatable: true, timeoutMs: STAGED_TIMEOUT_MS });
  }

  /**
   * Writes what was shown by `diff` to the source, as this person. Nothing is written while anything conflicts. `accept`: protected names to be
   * applied, too; `only`: these paths and what lies below them; `check`: nothing is written, `planned` says what would be. Doing it again
   * finishes what was cut off.
   */
  async apply(
    grant: string,
    options: { readonly accept?: string[]; readonly only?: string[]; readonly check?: boolean } = {},
  ): Promise<GrantApplied> {
    return this.#link.call("grant.apply", { grant, ...options }, { repeatable: true, timeoutMs: STAGED_TIMEOUT_MS });
  }

  /** Throws away what a staged grant holds, and takes it back where its child lives. */
  async discard(grant: string): Promise<GrantSummary> {
    return this.#link.call("grant.discard", { grant }, { repeatable: true, timeoutMs: REVOKE_TIMEOUT_MS });
  }

  /** Brings back what stood in a directory before it was given for writing (`undo` is "copied"), after its end. What was added stays. */
  async undo(grant: string): Promise<GrantApplied> {
    return this.#link.call("grant.undo", { grant }, { repeatable: true, timeoutMs: STAGED_TIMEOUT_MS });
  }
}
