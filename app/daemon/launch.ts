/**
 * The steps that a client runs as `cohortd start`, `cohortd vm-up` and `cohortd vm-down`.
 *
 * Owns the start locks while it runs. Leaves a daemon (and as root a warden) that are in the background and nobody's children.
 *
 * N1 as root: warden first, then the drop, and after the drop nothing needs root. cohortd starts as the account, with its groups, a clean
 *    environment and / as its directory.
 * N2 two starts at once make one daemon: the second waits for the lock and finds it listening.
 * N3 a start that fails says why: the daemon's own error, or the end of its log.
 */
import { spawn } from "node:child_process";
import { closeSync, openSync, readSync, fstatSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { CohortError } from "../../runtime/kernel/error.ts";
import { errorFromRemote, type RemoteError } from "../../runtime/transport/remote-error.ts";
import { accountNamed, accountOf, accountWithUid, isRoot, type Account, type Environment } from "../../sdk/account.ts";
import { isListening } from "../../sdk/listening.ts";
import { statePaths, type StatePaths } from "../../sdk/paths.ts";
import { dropRoot } from "./drop.root.ts";
import { EXIT_JOURNAL_LOCKED } from "./exit-status.ts";
import { assertReadable } from "./readable.ts";
import { takeStartLock } from "./start-lock.ts";
import { ensureStateDirectory, giveStateDirectory } from "./state-directory.ts";
import { ensureSystemUser, groupsOf } from "./system-user.ts";
import { endWarden, ensureWarden, LAUNCH_LOCK, makeLaunchDirectory } from "./warden-launch.ts";

const LISTEN_TIMEOUT_MS = 20_000;
const LOCK_TIMEOUT_MS = 25_000;
const POLL_MS = 10;
const LOG_TAIL_BYTES = 4000;
/** What of our environment concerns the daemon; nothing else reaches it. */
const PASSED = [
  "COHORT_IDLE_EXIT_MS",
  "COHORT_LEASE_FREEZE_MS",
  "COHORT_LEASE_KILL_MS",
  "COHORT_RETENTION_DAYS",
  "COHORT_RETENTION_GIB",
  "LANG",
  "TZ",
] as const;

export async function startDaemon(entry: string, environment: Environment): Promise<void> {
  const asRoot = isRoot();
  const account = accountOf(environment) ?? ensureSystemUser();
  const paths = statePaths(account, environment, asRoot);
  if (asRoot) {
    await withLaunchLock(() => ensureWarden(account, paths.wardenSocket, "while-used"));
    giveStateDirectory(paths.directory, account);
    dropRoot(account, groupsOf(account));
    assertReadable([process.execPath, entry], account.name || `uid ${account.uid}`);
  }
  process.umask(0o077);
  ensureStateDirectory(paths.directory, account.uid);
  const lock = takeStartLock(paths.startLock, LOCK_TIMEOUT_MS);
  try {
    await startUnderLock(entry, account, paths, environment);
  } finally {
    lock.release();
  }
}

/** `user`: a name, or empty for the person behind sudo, else the system user. */
export async function startWarden(user: string, environment: Environment): Promise<void> {
  const account = wardenAccount(user, environment) ?? ensureSystemUser();
  const paths = statePaths(account, environment, true);
  await withLaunchLock(() => ensureWarden(account, paths.wardenSocket, "until-ended"));
}

export async function stopWarden(user: string, environment: Environment): Promise<void> {
  const account = wardenAccount(user, environment);
  if (account === null) return;
  const paths = statePaths(account, environment, true);
  dropRoot(account, groupsOf(account));
  await endWarden(paths.wardenSocket);
}

function wardenAccount(user: string, environment: Environment): Account | null {
  if (!isRoot()) throw new CohortError("NOT_AUTHORIZED", { on: "only root can start or end a warden", hint: "use sudo" });
  if (user === "") return accountOf(environment);
  const account = /^\d+$/.test(user) ? accountWithUid(Number(user)) : accountNamed(user);
  if (account === null || account.uid === 0)
    throw new CohortError("ROOT_WITHOUT_USER", {
      on: `there is no ordinary user ${user}`,
      hint: "a name or a uid other than root's, as in /etc/passwd",
    });
  return account;
}

async function withLaunchLock(work: () => Promise<void>): Promise<void> {
  makeLaunchDirectory();
  const lock = takeStartLock(LAUNCH_LOCK, LOCK_TIMEOUT_MS);
  try {
    await work();
  } finally {
    lock.release();
  }
}

async function startUnderLock(entry: string, account: Account, paths: StatePaths, environment: Environment): Promise<void> {
  const deadline = performance.now() + LISTEN_TIMEOUT_MS;
  let last: CohortError = new CohortError("DAEMON_UNREACHABLE", { on: `it does not listen within ${LISTEN_TIMEOUT_MS} ms` });
  while (performance.now() < deadline) {
    if (await isListening(paths.socket)) return;
    const failure = await spawnAndWait(entry, account, paths, environment, deadline);
    if (failure === null) return;
    if (!failure.isPassing) throw failure.error;
    last = failure.error;
    await sleep(10 * POLL_MS);
  }
  throw last;
}

/** isPassing: the next attempt may go better. */
interface StartFailure {
  readonly error: CohortError;
  readonly isPassing: boolean;
}

/** Null when it listens. */
async function spawnAndWait(
  entry: string,
  account: Account,
  paths: StatePaths,
  environment: Environment,
  deadline: number,
): Promise<StartFailure | null> {
  const log = openSync(paths.log, "a", 0o600);
  const logStart = fstatSync(log).size;
  let ended: string | null = null;
  let isPassing = false;
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", entry, "serve", paths.directory, paths.wardenSocket], {
    cwd: "/",
    env: daemonEnvironment(account, paths, environment),
    stdio: ["ignore", log, log],
    detached: true,
  });
  closeSync(log);
  child.once("error", (error) => (ended = error.message));
  child.once("exit", (code, signal) => {
    // Locked: the one before it is still writing its last commit, or holds the journal without listening yet. A signal: somebody killed it.
    isPassing = code === EXIT_JOURNAL_LOCKED || signal !== null;
    ended = signal ?? `exit status ${String(code)}`;
  });
  while (performance.now() < deadline) {
    if (ended !== null) return { error: whyItEnded(paths.log, logStart, ended), isPassing };
    if (await isListening(paths.socket)) {
      child.unref();
      return null;
    }
    await sleep(POLL_MS);
  }
  child.kill("SIGKILL");
  const on = `it does not listen within ${LISTEN_TIMEOUT_MS} ms; its log ends: ${logTail(paths.log, logStart)}`;
  return { error: new CohortError("DAEMON_UNREACHABLE", { on }), isPassing: false };
}

function daemonEnvironment(account: Account, paths: StatePaths, environment: Environment): Record<string, string> {
  const kept: Record<string, string> = {
    PATH: "/usr/local/bin:/usr/bin:/bin",
    HOME: account.home || "/",
    USER: account.name,
    // Private to the account: compiled code that others may write would be code that others run.
    NODE_COMPILE_CACHE: `${paths.directory}/compile-cache`,
    // Of Node's four threads for files as many may wait for the disk at once: an output behind them reached its reader late.
    UV_THREADPOOL_SIZE: "16",
  };
  for (const name of PASSED) {
    const value = environment[name];
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}

function whyItEnded(log: string, logStart: number, ended: string): CohortError {
  const tail = logTail(log, logStart);
  const own = tail.split("\n").findLast((line) => line.startsWith('{"fatal":'));
  if (own !== undefined) {
    try {
      return errorFromRemote((JSON.parse(own) as { readonly fatal: RemoteError }).fatal);
    } catch {
      // Cut off in the middle: the tail itself is shown.
    }
  }
  return new CohortError("DAEMON_UNREACHABLE", { on: `it ended with ${ended}; its log ${log} ends: ${tail}` });
}

function logTail(path: string, start: number): string {
  const log = openSync(path, "r");
  try {
    const { size } = fstatSync(log);
    const from = Math.max(start <= size ? start : 0, size - LOG_TAIL_BYTES);
    const bytes = Buffer.alloc(Math.max(0, size - from));
    return bytes.toString("utf8", 0, readSync(log, bytes, 0, bytes.length, from)).trim();
  } finally {
    closeSync(log);
  }
}
