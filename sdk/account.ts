/** Whose cohortd it is: the person who runs this process, or, for root, the user that root is dropped to. Reads /etc/passwd and the environment. */
import { readFileSync } from "node:fs";
import { homedir, userInfo } from "node:os";
import { CohortError } from "../runtime/kernel/error.ts";

export interface Account {
  readonly uid: number;
  readonly gid: number;
  /** Empty where the uid has no name. */
  readonly name: string;
  readonly home: string;
}

/** Root without SUDO_UID becomes this one; it is created when it is absent. */
export const SYSTEM_USER = "cohort";
export const SYSTEM_USER_HOME = "/var/lib/cohort";
const ID_MAX = 0xffff_fffe;

export type Environment = Readonly<Record<string, string | undefined>>;

export function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

/**
 * Null: this is root, and there is no system user yet.
 * Throws ROOT_WITHOUT_USER when SUDO_UID names nobody.
 */
export function accountOf(environment: Environment): Account | null {
  if (!isRoot()) {
    const { uid, gid, username, homedir: home } = userInfo();
    return { uid, gid, name: username, home: homedir() || home };
  }
  const sudoUid = idFrom(environment["SUDO_UID"]);
  if (sudoUid === null || sudoUid === 0) return findAccount((account) => account.name === SYSTEM_USER);
  return accountWithUid(sudoUid, idFrom(environment["SUDO_GID"]));
}

/** Throws ROOT_WITHOUT_USER when the uid is not in /etc/passwd. */
export function accountWithUid(uid: number, gid: number | null = null): Account {
  const found = findAccount((account) => account.uid === uid);
  if (found !== null) return found;
  if (gid !== null && gid !== 0) return { uid, gid, name: "", home: "" };
  throw new CohortError("ROOT_WITHOUT_USER", { on: `uid ${uid} is not in /etc/passwd` });
}

export function accountNamed(name: string): Account | null {
  return findAccount((account) => account.name === name);
}

function findAccount(wanted: (account: Account) => boolean): Account | null {
  for (const line of readFileSync("/etc/passwd", "utf8").split("\n")) {
    const [name = "", , uidText, gidText, , home = ""] = line.split(":");
    const [uid, gid] = [idFrom(uidText), idFrom(gidText)];
    if (uid === null || gid === null) continue;
    const account = { uid, gid, name, home };
    if (wanted(account)) return account;
  }
  return null;
}

function idFrom(text: string | undefined): number | null {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return null;
  const id = Number(text);
  return id <= ID_MAX ? id : null;
}
