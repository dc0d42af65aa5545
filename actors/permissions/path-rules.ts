/**
 * What is never given to a child, and what only with a confirmation. The warden opens each source with the person's rights, follows no link, and
 * is the boundary; these rules keep Cohort's own state and a whole home away from children. Changes nothing.
 */
import { constants } from "node:fs";
import { access, realpath, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { CohortError } from "../../runtime/kernel/error.ts";
import { PROTECTED_NAMES } from "../../runtime/kernel/protected-names.ts";
import type { GrantMode } from "../../machines/messages/grant.ts";
import { hasCode } from "../content.ts";
import { isBelow, showsState } from "../run-request.ts";

export interface Place {
  /** Without symbolic links. */
  readonly stateDirectory: string;
  /** Of the person, each without symbolic links. */
  readonly homes: readonly string[];
}

export interface Wanted {
  readonly path: string;
  readonly mode: GrantMode;
  readonly acceptUnprotected: boolean;
  readonly acceptHome: boolean;
}

/** A file system that hangs: the warden has a deadline of its own, and asks again. */
const ANSWER_MS_MAX = 2000;

function refused(on: string, hint?: string): CohortError {
  return new CohortError("GRANT_REFUSED", hint === undefined ? { on } : { on, hint });
}

/** Without what means nothing in a path. Throws GRANT_REFUSED. */
export function cleanPath(path: string): string {
  if (!path.startsWith("/") || path.includes("\0")) throw refused(`${JSON.stringify(path)} is not an absolute path`);
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw refused(`${path} contains ..`);
  return `/${parts.join("/")}`;
}

/** What can be said without looking at the file system, so that nothing of it is told to a child that asks. Throws GRANT_REFUSED. */
export function checkStatic(path: string, mode: GrantMode, place: Place): void {
  if (path === "/") throw refused("the whole file system is never given", "give the directory that is needed");
  const { stateDirectory } = place;
  if (showsState({ path, mode }, stateDirectory))
    throw refused(
      `${path} shows ${stateDirectory}, where cohort keeps its state and what other tasks wrote`,
      "give a directory beside or below it, or set COHORT_HOME to another place",
    );
  if (mode !== "ro" && place.homes.some((home) => isBelow(home, path)))
    throw refused(`${path} contains a home directory, which is given read-only at most`, "give a directory below it");
}

/** Throws GRANT_REFUSED, GRANT_UNCONFIRMED or MOUNT_REFUSED. */
export async function checkWanted(wanted: Wanted, place: Place): Promise<void> {
  const { path, mode } = wanted;
  checkStatic(path, mode, place);
  if (!wanted.acceptHome && place.homes.some((home) => isBelow(home, path)))
    throw new CohortError("GRANT_UNCONFIRMED", {
      on: `${path} contains a home directory: keys, tokens and mail of yours among the rest`,
      hint: "give a directory below it; or, if the child may read all of it, confirm with --accept-home (acceptHome)",
    });
  const late = new AbortController();
  try {
    const looked = look(wanted, place);
    await Promise.race([looked, delay(ANSWER_MS_MAX, undefined, { signal: late.signal, ref: false })]);
  } finally {
    late.abort();
  }
}

async function look({ path, mode, acceptUnprotected }: Wanted, place: Place): Promise<void> {
  const real = await found(path);
  if (real !== path) throw refused(`${path} is, or lies behind, a symbolic link`, `give its target by name: ${real}`);
  const seen = await stat(path);
  for (let directory = place.stateDirectory; ; directory = dirname(directory)) {
    const other = await stat(directory);
    if (other.dev === seen.dev && other.ino === seen.ino)
      throw refused(`${path} is ${directory} by another name, and shows cohort's state`);
    if (directory === "/") break;
  }
  await permitted(path, mode);
  if (mode !== "rw" || !seen.isDirectory() || acceptUnprotected) return;
  throw new CohortError("GRANT_UNCONFIRMED", {
    on: `${path}: a child that may write to a directory can create in it what your programs read as instructions (${PROTECTED_NAMES.slice(0, 4).join(", ")}, …)`,
    hint: "give it staged, and apply what you have seen; or confirm with --accept-unprotected (acceptUnprotected)",
  });
}

async function found(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    const why = hasCode(cause, "ENOENT") || hasCode(cause, "ENOTDIR") ? "does not exist" : "cannot be looked at";
    throw new CohortError("MOUNT_REFUSED", { on: `${path} ${why}`, cause });
  }
}

async function permitted(path: string, mode: GrantMode): Promise<void> {
  try {
    await access(path, mode === "rw" ? constants.R_OK | constants.W_OK : constants.R_OK);
  } catch (cause) {
    throw new CohortError("MOUNT_REFUSED", {
      on: `the user that cohort runs as may not ${mode === "rw" ? "write to" : "read"} ${path}`,
      cause,
    });
  }
}
