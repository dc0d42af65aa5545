/** Opens a user's actors on a journal of their own, in the user's process. */
import { randomUUID } from "node:crypto";
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { WorkerJournal } from "../../runtime/journal/worker-journal.ts";
import { systemEnvironment } from "../../runtime/kernel/environment.ts";
import { CohortError } from "../../runtime/kernel/error.ts";
import { openRuntimeLog, type OpenedLog } from "../../runtime/log/runtime-log.ts";
import { openRuntimeOn } from "../../runtime/runtime.ts";
import type { AnyActorKind } from "./actor-kind.ts";
import { Actors, definitionsOf } from "./actors.ts";
import { Changes } from "./changes.ts";
import type { AnyEffectKind } from "./effect-kind.ts";
import { observed } from "./observed-journal.ts";

export interface OpenActorsOptions {
  /** Of the journal: made 0700, and used by one process at a time. Not a directory of cohortd's. */
  readonly directory: string;
  /** Every kind that lives in the journal, and those that are to. */
  readonly actors: readonly AnyActorKind[];
  /** Every effect that they plan. */
  readonly effects?: readonly AnyEffectKind[];
}

const IDENTITY = "identity";
const UUID = /^[0-9a-f-]{36}$/;

/**
 * Opens the journal and takes up whatever lives in it: actors where they were, timers, effects. Rejects with JOURNAL_LOCKED, JOURNAL_VERSION (a kind is
 * missing, or changed without a new version), JOURNAL_CORRUPT, JOURNAL_FULL, REQUEST_INVALID, MACHINE_REFUSED.
 */
export async function openActors({ directory: given, actors: kinds, effects: effectKinds = [] }: OpenActorsOptions): Promise<Actors> {
  const directory = resolve(given);
  if (existsSync(join(directory, "cohortd.log")) || existsSync(join(directory, "..", "cohortd.log")))
    throw new CohortError("REQUEST_INVALID", { on: `directory: ${directory} is cohortd's` });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const changes = new Changes();
  const journal = await WorkerJournal.open(directory, directory);
  let log: OpenedLog | null = null;
  try {
    // Under the journal's lock.
    const { answers, definitions, effects } = definitionsOf(kinds, effectKinds, identityOf(directory));
    log = openRuntimeLog(join(directory, "runtime.log"));
    const watched = observed(journal, changes);
    const runtime = await openRuntimeOn({ journal: watched, environment: systemEnvironment, log }, { definitions, effects });
    const origin = { surface: "sdk", device: hostname(), pid: process.pid } as const;
    const ground = { runtime, environment: systemEnvironment, answers, changes, origin, drive: <T>(promise: Promise<T>) => promise };
    const stop = async (): Promise<void> => {
      await runtime.stop();
      changes.end(new CohortError("CANCELLED", { on: "the actors were stopped" }));
    };
    return new Actors(kinds, () => ground, stop);
  } catch (error) {
    log?.close();
    await journal.close();
    throw error;
  }
}

/** Made once, and durable before the first effect: a copy of the journal that is brought back has the same, so what it did is not done again. */
function identityOf(directory: string): string {
  const path = join(directory, IDENTITY);
  if (existsSync(path)) {
    const identity = readFileSync(path, "utf8").trim();
    if (!UUID.test(identity)) throw new CohortError("JOURNAL_CORRUPT", { on: path });
    return identity;
  }
  const identity = randomUUID();
  const temporary = `${path}.new`;
  const file = openSync(temporary, "w", 0o600);
  writeSync(file, `${identity}\n`);
  fsyncSync(file);
  closeSync(file);
  renameSync(temporary, path);
  const parent = openSync(directory, "r");
  fsyncSync(parent);
  closeSync(parent);
  return identity;
}
