/** What is remembered of one staged grant beside its archive: a small file, replaced whole and synced. */
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { hasCode, replaceDurably } from "./content.ts";

const schema = z.strictObject({
  discarded: z.boolean(),
  /** Name of the archive's file; null before the first. */
  archive: z.string().nullable(),
  /** Entries of this archive that are in the source already. */
  applied: z.array(z.number().int().min(0)),
  /** Everything that could be applied was. */
  finished: z.boolean(),
  /** SHA-256 of what was applied to a path: where the source is that, it did not change underneath. */
  written: z.record(z.string(), z.string()),
});
export type StagedRecord = z.infer<typeof schema>;

export const freshState: StagedRecord = { discarded: false, archive: null, applied: [], finished: false, written: {} };

/** Null when there is none yet. */
export async function readState(path: string): Promise<StagedRecord | null> {
  try {
    return schema.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (error) {
    if (hasCode(error, "ENOENT")) return null;
    throw error;
  }
}

export async function writeState(path: string, state: StagedRecord): Promise<void> {
  await replaceDurably(path, JSON.stringify(state));
}
