/**
 * The daemon: opens the actors, listens, and ends when it is told to or when nobody needs it.
 *
 * Owns the log, the token, the socket and the actor system, in that order, and ends them in the opposite one. Children are the warden's.
 *
 * V1 never root: it refuses before it touches anything.
 * V2 the journal's lock is taken before the socket is: whoever listens is the only one.
 * V3 an end (SIGTERM, daemon.stop, idle) leaves children running; the next cohortd finds them.
 */
import { randomUUID } from "node:crypto";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { CohortError } from "../../runtime/kernel/error.ts";
import { openRuntimeLog } from "../../runtime/log/runtime-log.ts";
import { RpcServer } from "../../runtime/transport/server.ts";
import { openSystem } from "../../actors/system.ts";
import { connectWarden } from "../../vm/host/warden-connection.ts";
import { isListening } from "../../sdk/listening.ts";
import { isTrustedDirectory } from "../../sdk/trust.ts";
import type { Environment } from "../../sdk/account.ts";
import { ClientSession } from "./client-session.ts";
import { supervisionRows } from "./doctor-rows.ts";
import { IdleWatch } from "./idle-watch.ts";
import { ensureToken } from "./token.ts";

const IDLE_EXIT_MS = 60_000;
const LEASE_FREEZE_MS = 30_000;
const LEASE_KILL_MS = 600_000;
const DAY_MS = 86_400_000;
/** Long enough for a question about last month's run, short enough that nobody's disk fills with what nobody asks about. */
const RETENTION_DAYS = 30;
/** Of the journal alone: beyond it a backup takes minutes, and so does a check of all events. */
const RETENTION_GIB = 4;
/** Calls in flight get so long when the daemon ends. */
const CLOSE_GRACE_MS = 2000;
const STOP_TIMEOUT_MS = 15_000;

export interface ServeOptions {
  readonly stateDirectory: string;
  readonly wardenSocket: string;
  readonly environment: Environment;
}

/** Resolves when the daemon has ended in order. Rejects with NOT_AUTHORIZED (root), DAEMON_UNTRUSTED, JOURNAL_LOCKED and the journal's other errors. */
export async function serve(options: ServeOptions): Promise<void> {
  const { stateDirectory, wardenSocket, environment } = options;
  const uid = process.getuid?.() ?? 0;
  if (uid === 0 || process.geteuid?.() === 0)
    throw new CohortError("NOT_AUTHORIZED", { on: "cohortd never runs as root", hint: "run `cohort`: it drops root first" });
  process.umask(0o077);
  if (!isTrustedDirectory(stateDirectory, uid)) throw new CohortError("DAEMON_UNTRUSTED", { on: `${stateDirectory} does not exist` });
  const idleMs = milliseconds(environment, "COHORT_IDLE_EXIT_MS", IDLE_EXIT_MS);
  const opened = openRuntimeLog(join(stateDirectory, "cohortd.log"));
  const { log } = opened;
  const instance = randomUUID();
  const lease = {
    supervisorId: instance,
    freezeAfterMs: milliseconds(environment, "COHORT_LEASE_FREEZE_MS", LEASE_FREEZE_MS),
    killAfterMs: milliseconds(environment, "COHORT_LEASE_KILL_MS", LEASE_KILL_MS),
  };
  const system = await openSystem({
    stateDirectory,
    connectVm: (events) => connectWarden(wardenSocket, lease, events),
    cores: availableParallelism(),
    retention: {
      maxAgeMs: whole(environment, "COHORT_RETENTION_DAYS", RETENTION_DAYS) * DAY_MS,
      maxBytes: whole(environment, "COHORT_RETENTION_GIB", RETENTION_GIB) * 1024 ** 3,
    },
  });
  const ending = Promise.withResolvers<string>();
  const context = {
    system,
    token: ensureToken(join(stateDirectory, "token")),
    instance,
    requireWarden: () => (system.connected() ? Promise.resolve() : requireWarden(wardenSocket)),
    supervision: supervisionRows({ stateDirectory, wardenSocket, ...lease }),
    requestStop: () => ending.resolve("daemon.stop"),
  };
  const server = new RpcServer({
    service: { connect: (peer) => new ClientSession(peer, context) },
    onInternalError: (error, method) => log.error({ error, method }, "a request failed inside"),
    onConnections: () => idle.touch(),
  });
  const idle = new IdleWatch(
    idleMs,
    () => server.connections > 0 || system.busy(),
    () => ending.resolve("idle"),
  );
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => ending.resolve(signal));
  process.on("SIGHUP", () => log.info("SIGHUP is ignored: the daemon belongs to no terminal"));
  await server.listen(join(stateDirectory, "cohortd.sock"));
  log.info({ pid: process.pid, uid, instance, wardenSocket }, "listening");

  log.info({ why: await ending.promise }, "ending");
  idle.stop();
  await within(STOP_TIMEOUT_MS, "the end of connections", server.close(CLOSE_GRACE_MS));
  await within(STOP_TIMEOUT_MS, "the end of the actors", system.stop());
  log.info("ended");
  opened.close();
}

/** One that listens and is not connected yet is about to be; without one a run would only wait. */
async function requireWarden(socket: string): Promise<void> {
  if (!(await isListening(socket))) throw new CohortError("WARDEN_ABSENT", { on: socket });
}

/** A whole number; 0 switches off what it limits. Throws USAGE. */
function whole(environment: Environment, name: string, standard: number): number {
  const text = environment[name];
  if (text === undefined || text === "") return standard;
  if (!/^\d{1,5}$/.test(text)) throw new CohortError("USAGE", { on: `${name}=${text} is not a whole number` });
  return Number(text);
}

/** A whole number of milliseconds, at least 1. Throws USAGE. */
function milliseconds(environment: Environment, name: string, standard: number): number {
  const text = environment[name];
  if (text === undefined || text === "") return standard;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 2 ** 31 - 1)
    throw new CohortError("USAGE", { on: `${name}=${text} is not a number of milliseconds` });
  return value;
}

async function within(timeoutMs: number, what: string, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new CohortError("DEADLINE", { on: `${what} took more than ${timeoutMs} ms` })), timeoutMs);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
