/** Where a person's cohortd keeps its state, and where sockets are. Pure. */
import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import { CohortError } from "../runtime/kernel/error.ts";
import { SYSTEM_USER, type Account, type Environment } from "./account.ts";

export interface StatePaths {
  /** 0700, of the account. */
  readonly directory: string;
  readonly socket: string;
  /** 0600; whoever can read it is the person. */
  readonly token: string;
  readonly log: string;
  readonly startLock: string;
  readonly wardenSocket: string;
}

/** sun_path has 108 bytes with its NUL (unix(7)). */
const SOCKET_PATH_BYTES_MAX = 107;

/**
 * State directory: COHORT_HOME, else for root the home of the system user or <home>/.local/state/cohort of the person behind sudo,
 * else $XDG_STATE_HOME/cohort or ~/.local/state/cohort.
 * Warden's socket: COHORT_WARDEN_SOCKET, else one per uid, and one more per COHORT_HOME.
 */
export function statePaths(account: Account, environment: Environment, asRoot: boolean): StatePaths {
  const home = nonEmpty(environment["COHORT_HOME"]);
  const directory = resolve(home ?? defaultDirectory(account, environment, asRoot));
  const suffix = home === undefined ? "" : `-${createHash("sha256").update(directory).digest("hex").slice(0, 12)}`;
  return {
    directory,
    socket: checkedSocket(join(directory, "cohortd.sock")),
    token: join(directory, "token"),
    log: join(directory, "cohortd.log"),
    startLock: join(directory, "start.lock"),
    wardenSocket: checkedSocket(nonEmpty(environment["COHORT_WARDEN_SOCKET"]) ?? `/run/cohort/${account.uid}${suffix}/warden.sock`),
  };
}

function defaultDirectory(account: Account, environment: Environment, asRoot: boolean): string {
  if (asRoot && account.name === SYSTEM_USER) return account.home;
  // sudo may keep XDG_STATE_HOME of either person: for root only the account's home counts.
  const stateHome = asRoot ? undefined : nonEmpty(environment["XDG_STATE_HOME"]);
  if (stateHome !== undefined) return join(stateHome, "cohort");
  if (account.home === "") {
    throw new CohortError("ROOT_WITHOUT_USER", {
      on: `uid ${account.uid} has no home directory`,
      hint: "set COHORT_HOME to a directory of that user",
    });
  }
  return join(account.home, ".local", "state", "cohort");
}

function checkedSocket(path: string): string {
  const bytes = Buffer.byteLength(path);
  if (bytes <= SOCKET_PATH_BYTES_MAX) return path;
  throw new CohortError("DAEMON_UNREACHABLE", {
    on: `the path of a socket has ${bytes} bytes, at most ${SOCKET_PATH_BYTES_MAX} are possible: ${path}`,
    hint: "set COHORT_HOME to a shorter path",
  });
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === "" ? undefined : text;
}
