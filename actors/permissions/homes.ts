/** The home directories of the person whose cohortd this is, as the environment and the user database name them. */
import { realpathSync } from "node:fs";
import { homedir, userInfo } from "node:os";

export function personHomes(): readonly string[] {
  const found = new Set<string>();
  for (const home of [homedir(), databaseHome()]) {
    if (home === "" || home === "/") continue;
    found.add(home);
    try {
      found.add(realpathSync(home));
    } catch {
      // It does not exist: nothing in it can be given away.
    }
  }
  return [...found];
}

function databaseHome(): string {
  try {
    return userInfo().homedir;
  } catch {
    // A uid without an entry.
    return "";
  }
}
