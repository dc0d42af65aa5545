/**
 * Owns one real warden, started as root for an ordinary uid that has no entry in passwd, with a socket, uid counter and uid range of its own.
 * Connections to it are made with that uid. stop() leaves no process, and the temporary directory is gone.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Vm, VmConnectOptions, VmEvents } from "../../vm/backend.ts";
import { connectWarden } from "../../vm/host/warden-connection.ts";
import { isCohortError } from "../../runtime/kernel/error.ts";
import { buildWarden } from "../../vm/warden-binary.ts";

export const PERSON_UID = 12_345;
/** Each test process has its own range, so that test files can run at the same time. */
const UIDS_PER_PROCESS = 20_000;
const UIDS_PER_WARDEN = 1000;
const START_DEADLINE_MS = 10_000;
const STOP_DEADLINE_MS = 20_000;

/** Why the real warden cannot run here, or null. */
export const wardenUnavailable: string | null = process.getuid?.() === 0 ? null : "needs root: the warden builds sandboxes";

export interface WardenOptions {
  /** Default: the product's. */
  readonly binary?: string;
  /** Default: the product needs none. */
  readonly env?: Readonly<Record<string, string>>;
}

const running: WardenProcess[] = [];

export class WardenProcess {
  readonly directory: string;
  readonly socketPath: string;
  readonly #binary: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #uidBase: number;
  #process: ChildProcess;
  #stderr = "";

  private constructor(binary: string, env: Readonly<Record<string, string>>, directory: string, uidBase: number) {
    this.#binary = binary;
    this.#env = env;
    this.directory = directory;
    this.socketPath = join(directory, "warden.sock");
    this.#uidBase = uidBase;
    this.#process = this.#spawn();
  }

  static async start(options: WardenOptions = {}): Promise<WardenProcess> {
    const binary = options.binary ?? (await buildWarden());
    const directory = mkdtempSync(join(tmpdir(), "warden-test-"));
    // Root's, so that nobody else can change the way to the socket; others may pass, not look.
    chmodSync(directory, 0o711);
    const uidBase = 2_000_000_000 + (process.pid % 5000) * UIDS_PER_PROCESS + running.length * UIDS_PER_WARDEN;
    const warden = new WardenProcess(binary, options.env ?? {}, directory, uidBase);
    running.push(warden);
    return warden;
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Tries until the warden listens. */
  async connect(events: VmEvents, options: Partial<VmConnectOptions> = {}): Promise<Vm> {
    const deadline = Date.now() + START_DEADLINE_MS;
    for (;;) {
      try {
        return await asPerson(() =>
          connectWarden(this.socketPath, { supervisorId: "test", freezeAfterMs: 60_000, killAfterMs: 120_000, ...options }, events),
        );
      } catch (error) {
        if (!isCohortError(error, "WARDEN_ABSENT") || Date.now() > deadline || this.#process.exitCode !== null) {
          throw new Error(`the warden does not serve: ${this.#stderr}`, { cause: error });
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  /** SIGKILL to the process that was started, as the out-of-memory killer would. */
  async killHard(): Promise<void> {
    const ended = once(this.#process, "close", { signal: AbortSignal.timeout(STOP_DEADLINE_MS) });
    this.#process.kill("SIGKILL");
    await ended;
  }

  /** The next start, with the same socket, counter and range. */
  restart(): void {
    this.#process = this.#spawn();
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const ended = once(this.#process, "close", { signal: AbortSignal.timeout(STOP_DEADLINE_MS) });
      this.#process.kill("SIGTERM");
      await ended;
    }
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** A directory that the person owns, for mounts; it is removed with the warden's. */
  personDirectory(name: string): string {
    const path = join(this.directory, name);
    mkdirSync(path);
    chownSync(path, PERSON_UID, PERSON_UID);
    return path;
  }

  /** Path for the endpoint of a proxied sandbox, in a directory as the warden wants it. Nobody listens there yet. */
  endpoint(name: string): string {
    const state = join(this.directory, "state");
    if (!existsSync(state)) {
      chmodSync(this.personDirectory("state"), 0o700);
      const directory = this.personDirectory("state/net");
      chmodSync(directory, 0o711);
    }
    return join(state, "net", name);
  }

  #spawn(): ChildProcess {
    const args = ["--foreground", "--socket", this.socketPath, "--user", `${PERSON_UID}`, "--gid", `${PERSON_UID}`];
    args.push("--uid-file", join(this.directory, "uid-next"), "--uid-base", `${this.#uidBase}`, "--uid-count", `${UIDS_PER_WARDEN}`);
    // A test process that was killed leaves no warden for long.
    args.push("--exit-when-idle-ms", "30000");
    const child = spawn(this.#binary, args, { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, ...this.#env } });
    child.stderr?.on("data", (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-10_000);
    });
    return child;
  }
}

/** Runs the synchronous part of `run` with the person's effective uid. */
export function asPerson<T>(run: () => T): T {
  process.setegid?.(PERSON_UID);
  process.seteuid?.(PERSON_UID);
  try {
    return run();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}
