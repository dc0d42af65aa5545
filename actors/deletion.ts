/**
 * Owns the way of a run out of this machine: what it was asked, wrote, left and said, in content/ and in the journal.
 * Does not own when retention wants that (retention.ts).
 *
 * 1. Only a run of which nothing lives is deleted, and once that is written down it is no longer listed; the rest follows, after a crash at the next start.
 * 2. What was changed in a staged directory and not applied is not lost without a word.
 * 3. What is left: that there was such a run, when it was deleted and who asked, and the facts of its events until retention takes them.
 */
import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Erasure, Origin, Runtime } from "../runtime/contract.ts";
import { CohortError, isCohortError } from "../runtime/kernel/error.ts";
import type { RuntimeLog } from "../runtime/log/runtime-log.ts";
import type { RunDeleted } from "../machines/messages/journal.ts";
import { hasCode, syncDirectory, type Content } from "./content.ts";
import type { Grants } from "./contract.ts";
import type { DenialFile } from "./denial-file.ts";
import type { ResultFile } from "./result-file.ts";
import { answeredApprovals, endedGrants } from "./permissions/permission-rows.ts";
import { runScope } from "./run-actor.ts";
import { DELETED_RUNS, type RunJournal } from "./run-journal.ts";

/** The last effects of a run (its files are closed, say) end in a moment. */
const QUIET_MS_MAX = 5000;
const QUIET_LOOK_MS = 50;
/** What a full disk kept from being finished is tried again. */
const RETRY_MS = 30_000;

export interface DeletionParts {
  readonly runtime: Runtime;
  readonly content: Content;
  readonly journal: RunJournal;
  readonly results: ResultFile;
  readonly denialFile: DenialFile;
  /** Grants of the run whose staged changes are neither applied nor discarded. */
  readonly held: (run: string) => Promise<readonly string[]>;
  /** An apply or undo of the run's directories is under way. */
  readonly applies: (run: string) => Promise<boolean>;
  readonly log: RuntimeLog;
}

export class Deletion {
  readonly #parts: DeletionParts;
  #turn: Promise<void> = Promise.resolve();
  #retry: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(parts: DeletionParts) {
    this.#parts = parts;
  }

  /** Resolves when nothing is left, or (`complete: false`) when only a full journal keeps it from being so. Rejects with RUN_LIVES, RUN_UNKNOWN, CONTENT_GONE. */
  async delete(run: string, discard: boolean, origin: Origin): Promise<RunDeleted> {
    const { content, journal, held, applies } = this.#parts;
    const row = await journal.row(run);
    if (row.finishedAtMs === null) throw new CohortError("RUN_LIVES", { on: `run ${run} is ${row.status}` });
    const kept = discard ? [] : await held(run);
    if (kept.length > 0)
      throw new CohortError("REQUEST_INVALID", {
        on: `run ${run} holds changes to staged directories that are not applied: ${kept.slice(0, 5).join(", ")}`,
        hint: "apply or discard them first, or delete them with --discard",
      });
    if (await applies(run)) throw new CohortError("RUN_LIVES", { on: `run ${run}: changes of it are being applied` });
    const size = await measured(content.runDirectory(run));
    await this.#begin(await this.#erasure(run), origin);
    return { run, ...size, complete: await this.finish() };
  }

  async #erasure(run: string): Promise<Erasure> {
    const { runtime } = this.#parts;
    const grants = (await endedGrants(runtime)).filter((row) => row.run === run).map(({ grant }) => grant);
    const approvals = (await answeredApprovals(runtime)).filter((row) => row.run === run).map(({ approval }) => approval);
    const ofRun = await keysBelow(runtime, "grantsOfRun", `${run}/`);
    return {
      scope: runScope(run),
      logs: [`run:${run}`],
      projections: [
        { collection: "runs", key: run },
        ...grants.map((key) => ({ collection: "grantsEnded", key })),
        ...approvals.map((key) => ({ collection: "approvalsAnswered", key })),
        ...ofRun.map((key) => ({ collection: "grantsOfRun", key })),
      ],
      put: [{ collection: DELETED_RUNS, key: run, value: { run, deletedAtMs: Date.now() } }],
    };
  }

  async #begin(erasure: Erasure, origin: Origin): Promise<void> {
    for (let waitedMs = 0; ; waitedMs += QUIET_LOOK_MS) {
      try {
        return await this.#parts.runtime.erase(erasure, origin);
      } catch (error) {
        if (!isCohortError(error, "SCOPE_ALIVE")) throw error;
        if (waitedMs >= QUIET_MS_MAX) throw new CohortError("RUN_LIVES", { on: error.message, cause: error });
        await delay(QUIET_LOOK_MS);
      }
    }
  }

  /** All that was begun, one after the other. False when a full disk keeps the journal from letting go: then it is tried again. */
  async finish(): Promise<boolean> {
    const finished = this.#turn.then(() => this.#finish());
    this.#turn = finished.then(
      () => {},
      () => {},
    );
    return finished;
  }

  async #finish(): Promise<boolean> {
    const { runtime, log } = this.#parts;
    const scopes = await runtime.erasing();
    if (scopes.length === 0) return true;
    try {
      await runtime.finishErasing(scopes, (scope) => this.#removeContent(scope.slice(runScope("").length)));
      return true;
    } catch (error) {
      if (!isCohortError(error, "JOURNAL_FULL")) throw error;
      log.warn({ scopes, error }, "a deletion waits for space on the journal's disk");
      this.#tryAgain();
      return false;
    }
  }

  #tryAgain(): void {
    if (this.#retry !== null || this.#stopped) return;
    this.#retry = setTimeout(() => {
      this.#retry = null;
      this.finish().catch((error: unknown) =>
        this.#parts.log.error({ error }, "a deletion could not be finished; the next start tries again"),
      );
    }, RETRY_MS);
    this.#retry.unref();
  }

  async #removeContent(run: string): Promise<void> {
    const { content, results, denialFile } = this.#parts;
    const directory = content.runDirectory(run);
    await results.close(run);
    await denialFile.close(run);
    content.release(run);
    await rm(directory, { recursive: true, force: true });
    await syncDirectory(join(directory, ".."));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    await this.#turn;
  }
}

/** Of a run's staged directories: changes that are neither applied nor discarded. */
export async function heldChanges(grants: Pick<Grants, "list">, run: string): Promise<readonly string[]> {
  const all = await grants.list({ run, ended: true, limit: 1000 });
  return all.filter(({ staged }) => staged === "held").map(({ grant }) => grant);
}

async function keysBelow(runtime: Runtime, collection: string, prefix: string): Promise<readonly string[]> {
  const keys: string[] = [];
  for (let after = prefix; ;) {
    const page = await runtime.list(collection, { after, limit: 1000 });
    for (const { key } of page) {
      if (!key.startsWith(prefix)) return keys;
      keys.push(key);
      after = key;
    }
    if (page.length < 1000) return keys;
  }
}

async function measured(directory: string): Promise<{ readonly files: number; readonly bytes: number }> {
  let [files, bytes] = [0, 0];
  try {
    for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      files++;
      bytes += (await stat(join(entry.parentPath, entry.name))).size;
    }
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
  }
  return { files, bytes };
}
