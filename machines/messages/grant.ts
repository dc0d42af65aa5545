/**
 * A grant: one directory or file of this machine that one living child may use, for a time. The zod schemas are the boundary.
 *
 * ro may be read · staged may be written, and nothing of it reaches the source before a person applies it · rw is written at once.
 */
import { z } from "zod";

export const grantModeSchema = z.enum(["ro", "staged", "rw"]);
export type GrantMode = z.infer<typeof grantModeSchema>;

/** g17: given to a living child. serene-vibrant-newton.2: a staged mount of its task, which has a diff like any other. */
export const grantIdSchema = z
  .string()
  .regex(
    /^(g[1-9][0-9]{0,9}|[a-z][a-z0-9-]{0,62}\.[1-9][0-9]?)$/,
    "expected the id of a grant, as g17, or as CHILD.1 for a mount of its task",
  );
export const CHILD_EXPECTED = "expected the name of a child, as cohort ps lists it";

export const GRANT_TTL_MS_DEFAULT = 30 * 60_000;
export const GRANT_TTL_MS_MAX = 30 * 24 * 3_600_000;
/** Living grants of one child, given while it runs: more are a mistake, or an attack on the person's patience. */
export const GRANTS_PER_CHILD_MAX = 64;

export const grantPathSchema = z
  .string()
  .startsWith("/")
  .max(4095)
  .regex(/^[^\0]*$/, "expected a path without a NUL character")
  .describe("Absolute path of a directory or file on this machine, without .. and without symbolic links");
export const grantTargetSchema = z
  .string()
  .regex(/^(?!\.)[^/\0]{1,127}$/, "expected one name without a slash, and without a dot at its beginning");
export const ttlMsSchema = z.number().int().min(1000).max(GRANT_TTL_MS_MAX);
export const reasonSchema = z.string().max(2000);

export const grantCreateSchema = z.strictObject({
  child: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, CHILD_EXPECTED),
  path: grantPathSchema,
  /** Name under ~/mnt; default: the last component of the path, numbered where it is taken. */
  as: grantTargetSchema.optional(),
  mode: grantModeSchema.default("ro"),
  ttlMs: ttlMsSchema.default(GRANT_TTL_MS_DEFAULT),
  /** So many attempts of the task may have it: a later one that asks for the same path in the same mode is not asked about again. */
  uses: z.number().int().min(1).max(100).default(1),
  reason: reasonSchema.default(""),
  /** A `rw` directory: names such as .git or .bashrc that are absent now can be created, and programs of the person's would read them. */
  acceptUnprotected: z.boolean().default(false),
  /** The home directory itself, whole (`ro` only). */
  acceptHome: z.boolean().default(false),
});
export type GrantCreate = z.infer<typeof grantCreateSchema>;

/** attaching → active → revoking → ended. */
export const grantStateSchema = z.enum(["attaching", "active", "revoking", "ended"]);
export type GrantState = z.infer<typeof grantStateSchema>;

/**
 * failed it was never attached · revoked by a person · expired · cancelled its run was cancelled while it was being attached ·
 * child-ended its sandbox is gone, or the warden.
 */
export const grantEndSchema = z.enum(["failed", "revoked", "expired", "cancelled", "child-ended"]);
export type GrantEnd = z.infer<typeof grantEndSchema>;

/** none not staged · live in its sandbox still · held what the child wrote (perhaps nothing) is kept · lost it went with its sandbox. */
export const stagedStateSchema = z.enum(["none", "live", "held", "applied", "discarded", "lost"]);
export type StagedState = z.infer<typeof stagedStateSchema>;

export const undoStateSchema = z.enum(["copied", "too-large", "none"]);
export type UndoState = z.infer<typeof undoStateSchema>;

export const grantSummarySchema = z.object({
  grant: grantIdSchema,
  run: z.string(),
  index: z.number(),
  attempt: z.number(),
  child: z.string(),
  /** Empty where the content of its run was deleted, like `as` and `reason`. */
  path: z.string(),
  as: z.string(),
  mode: grantModeSchema,
  state: grantStateSchema,
  /** Who decided: a person on their own, a person who was asked, an answer given before the run, or the task itself (a mount). */
  by: z.enum(["person", "approval", "pre-answer", "task"]),
  approval: z.string().nullable(),
  reason: z.string(),
  createdAtMs: z.number(),
  attachedAtMs: z.number().nullable(),
  /** Null: with the child. */
  expiresAtMs: z.number().nullable(),
  endedAtMs: z.number().nullable(),
  end: grantEndSchema.nullable(),
  /** Why it was not attached, where it was not. */
  detail: z.string(),
  usesLeft: z.number(),
  /** The source cannot be mapped to the child's user, so that the child has a copy of it. */
  isCopy: z.boolean(),
  /** Writable, and not every protected name in it could be looked for or covered. */
  isProtectionPartial: z.boolean(),
  /** Processes that had to be killed because they held on to it. */
  processesKilled: z.number(),
  childKilled: z.boolean(),
  staged: stagedStateSchema,
  /** Of a directory given for writing. copied: `grant.undo` brings back what stood there. none: it is not one, or cannot be copied. */
  undo: undoStateSchema,
});
export type GrantSummary = z.infer<typeof grantSummarySchema>;

/** What one name of a staged grant became. */
export const diffEntrySchema = z.object({
  path: z.string(),
  change: z.enum(["added", "modified", "deleted"]),
  type: z.enum(["file", "directory", "symlink", "other"]),
  bytes: z.number(),
  /** The source changed underneath after the child had first changed it. */
  conflict: z.boolean(),
  /** A name that programs of the person's read as configuration: applied only when it is accepted by name. */
  isProtected: z.boolean(),
  /** More than `change` says: new permissions, where a link leads, why it is never applied. Empty for most. */
  detail: z.string(),
});
export type DiffEntry = z.infer<typeof diffEntrySchema>;

export interface GrantDiff {
  readonly grant: string;
  readonly path: string;
  readonly entries: readonly DiffEntry[];
  /** Not everything fits: so many entries are not shown. */
  readonly entriesMore: number;
  /** The child left more than the limits allow: what is here can be looked at, not applied. */
  readonly isIncomplete: boolean;
  readonly bytes: number;
  /** A unified diff of the text files, shortened; empty where it was not asked for. */
  readonly patch: string;
}

export interface AppliedEntry {
  readonly path: string;
  readonly outcome: "applied" | "conflict" | "protected" | "refused" | "failed";
  readonly detail: string;
}
export interface GrantApplied {
  readonly grant: string;
  readonly applied: number;
  /** Entries that could have been applied, and were not because others conflict: all or nothing, but for what `only` leaves out. */
  readonly held: number;
  /** Whatever was not applied, each with its reason. */
  readonly rest: readonly AppliedEntry[];
  /** Of a check: paths of what would be applied, the first of very many. */
  readonly planned: readonly string[];
}
