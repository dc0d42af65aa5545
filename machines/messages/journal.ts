/** What is asked of the journal over the socket, and what is answered besides what runtime/kernel/inspection.ts names. */
import { z } from "zod";
import type { ChainWalk } from "../../runtime/kernel/inspection.ts";

const limit = z.number().int().min(1).max(5000).default(1000);
const cursor = z.number().int().min(0).default(0);

export const journalQuestionSchema = z.discriminatedUnion("question", [
  /** `measure`: sizes of tables, too, for which every page is read. */
  z.strictObject({ question: z.literal("summary"), measure: z.boolean().default(false) }),
  /** `of`: an actor, or a scope and what is inside it; of a run `run:<id>`. */
  z.strictObject({
    question: z.literal("events"),
    of: z.string().max(500).optional(),
    type: z.string().max(200).optional(),
    after: cursor,
    limit,
  }),
  z.strictObject({ question: z.literal("effects"), after: cursor, limit }),
  z.strictObject({ question: z.literal("actor"), ref: z.string().max(500) }),
]);

/** Absolute: cohortd has a directory of its own. */
export const backupSchema = z.strictObject({
  path: z
    .string()
    .regex(/^\/[^\0]+$/, "an absolute path")
    .max(4095),
});

export interface JournalState {
  /** The disk is full: nothing is accepted but what ends or takes back something. */
  readonly full: boolean;
  readonly bytes: number;
  readonly freeBytes: number;
  readonly tailBytes: number;
  readonly reserveBytesLeft: number;
  /** Deletions that are not finished. */
  readonly erasures: number;
}

export interface RunDeleted {
  readonly run: string;
  /** What lay in its content. */
  readonly files: number;
  readonly bytes: number;
  /** False: a full disk keeps the journal from letting go; it goes on by itself. */
  readonly complete: boolean;
}

export interface ContentProblem {
  readonly run: string;
  readonly index: number;
  readonly attempt: number;
  readonly what: "result" | "transcript";
  readonly reason: "changed" | "missing";
}

export interface ContentCheck {
  readonly runs: number;
  readonly results: number;
  readonly transcripts: number;
  /** Written before there were hashes. */
  readonly unhashed: number;
  readonly problems: readonly ContentProblem[];
}

/** Items of journal.verify: how far it came, last the whole. */
export interface VerifyItem {
  readonly events: ChainWalk;
  readonly content: ContentCheck;
  readonly done: boolean;
}
