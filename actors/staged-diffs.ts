/** What becomes of a staged grant: what grants and settlements need of whoever collects, shows, applies and discards its differences. */
import type { GrantApplied, GrantDiff } from "../machines/messages/grant.ts";

/** One staged directory of one child. */
export interface StagedGrant {
  readonly grant: string;
  readonly run: string;
  readonly child: string;
  /** The directory on this machine. */
  readonly path: string;
  /** Under ~/mnt. */
  readonly as: string;
  readonly stagedBytes: number;
}

export interface ApplyOptions {
  /** Protected names that are applied, too. */
  readonly accept: readonly string[];
  /** These paths and what lies below them; default: all. */
  readonly only?: readonly string[] | undefined;
  /** Nothing is written. */
  readonly check: boolean;
}

export interface StagedDiffs {
  /**
   * The child's differences, made durable beside its run's content in place of what was collected before; the child goes on afterwards. Idempotent:
   * after a crash it is done again. Rejects with WARDEN_GONE (try again), WARDEN_REFUSED with SANDBOX_DEAD or NAME_UNKNOWN (lost), DEADLINE,
   * COLLECT_INVALID, or what the disk says.
   */
  collect(staged: StagedGrant, signal: AbortSignal): Promise<void>;
  /** Of what was collected. Rejects with CONTENT_GONE when nothing is. */
  diff(staged: StagedGrant, patch: boolean): Promise<GrantDiff>;
  apply(staged: StagedGrant, options: ApplyOptions): Promise<GrantApplied>;
  discard(staged: StagedGrant): Promise<void>;
  /** What is known of it on the disk. */
  state(staged: StagedGrant): Promise<"none" | "held" | "applied" | "discarded">;
}
