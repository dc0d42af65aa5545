/** An approval: the one object that a person answers when a task asks for something. The zod schemas are the boundary. */
import { z } from "zod";
import { grantModeSchema, reasonSchema, ttlMsSchema } from "./grant.ts";

export const approvalIdSchema = z.string().regex(/^a[1-9][0-9]{0,9}$/, "expected the id of a question, as a3");

/** Nobody answered for this long: denied. */
export const APPROVAL_EXPIRY_MS = 24 * 3_600_000;
/** Unanswered ones of one child: its further asks are denied at once. */
export const APPROVALS_PER_CHILD_MAX = 16;
/** What a person is offered; any other is accepted, too. */
export const TTL_CHOICES_MS: readonly number[] = [5 * 60_000, 30 * 60_000, 4 * 3_600_000, 24 * 3_600_000];

/** pending → approved | denied | expired (after 24 h) | withdrawn (its child ended). */
export const approvalStateSchema = z.enum(["pending", "approved", "denied", "expired", "withdrawn"]);
export type ApprovalState = z.infer<typeof approvalStateSchema>;

export const riskSchema = z.object({
  level: z.enum(["low", "medium", "high"]),
  /** Each a sentence; empty for low. */
  reasons: z.array(z.string()),
});
export type Risk = z.infer<typeof riskSchema>;

export const approvalSummarySchema = z.object({
  approval: approvalIdSchema,
  state: approvalStateSchema,
  /** Who asks, and for which task. */
  run: z.string(),
  runTitle: z.string(),
  index: z.number(),
  attempt: z.number(),
  child: z.string(),
  title: z.string(),
  /** The child's words: show them as such. */
  why: z.string(),
  path: z.string(),
  mode: grantModeSchema,
  ttlChoicesMs: z.array(z.number()),
  risk: riskSchema,
  /** What the same path was given for earlier in this run, latest first. */
  earlier: z.array(
    z.object({ grant: z.string(), mode: grantModeSchema, child: z.string(), index: z.number(), reason: z.string(), atMs: z.number() }),
  ),
  /** So often it was asked. */
  asks: z.number(),
  askedAtMs: z.number(),
  expiresAtMs: z.number(),
  answer: z
    .object({
      by: z.enum(["person", "pre-answer", "expiry", "system"]),
      mode: grantModeSchema,
      ttlMs: z.number(),
      reason: z.string(),
      atMs: z.number(),
      grant: z.string().nullable(),
    })
    .nullable(),
});
export type ApprovalSummary = z.infer<typeof approvalSummarySchema>;

export const approvalAnswerSchema = z.strictObject({
  approval: approvalIdSchema,
  decision: z.enum(["approve", "deny"]),
  /** Less than what was asked for, never more; default: what was asked for. */
  mode: grantModeSchema.optional(),
  ttlMs: ttlMsSchema.optional(),
  uses: z.number().int().min(1).max(100).optional(),
  /** The child hears it when it is denied. */
  reason: reasonSchema.default(""),
  acceptUnprotected: z.boolean().default(false),
  acceptHome: z.boolean().default(false),
});
export type ApprovalAnswer = z.infer<typeof approvalAnswerSchema>;

/** An answer given with the run: the first that fits an ask decides it, and nobody is asked. */
export const preAnswerSchema = z
  .strictObject({
    path: z.string().startsWith("/").max(4095).describe("Of this path and everything below it"),
    mode: grantModeSchema.describe(
      "approve: for asks of this mode or a lesser one; deny: of this mode or a greater one (ro < staged < rw)",
    ),
    decision: z.enum(["approve", "deny"]),
    ttlMs: ttlMsSchema.optional(),
  })
  .describe("An answer given before anybody asks");
export type PreAnswer = z.infer<typeof preAnswerSchema>;

/** What a child may ask for, after its channel has validated it. */
export interface DirectoryAsk {
  readonly path: string;
  readonly mode: z.infer<typeof grantModeSchema>;
  readonly why: string;
}

/** What the child is told. */
export type AskAnswer =
  | { readonly answer: "granted"; readonly path: string; readonly mode: z.infer<typeof grantModeSchema> }
  | { readonly answer: "denied"; readonly reason: string };
