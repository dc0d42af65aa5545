/** What is asked of a journal besides commits and the reads of the runtime: inspection, deletion, retention, backup. Each is a slice of some milliseconds, but a backup and a purge, which write what they must: a quarter of a second after 60 MiB. */
import type { JournalQuestions } from "../kernel/inspection.ts";
import { CohortError } from "../kernel/error.ts";
import { walkChain } from "./chain-check.ts";
import { eraseSlice, eraseStart, unsettledEffects, type EraseProgress, type ErasureSpec } from "./eraser.ts";
import { checkedLimit, inspectActor, pendingEffects, readEvents, sizeOf, summarize, type TailFacts } from "./inspection.ts";
import type { Statements } from "./statements.ts";
import { sweepSlice, type SweepProgress } from "./sweeper.ts";

export interface PendingErasure {
  readonly spec: ErasureSpec;
  readonly atMs: number;
}

export interface Upkeep extends JournalQuestions {
  /** Effects of the actors of a scope that are not over. */
  readonly unsettled: { readonly ask: { readonly scope: string }; readonly answer: number };
  readonly erasures: { readonly ask: null; readonly answer: readonly PendingErasure[] };
  readonly erase: {
    readonly ask: { readonly spec: ErasureSpec; readonly from: EraseProgress; readonly limit: number };
    readonly answer: EraseProgress;
  };
  /** What was erased is gone from every file of the journal. Rejects with JOURNAL_FULL where the tables cannot be written. */
  readonly purge: { readonly ask: { readonly epoch: number }; readonly answer: null };
  readonly sweep: {
    readonly ask: { readonly cutoffMs: number; readonly from: SweepProgress; readonly limit: number };
    readonly answer: SweepProgress;
  };
  /** Gives free pages back to the disk; answers how many are left. */
  readonly shrink: { readonly ask: { readonly pages: number }; readonly answer: number };
  /** A whole journal in one new file. Rejects where the file exists. */
  readonly backup: { readonly ask: { readonly path: string }; readonly answer: { readonly bytes: number } };
}

export type UpkeepName = keyof Upkeep;

export interface UpkeepPlace {
  readonly statements: Statements;
  readonly tail: TailFacts;
  /** Grows when what was not committed is taken back. */
  readonly epoch: number;
  /** The tables were changed, though no batch came. */
  changed(): void;
  purge(): void;
  /** Answers its size. */
  backup(path: string): number;
}

type Handlers = { readonly [N in UpkeepName]: (place: UpkeepPlace, ask: Upkeep[N]["ask"]) => Upkeep[N]["answer"] };

const handlers: Handlers = {
  size: ({ statements, tail }) => sizeOf(statements, tail),
  summary: ({ statements, tail }, { measure }) => summarize(statements, tail, measure),
  events: ({ statements }, query) => readEvents(statements, { ...query, limit: checkedLimit(query.limit) }),
  effects: ({ statements }, { after, limit }) => pendingEffects(statements, after, checkedLimit(limit)),
  actor: ({ statements }, { ref }) => inspectActor(statements, ref),
  walk: ({ statements }, { from, limit }) => walkChain(statements, from, checkedLimit(limit)),
  erasures: ({ statements }) =>
    statements
      .all<{ at_ms: number; spec: string }>("SELECT at_ms, spec FROM erasure ORDER BY at_ms")
      .map(({ at_ms, spec }) => ({ atMs: at_ms, spec: JSON.parse(spec) as ErasureSpec })),
  erase: (place, { spec, from, limit }) => {
    place.changed();
    const { epoch } = place;
    const present = from.epoch === epoch ? from : eraseStart;
    return { ...eraseSlice(place.statements, spec, present, checkedLimit(limit)), epoch };
  },
  purge: (place, { epoch }) => {
    if (epoch !== place.epoch) throw new CohortError("JOURNAL_FULL", { on: "what was deleted is not yet gone from the disk" });
    place.purge();
    return null;
  },
  unsettled: ({ statements }, { scope }) => unsettledEffects(statements, scope),
  sweep: (place, { cutoffMs, from, limit }) => {
    const swept = sweepSlice(place.statements, cutoffMs, from, checkedLimit(limit));
    if (swept.removed > from.removed) place.changed();
    return swept;
  },
  shrink: (place, { pages }) => {
    // Each step of the statement gives one page back.
    if (freePages(place.statements) > 0) place.changed();
    place.statements.all(`PRAGMA incremental_vacuum(${checkedLimit(pages)})`);
    return freePages(place.statements);
  },
  backup: (place, { path }) => ({ bytes: place.backup(path) }),
};

function freePages(statements: Statements): number {
  return statements.one<{ freelist_count: number }>("PRAGMA freelist_count")?.freelist_count ?? 0;
}

export function runUpkeep<N extends UpkeepName>(place: UpkeepPlace, name: N, ask: Upkeep[N]["ask"]): Upkeep[N]["answer"] {
  return handlers[name](place, ask);
}
