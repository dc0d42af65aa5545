/**
 * Is what stands in the state directory the person's own?
 *
 * Node has no SO_PEERCRED, so neither side can ask the kernel who is at the other end. Three things take its place: the directory is 0700, so only its
 * owner (and root) can reach the socket or put another in its place; the socket is 0600, so only its owner can connect; and whoever connects shows the
 * token, 0600, which proves that it can read that owner's files. The client checks owner and modes before it sends the token anywhere: a directory
 * that others may write could hold another person's socket.
 */
import { lstatSync, readFileSync, type Stats } from "node:fs";
import { CohortError } from "../runtime/kernel/error.ts";
import type { StatePaths } from "./paths.ts";

const OTHERS = 0o077;

/** False when there is nothing yet. Throws DAEMON_UNTRUSTED. */
export function isTrustedDirectory(path: string, uid: number): boolean {
  const found = statOrNull(path);
  if (found === null) return false;
  if (!found.isDirectory()) throw untrusted(`${path} is not a directory`, "name another directory as COHORT_HOME");
  check(path, found, uid, `chmod 700 '${path}'`);
  return true;
}

/** The token, or null when there is no socket or no token yet. Throws DAEMON_UNTRUSTED. */
export function trustedToken(paths: StatePaths, uid: number): string | null {
  if (!isTrustedDirectory(paths.directory, uid)) return null;
  const socket = statOrNull(paths.socket);
  if (socket === null) return null;
  if (!socket.isSocket()) throw untrusted(`${paths.socket} is not a socket`, "remove it");
  check(paths.socket, socket, uid, `remove it: rm '${paths.socket}'`);
  const token = statOrNull(paths.token);
  if (token === null) return null;
  if (!token.isFile()) throw untrusted(`${paths.token} is not a file`, "remove it");
  check(paths.token, token, uid, `remove it: rm '${paths.token}'`);
  return readFileSync(paths.token, "utf8").trim();
}

function check(path: string, found: Stats, uid: number, remedy: string): void {
  if (found.uid !== uid)
    throw untrusted(`${path} belongs to uid ${found.uid}, not to ${uid}`, "it must belong to the user that Cohort runs as");
  const mode = found.mode & 0o7777;
  if ((mode & OTHERS) !== 0) throw untrusted(`${path} has mode ${mode.toString(8).padStart(4, "0")}: others have a part in it`, remedy);
}

function statOrNull(path: string): Stats | null {
  try {
    return lstatSync(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) return null;
    throw new CohortError("DAEMON_UNTRUSTED", { on: error instanceof Error ? error.message : String(error), cause: error });
  }
}

function untrusted(on: string, hint: string): CohortError {
  return new CohortError("DAEMON_UNTRUSTED", { on, hint });
}
