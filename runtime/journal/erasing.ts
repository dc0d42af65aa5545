/**
 * The way of a deletion through a journal, from the moment it is written down to its tombstone. Owns nothing: where it was cut off, the journal knows,
 * and all of it may be done again.
 *
 * 1. First what was said is taken out of the tables, in slices; then out of the files, by a checkpoint and by writing over what is left; then it is over.
 * 2. What lies elsewhere (`removeContent`) goes before that and after it: until the tail is void, a crash may bring it back.
 */
import { ERASE_SLICE_ROWS, SHRINK_SLICE_PAGES, SWEEP_SLICE_ROWS } from "../kernel/limits.ts";
import { eraseStart, type EraseProgress, type ErasureSpec } from "./eraser.ts";
import type { Journal } from "./journal-port.ts";

export interface Erased {
  readonly spec: ErasureSpec;
  readonly events: number;
  /** Over the commitments of what was erased. */
  readonly digest: string;
}

export async function eraseScopes(
  journal: Journal,
  specs: readonly ErasureSpec[],
  removeContent: (scope: string) => Promise<void>,
): Promise<readonly Erased[]> {
  const erased: Erased[] = [];
  let epoch = 0;
  for (const spec of specs) {
    await removeContent(spec.scope);
    let progress: EraseProgress = eraseStart;
    while (!progress.done) progress = await journal.upkeep("erase", { spec, from: progress, limit: ERASE_SLICE_ROWS });
    if (erased.length === 0) ({ epoch } = progress);
    erased.push({ spec, events: progress.events, digest: progress.digest });
  }
  // Rejects when a full disk took back what one of the slices did: then nothing is over yet.
  await journal.upkeep("purge", { epoch });
  for (const { scope } of specs) await removeContent(scope);
  return erased;
}

/** Removes old facts of what was erased, and gives free pages back. Answers how many events went. */
export async function sweepEvents(journal: Journal, cutoffMs: number): Promise<number> {
  let progress = { seq: 0, removed: 0, done: false };
  while (!progress.done) progress = await journal.upkeep("sweep", { cutoffMs, from: progress, limit: SWEEP_SLICE_ROWS });
  for (let left = Infinity; left > 0;) {
    const now = await journal.upkeep("shrink", { pages: SHRINK_SLICE_PAGES });
    if (now >= left) break;
    left = now;
  }
  return progress.removed;
}
