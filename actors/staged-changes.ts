/**
 * Owns content/<run>/staged/<grant>/: the archive of what a child changed in a staged directory, what of it was applied, and the journal of an apply
 * that is under way.
 * Does not own the sandbox, nor the source: cohort-apply writes there, as the person.
 *
 * 1. An archive counts when it is synced; it is kept until it is discarded, also when child, warden and cohortd are gone.
 * 2. An apply that a crash cut off is finished or taken back by the next call, or the next start.
 * 3. One at a time for a grant.
 */
import { randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { CohortError } from "../runtime/kernel/error.ts";
import type { GrantApplied, GrantDiff } from "../machines/messages/grant.ts";
import type { ApplyReport } from "../vm/apply-process.ts";
import type { StagedEntry } from "../vm/staged-archive.ts";
import type { StagedListing } from "../vm/staged-listing.ts";
import { StagedWork } from "../vm/staged-work.ts";
import { namesIn, ApplyJournals, type ApplyPlace } from "./apply-journals.ts";
import type { AuxiliaryExecs } from "./auxiliary-execs.ts";
import { hasCode, syncDirectory, type Content } from "./content.ts";
import { appliedOf, diffEntry, isBelow } from "./staged-answers.ts";
import { collectDiff } from "./staged-collection.ts";
import type { ApplyOptions, StagedDiffs, StagedGrant } from "./staged-diffs.ts";
import { freshState, readState, writeState, type StagedRecord } from "./staged-state.ts";
import { UndoCopies } from "./undo-copies.ts";
import type { VmLink } from "./vm-link.ts";

/** More does not help a person, nor fit an answer. */
const ENTRIES_SHOWN_MAX = 5000;
const PATCH_CHARS_MAX = 1024 ** 2;

export interface StagedChangesParts {
  readonly content: Content;
  readonly link: Pick<VmLink, "call">;
  readonly execs: AuxiliaryExecs;
  /** Of cohortd; applies/ is made in it. */
  readonly stateDirectory: string;
}

interface Held {
  readonly archive: string;
  readonly state: StagedRecord;
  readonly listing: StagedListing;
}

export class StagedChanges implements StagedDiffs {
  /** Of grants for writing: what stood there before. */
  readonly undo: UndoCopies;
  readonly #parts: StagedChangesParts;
  readonly #journals: ApplyJournals;
  readonly #work = new StagedWork();
  readonly #turns = new Map<string, Promise<void>>();

  constructor(parts: StagedChangesParts) {
    this.#parts = parts;
    this.#journals = new ApplyJournals(join(parts.stateDirectory, "applies"));
    this.undo = new UndoCopies({ content: parts.content, journals: this.#journals, work: this.#work });
  }

  collect(staged: StagedGrant, signal: AbortSignal): Promise<void> {
    return this.#inTurn(staged, async () => {
      const { link, execs } = this.#parts;
      await mkdir(this.#directory(staged), { recursive: true, mode: 0o700 });
      const state = await this.#settledState(staged);
      if (state.discarded) return;
      // A name of its own, so that one write changes both the archive and what the numbers of its entries mean.
      const archive = `archive-${randomBytes(8).toString("hex")}`;
      const archivePath = join(this.#directory(staged), archive);
      await link.call(signal, (vm) => collectDiff({ vm, execs, name: staged.child, target: staged.as, archivePath }, signal));
      await writeState(this.#state(staged), { ...state, archive, applied: [], finished: false });
      await this.#removeAllBut(staged, archive);
      await syncDirectory(join(this.#directory(staged), ".."));
      await syncDirectory(this.#parts.content.runDirectory(staged.run));
    });
  }

  diff(staged: StagedGrant, patch: boolean): Promise<GrantDiff> {
    return this.#inTurn(staged, async () => {
      const { state, archive, listing } = await this.#held(staged);
      const left = remaining(listing.entries, state);
      const shown = left.slice(0, ENTRIES_SHOWN_MAX);
      return {
        grant: staged.grant,
        path: staged.path,
        entries: shown.map((entry) => diffEntry(entry, isWaived(entry, state))),
        entriesMore: left.length - shown.length,
        isIncomplete: listing.truncated,
        bytes: left.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
        patch: patch ? await this.#work.patch({ archive, source: staged.path, entries: shown, charsMax: PATCH_CHARS_MAX }) : "",
      };
    });
  }

  apply(staged: StagedGrant, { accept, only, check }: ApplyOptions): Promise<GrantApplied> {
    return this.#inTurn(staged, async () => {
      const { state, archive, listing } = await this.#held(staged);
      if (listing.truncated) throw new CohortError("STAGED_INCOMPLETE", { on: staged.path });
      const left = remaining(listing.entries, state);
      const chosen = only === undefined ? left : left.filter(({ path }) => only.some((above) => isBelow(path, above)));
      const unknown = only?.find((path) => !left.some((entry) => isBelow(entry.path, path)));
      if (unknown !== undefined) throw new CohortError("REQUEST_INVALID", { on: `nothing changed at ${JSON.stringify(unknown)}` });
      const request = {
        target: staged.path,
        archive,
        accept,
        only: chosen.map(({ number }) => number),
        waive: chosen.filter((entry) => isWaived(entry, state)).map(({ number }) => number),
        conflicts: "all-or-nothing",
        check,
      } as const;
      if (check) return appliedOf(staged.grant, chosen, await this.#journals.check(this.#place(staged), request));
      const report = await this.#journals.apply(this.#place(staged), request);
      await this.#remember(staged, state, listing.entries, report);
      await this.#journals.forget(this.#place(staged));
      return appliedOf(staged.grant, chosen, report);
    });
  }

  discard(staged: StagedGrant): Promise<void> {
    return this.#inTurn(staged, async () => {
      try {
        await this.#writeDiscarded(staged);
      } catch (error) {
        if (!hasCode(error, "ENOSPC")) throw error;
        // On a full disk what goes makes room for the word that it is gone. Where nothing lies the grant's own end says it.
        if ((await this.#removeAllBut(staged, "")) > 0) await this.#writeDiscarded(staged);
      }
      await this.#removeAllBut(staged, "");
    });
  }

  async #writeDiscarded(staged: StagedGrant): Promise<void> {
    await mkdir(this.#directory(staged), { recursive: true, mode: 0o700 });
    const state = await this.#settledState(staged);
    await writeState(this.#state(staged), { ...state, discarded: true });
  }

  state(staged: StagedGrant): Promise<"none" | "held" | "applied" | "discarded"> {
    return this.#inTurn(staged, async () => {
      const state = await readState(this.#state(staged));
      if (state === null || (state.archive === null && !state.discarded)) return "none";
      if (state.discarded) return "discarded";
      return state.finished ? "applied" : "held";
    });
  }

  /** Finishes or takes back what a crash left; at the start, before anything is asked. */
  async recover(): Promise<void> {
    for (const name of await this.#journals.names()) {
      const [, run = "", ...grant] = name.split(".");
      const staged = { run, grant: grant.join(".") };
      if (name !== this.#place(staged).name) continue;
      await this.#inTurn(staged, () => this.#settledState(staged));
    }
    await this.undo.recover();
  }

  /** Something of the run is being written into a directory of the person, or taken back. */
  async isApplying(run: string): Promise<boolean> {
    return (await this.#journals.names()).some((name) => name.split(".")[1] === run);
  }

  close(): Promise<void> {
    return this.#work.close();
  }

  async #inTurn<T>(staged: Pick<StagedGrant, "grant">, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(staged.grant) ?? Promise.resolve();
    const turn = before.then(work);
    const ended = turn.then(
      () => {},
      () => {},
    );
    this.#turns.set(staged.grant, ended);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(staged.grant) === ended) this.#turns.delete(staged.grant);
    }
  }

  async #held(staged: StagedGrant): Promise<Held> {
    const state = await this.#settledState(staged);
    if (state.discarded) throw new CohortError("CONTENT_GONE", { on: `what ${staged.grant} held was discarded` });
    const archive = this.#archive(staged, state);
    return { state, archive, listing: await this.#work.list(archive) };
  }

  /** After an apply that was cut off: finishes it or takes it back first. */
  async #settledState(staged: Pick<StagedGrant, "run" | "grant">): Promise<StagedRecord> {
    const state = (await readState(this.#state(staged))) ?? freshState;
    const report = await this.#journals.settle(this.#place(staged));
    if (report === null) return state;
    const isToldOf = report.entries.size > 0 && state.archive !== null;
    const settled = isToldOf
      ? await this.#remember(staged, state, (await this.#work.list(this.#archive(staged, state))).entries, report)
      : state;
    await this.#journals.forget(this.#place(staged));
    return settled;
  }

  async #remember(
    staged: Pick<StagedGrant, "run" | "grant">,
    state: StagedRecord,
    entries: readonly StagedEntry[],
    report: ApplyReport,
  ): Promise<StagedRecord> {
    const done = entries.filter(({ number }) => report.entries.get(number)?.status === "applied");
    const files = done.filter(({ record }) => record === "file");
    const hashes = await this.#work.hash({
      archive: this.#archive(staged, state),
      contents: files.map(({ contentAt, sizeBytes }) => ({ at: contentAt, sizeBytes })),
    });
    const written = { ...state.written, ...Object.fromEntries(files.map(({ path }, index) => [path, hashes[index] ?? ""])) };
    // A crash after this was written tells the same again.
    const applied = [...new Set([...state.applied, ...done.map(({ number }) => number)])];
    const changed = {
      ...state,
      applied,
      written,
      finished: applied.length === entries.filter(({ record }) => record !== "refused").length,
    };
    await writeState(this.#state(staged), changed);
    return changed;
  }

  #directory({ run, grant }: Pick<StagedGrant, "run" | "grant">): string {
    return join(this.#parts.content.runDirectory(run), "staged", grant);
  }

  #archive(staged: Pick<StagedGrant, "run" | "grant">, { archive }: StagedRecord): string {
    if (archive === null) throw new CohortError("CONTENT_GONE", { on: `the diff of ${staged.grant}` });
    return join(this.#directory(staged), archive);
  }

  async #removeAllBut(staged: StagedGrant, kept: string): Promise<number> {
    const directory = this.#directory(staged);
    const removed = (await namesIn(directory)).filter((name) => name.startsWith("archive-") && name !== kept);
    for (const name of removed) await rm(join(directory, name), { force: true });
    return removed.length;
  }

  #state(staged: Pick<StagedGrant, "run" | "grant">): string {
    return join(this.#directory(staged), "state.json");
  }

  #place(staged: Pick<StagedGrant, "run" | "grant">): ApplyPlace {
    return { name: `staged.${staged.run}.${staged.grant}`, journal: join(this.#directory(staged), "journal") };
  }
}

function remaining(entries: readonly StagedEntry[], state: StagedRecord): readonly StagedEntry[] {
  const applied = new Set(state.applied);
  return applied.size === 0 ? entries : entries.filter(({ number }) => !applied.has(number));
}

/** The source changed because we wrote there, and has not changed since. */
function isWaived(entry: StagedEntry, state: StagedRecord): boolean {
  return entry.conflict && entry.before.kind === "file" && state.written[entry.path] === entry.before.sha256;
}
