/**
 * Owns content/<run>/undo/<grant>/: what a directory held before it was granted for writing, and the journal of a restoration that is under way.
 * Does not own the directory: cohort-apply reads and writes there, as the person.
 *
 * 1. A copy is whole and synced before the grant is attached, or there is none, and its absence is told.
 * 2. Restoring brings back what was overwritten or deleted; what was added stays.
 */
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { CohortError } from "../runtime/kernel/error.ts";
import { PROTECTED_NAMES } from "../runtime/kernel/protected-names.ts";
import type { GrantApplied } from "../machines/messages/grant.ts";
import { installedApply, runCompare, runCopy } from "../vm/apply-process.ts";
import type { StagedWork } from "../vm/staged-work.ts";
import type { ApplyJournals, ApplyPlace } from "./apply-journals.ts";
import { hasCode, syncDirectory, type Content } from "./content.ts";
import { appliedOf } from "./staged-answers.ts";

/** What a person would wait for before a grant, and what a copy may take of their disk. */
const COPY_BYTES_MAX = 256 * 1024 ** 2;
const COPY_FILES_MAX = 20_000;

export interface UndoGrant {
  readonly grant: string;
  readonly run: string;
  /** The directory on this machine. */
  readonly path: string;
}

/** none: it is no directory; too-large: over 256 MiB or 20,000 files. */
export type UndoCopy = "copied" | "too-large" | "none";

export interface UndoCopiesParts {
  readonly content: Content;
  readonly journals: ApplyJournals;
  readonly work: StagedWork;
}

export class UndoCopies {
  readonly #parts: UndoCopiesParts;

  constructor(parts: UndoCopiesParts) {
    this.#parts = parts;
  }

  /** Before the grant is attached. Idempotent: a copy that stands is kept, since the child may have written meanwhile. */
  async make(grant: UndoGrant): Promise<UndoCopy> {
    const directory = this.#directory(grant);
    const copy = join(directory, "copy");
    const partial = join(directory, "partial");
    if (await isDirectory(copy)) return "copied";
    if (!(await isDirectory(grant.path))) return "none";
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await rm(partial, { recursive: true, force: true });
    const report = await runCopy(await installedApply(), {
      target: grant.path,
      copy: partial,
      bytesMax: COPY_BYTES_MAX,
      filesMax: COPY_FILES_MAX,
    });
    if (report.result !== "copied") {
      await rm(partial, { recursive: true, force: true });
      return report.result === "too-large" ? "too-large" : "none";
    }
    await rename(partial, copy);
    await syncDirectory(directory);
    return "copied";
  }

  /** Rejects with CONTENT_GONE when there is no copy, APPLY_FAILED, or STAGED_INCOMPLETE when more is missing than a diff may hold. */
  async restore(grant: UndoGrant): Promise<GrantApplied> {
    const { journals, work } = this.#parts;
    const place = this.#place(grant);
    const directory = this.#directory(grant);
    // However an earlier one went: what it left is compared anew.
    if ((await journals.settle(place)) !== null) await journals.forget(place);
    const copy = join(directory, "copy");
    if (!(await isDirectory(copy))) throw new CohortError("CONTENT_GONE", { on: `the undo copy of ${grant.grant}` });
    const archive = join(directory, "archive");
    const compared = await runCompare(await installedApply(), {
      target: grant.path,
      copy,
      archive,
      bytesMax: COPY_BYTES_MAX,
      filesMax: 2 * COPY_FILES_MAX,
    });
    if (compared.result !== "compared") throw new CohortError("APPLY_FAILED", { on: `${grant.path} cannot be read` });
    const listing = await work.list(archive);
    if (listing.truncated) throw new CohortError("STAGED_INCOMPLETE", { on: grant.path });
    const report = await journals.apply(place, {
      target: grant.path,
      archive,
      // It is the person's own content that comes back.
      accept: PROTECTED_NAMES,
      only: null,
      waive: [],
      conflicts: "skip",
      check: false,
    });
    await journals.forget(place);
    return appliedOf(grant.grant, listing.entries, report);
  }

  /** Finishes or takes back what a crash left. */
  async recover(): Promise<void> {
    for (const name of await this.#parts.journals.names()) {
      const [what, run = "", ...rest] = name.split(".");
      const place = this.#place({ run, grant: rest.join(".") });
      if (what === "undo" && (await this.#parts.journals.settle(place)) !== null) await this.#parts.journals.forget(place);
    }
  }

  #directory({ run, grant }: Pick<UndoGrant, "run" | "grant">): string {
    return join(this.#parts.content.runDirectory(run), "undo", grant);
  }

  #place(grant: Pick<UndoGrant, "run" | "grant">): ApplyPlace {
    return { name: `undo.${grant.run}.${grant.grant}`, journal: join(this.#directory(grant), "journal") };
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (hasCode(error, "ENOENT") || hasCode(error, "ENOTDIR") || hasCode(error, "EACCES")) return false;
    throw error;
  }
}
