/** Makes the state directory, and as root gives it to the account. What exists is never changed, only checked (sdk/trust.ts). */
import { closeSync, constants, existsSync, fchmodSync, fchownSync, fstatSync, mkdirSync, openSync } from "node:fs";
import { CohortError } from "../../runtime/kernel/error.ts";
import type { Account } from "../../sdk/account.ts";
import { isTrustedDirectory } from "../../sdk/trust.ts";

/** As root, for a place where the account itself could not make it (/var/lib/cohort). Its parent must exist. */
export function giveStateDirectory(path: string, account: Account): void {
  if (existsSync(path)) return;
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "EEXIST")) return; // The account's own attempt comes next.
    throw error;
  }
  // By descriptor: whoever owns the parent may put another thing in its place meanwhile, and that must not be given away.
  const directory = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    const made = fstatSync(directory);
    if (made.uid !== 0 || (made.mode & 0o7777) !== 0o700)
      throw new CohortError("DAEMON_UNTRUSTED", { on: `${path} was replaced while it was made` });
    fchownSync(directory, account.uid, account.gid);
    fchmodSync(directory, 0o700);
  } finally {
    closeSync(directory);
  }
}

/** As the account. Throws DAEMON_UNTRUSTED. */
export function ensureStateDirectory(path: string, uid: number): void {
  if (isTrustedDirectory(path, uid)) return;
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new CohortError("DAEMON_UNTRUSTED", {
      on: `${path} cannot be made: ${cause instanceof Error ? cause.message : String(cause)}`,
      hint: `make it: install -d -m 700 -o ${uid} '${path}'`,
      cause,
    });
  }
  if (!isTrustedDirectory(path, uid)) throw new CohortError("DAEMON_UNTRUSTED", { on: `${path} vanished` });
}
