/**
 * Owns applies/: an empty file for each call of cohort-apply that changes a directory, from before it begins until how it went is written down.
 * Does not own what is applied, nor where its journal lies.
 *
 * 1. A crash at any point leaves a name here, and a journal that says whether the call is to be finished or taken back.
 * 2. How it went is told again and again until `forget`.
 */
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CohortError } from "../runtime/kernel/error.ts";
import { installedApply, recoverApply, runApply, type ApplyReport, type ApplyRequest } from "../vm/apply-process.ts";
import { hasCode, syncDirectory } from "./content.ts";

export interface ApplyPlace {
  /** [a-z0-9.-]+, unique among calls that may be under way. */
  readonly name: string;
  readonly journal: string;
}

export class ApplyJournals {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Rejects with APPLY_FAILED when nothing was applied; a call that was cut off within is finished first. Then `forget`. */
  async apply(place: ApplyPlace, request: Omit<ApplyRequest, "journal">): Promise<ApplyReport> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    await writeFile(join(this.#directory, place.name), "", { mode: 0o600, flush: true });
    await syncDirectory(this.#directory);
    let report: ApplyReport;
    try {
      report = await runApply(await installedApply(), { ...request, journal: place.journal });
    } catch (error) {
      report = await recoverApply(await installedApply(), place.journal);
      if (report.result !== "applied" && report.result !== "partly") {
        await this.forget(place);
        throw error;
      }
    }
    if (report.result !== "target-gone") return report;
    await this.forget(place);
    throw new CohortError("APPLY_FAILED", { on: `${request.target} is not there any more` });
  }

  /** What `apply` would report; nothing is written, and there is nothing to forget. */
  async check(place: ApplyPlace, request: Omit<ApplyRequest, "journal">): Promise<ApplyReport> {
    const report = await runApply(await installedApply(), { ...request, journal: place.journal, check: true });
    await this.forget(place);
    if (report.result === "target-gone") throw new CohortError("APPLY_FAILED", { on: `${request.target} is not there any more` });
    return report;
  }

  /** Finishes or takes back what a crash left, and tells how it went; null when there was nothing. Then `forget`. */
  async settle(place: ApplyPlace): Promise<ApplyReport | null> {
    if (!(await this.names()).includes(place.name)) return null;
    return recoverApply(await installedApply(), place.journal);
  }

  async forget(place: ApplyPlace): Promise<void> {
    for (const path of [place.journal, `${place.journal}.lock`, join(this.#directory, place.name)]) await rm(path, { force: true });
  }

  async names(): Promise<readonly string[]> {
    return namesIn(this.#directory);
  }
}

export async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  }
}
