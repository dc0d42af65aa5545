/** The user that root becomes when nobody stands behind it (a server, CI): created once. Starts useradd and id, nothing else. */
import { execFileSync } from "node:child_process";
import { CohortError } from "../../runtime/kernel/error.ts";
import { accountNamed, SYSTEM_USER, SYSTEM_USER_HOME, type Account } from "../../sdk/account.ts";

const TIMEOUT_MS = 20_000;
const PATH = "/usr/sbin:/usr/bin:/sbin:/bin";

/** Throws ROOT_WITHOUT_USER. */
export function ensureSystemUser(): Account {
  const found = accountNamed(SYSTEM_USER);
  if (found !== null) return found;
  let failure: unknown = null;
  try {
    run("useradd", ["--system", "--user-group", "--home-dir", SYSTEM_USER_HOME, "--shell", "/usr/sbin/nologin", SYSTEM_USER]);
  } catch (error) {
    failure = error; // Another start may have created it at the same moment: what counts is whether it is there.
  }
  const created = accountNamed(SYSTEM_USER);
  if (created !== null) return created;
  throw new CohortError("ROOT_WITHOUT_USER", {
    on: failure instanceof Error ? failure.message : "useradd created nobody",
    hint: `create it: useradd --system --home-dir ${SYSTEM_USER_HOME} --shell /usr/sbin/nologin ${SYSTEM_USER}`,
    cause: failure,
  });
}

/** Every group of the account, its own first, root's never: a member of that group loses it here. */
export function groupsOf(account: Account): readonly number[] {
  if (account.name === "") return [account.gid];
  const groups = run("id", ["-G", "--", account.name]).trim().split(/\s+/).map(Number);
  return [account.gid, ...groups.filter((gid) => Number.isInteger(gid) && gid !== 0 && gid !== account.gid)];
}

function run(program: string, args: readonly string[]): string {
  return execFileSync(program, args, { encoding: "utf8", env: { PATH }, cwd: "/", timeout: TIMEOUT_MS, stdio: ["ignore", "pipe", "pipe"] });
}
