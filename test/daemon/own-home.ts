/**
 * Owns one state directory in /tmp with its own cohortd and its own warden, both started on demand by the SDK as a person's are.
 * end() ends both and leaves no process, socket or file of them.
 */
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { ensureSystemUser } from "../../app/daemon/system-user.ts";
import { accountOf, type Account } from "../../sdk/account.ts";
import { connect, type Cohort, type ConnectOptions, wardenDown } from "../../sdk/index.ts";
import { isListening } from "../../sdk/listening.ts";
import { statePaths, type StatePaths } from "../../sdk/paths.ts";

/** Why these tests cannot run here, or null. */
export const ownHomeUnavailable: string | null = process.getuid?.() === 0 ? null : "needs root: each test starts a warden of its own";

const END_DEADLINE_MS = 20_000;

export class OwnHome {
  readonly account: Account;
  readonly paths: StatePaths;
  readonly #clients: Cohort[] = [];
  readonly #made: string[] = [];

  private constructor(account: Account, directory: string) {
    this.account = account;
    this.paths = statePaths(account, { COHORT_HOME: directory }, true);
  }

  static make(): OwnHome {
    const account = accountOf(process.env) ?? ensureSystemUser();
    const directory = mkdtempSync("/tmp/cohort-home-");
    chownSync(directory, account.uid, account.gid);
    return new OwnHome(account, directory);
  }

  get directory(): string {
    return this.paths.directory;
  }

  async connect(options: Omit<ConnectOptions, "home"> = {}): Promise<Cohort> {
    const client = await connect({ home: this.directory, origin: { surface: "test" }, ...options });
    this.#clients.push(client);
    return client;
  }

  /** A directory of the person's, for mounts. */
  personDirectory(): string {
    const path = mkdtempSync("/tmp/cohort-mount-");
    chownSync(path, this.account.uid, this.account.gid);
    this.#made.push(path);
    return path;
  }

  /** Process ids of every cohortd that serves this directory. */
  daemons(): readonly number[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => {
        const args = commandLine(pid);
        return args.includes("serve") && args.includes(this.directory);
      });
  }

  isListening(): Promise<boolean> {
    return isListening(this.paths.socket);
  }

  async end(): Promise<void> {
    for (const client of this.#clients.splice(0)) client.close();
    for (const pid of this.daemons()) process.kill(pid, "SIGTERM");
    await eventually(() => this.daemons().length === 0, "cohortd ends", END_DEADLINE_MS);
    await wardenDown({ home: this.directory });
    for (const path of [this.directory, dirname(this.paths.wardenSocket), ...this.#made]) rmSync(path, { recursive: true, force: true });
  }
}

export async function eventually(condition: () => boolean | Promise<boolean>, what: string, timeoutMs = 10_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** All user ids of a process: real, effective, saved, file system. */
export function uidsOf(pid: number): readonly number[] {
  const line = /^Uid:\s+(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "";
  return line.split(/\s+/).map(Number);
}

/** Mode of every file below a directory, as octal text by relative path. */
export function modesBelow(directory: string): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(directory, { recursive: true, encoding: "utf8" })) {
    const path = join(directory, name);
    if (existsSync(path)) found[name] = (statSync(path).mode & 0o7777).toString(8);
  }
  return found;
}

function commandLine(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return []; // It ended meanwhile.
  }
}
