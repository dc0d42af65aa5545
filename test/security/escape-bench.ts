/**
 * A sandbox bench with the programs of test/security/programs, compiled once and mounted read-only in every sandbox, and with things outside
 * that attempts to get out can aim at. stop() removes them all.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { hostname } from "node:os";
import { join } from "node:path";
import type { MountPlan } from "../../vm/backend.ts";
import { SandboxBench, type Outcome, type RunOptions } from "../vm/sandbox-bench.ts";
import { PERSON_UID, type WardenOptions } from "../vm/warden-process.ts";
import type { Aims, Attempt, Network } from "./escapes/attempt.ts";
import { fileAttempts } from "./escapes/files.ts";
import { processAttempts } from "./escapes/processes.ts";
import { machineCalls, namespaceCalls, socketCalls } from "./escapes/system-calls.ts";

const programs = ["attempt", "escape", "swap", "hold", "fuse-server"] as const;
export type Program = (typeof programs)[number];

const sourcesOf = (program: Program): readonly string[] =>
  readdirSync(join(import.meta.dirname, "programs"))
    .filter((file) => file === `${program}.c` || (program === "attempt" && file.startsWith("attempts-")))
    .map((file) => join(import.meta.dirname, "programs", file));

const buildDirectory = join(import.meta.dirname, "../../build/escape-programs");

/** Compiled when a source changed, and put in its place by rename: test files run at the same time. */
function compiled(program: Program): string {
  const sources = sourcesOf(program);
  const hash = createHash("sha256");
  for (const file of [...sources, join(import.meta.dirname, "programs/attempt.h")]) hash.update(readFileSync(file));
  const binary = join(buildDirectory, `${program}-${hash.digest("hex").slice(0, 16)}`);
  if (existsSync(binary)) return binary;
  mkdirSync(buildDirectory, { recursive: true });
  const temporary = `${binary}.${process.pid}`;
  execFileSync("cc", ["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o", temporary, ...sources]);
  chmodSync(temporary, 0o755);
  renameSync(temporary, binary);
  return binary;
}

export class EscapeBench {
  readonly bench: SandboxBench;
  readonly toolsMount: MountPlan;
  readonly #tools: string;
  readonly #scratch: string;
  readonly #servers: Server[] = [];
  #ipcIds: readonly string[] = [];
  #aims: Omit<Aims, "home" | "readOnlyGrant"> | null = null;

  private constructor(bench: SandboxBench, tools: string, scratch: string) {
    this.bench = bench;
    this.#tools = tools;
    this.#scratch = scratch;
    this.toolsMount = { source: tools, target: "tools", mode: "ro" };
  }

  static async start(options: WardenOptions = {}): Promise<EscapeBench> {
    const bench = await SandboxBench.start(options);
    const tools = bench.warden.personDirectory("tools");
    for (const program of programs) copyFileSync(compiled(program), join(tools, program));
    return new EscapeBench(bench, tools, bench.warden.personDirectory("scratch"));
  }

  sandbox(changes: Parameters<SandboxBench["plan"]>[0] = {}): Promise<string> {
    return this.bench.sandbox({ ...changes, mounts: [this.toolsMount, ...(changes?.mounts ?? [])] });
  }

  /** Everything that can be tried from this sandbox. What is aimed at is made at the first call. */
  async attempts(name: string): Promise<readonly Attempt[]> {
    this.#aims ??= await this.#makeAims();
    const aims = { ...this.#aims, home: `/sessions/${name}`, readOnlyGrant: `/sessions/${name}/mnt/tools` };
    return [...socketCalls, ...namespaceCalls, ...machineCalls, ...processAttempts(aims), ...fileAttempts(aims)];
  }

  /** What came of each, in order. */
  async tried(name: string, hows: readonly string[]): Promise<readonly string[]> {
    const { stdout, stderr, exit } = await this.inside(name, "attempt", hows, { deadlineMs: 60_000 });
    const results = resultsOf(stdout);
    if (exit.code !== 0 || results.length !== hows.length)
      throw new Error(`${results.length} of ${hows.length} attempts answered, exit ${exit.cause} ${exit.code}: ${stderr}${exit.detail}`);
    return results;
  }

  inside(name: string, program: Program, args: readonly string[], options?: RunOptions): Promise<Outcome> {
    return this.bench.run(name, [`/sessions/${name}/mnt/tools/${program}`, ...args], options);
  }

  tool(program: Program): string {
    return join(this.#tools, program);
  }

  /** The same program as an ordinary user of this machine: the control that makes a test able to fail. */
  outside(program: Program, args: readonly string[]): string {
    const result = spawnSync(this.tool(program), args, {
      uid: PERSON_UID,
      gid: PERSON_UID,
      cwd: this.#scratch,
      timeout: 10_000,
      encoding: "utf8",
    });
    return result.stdout;
  }

  triedOutside(hows: readonly string[]): readonly string[] {
    return resultsOf(this.outside("attempt", hows));
  }

  async stop(): Promise<void> {
    if (this.#ipcIds.length > 0) this.triedOutside(this.#ipcIds.map((id, index) => removals[index]?.replace("ID", id) ?? ""));
    for (const server of this.#servers) server.close();
    await this.bench.stop();
  }

  async #makeAims(): Promise<Omit<Aims, "home" | "readOnlyGrant">> {
    const sibling = await this.bench.vm.create(this.bench.plan());
    await this.bench.sh(sibling.name, "echo secret > secret; chmod 777 . secret; echo secret > /tmp/secret; chmod 666 /tmp/secret");
    const ipcKey = 0x0c04 * 65_536 + (process.pid % 65_536);
    // 01666: make it, for everyone.
    this.#ipcIds = this.triedOutside([`shmget|${ipcKey}|4096|01666`, `msgget|${ipcKey}|01666`, `semget|${ipcKey}|1|01666`]).map((result) =>
      result.replace("OK ", ""),
    );
    const abstractSocket = `cohort-test-${process.pid}`;
    await this.#listen(`\0${abstractSocket}`);
    const port = (await this.#listen(0)).address();
    return {
      siblingHome: `/sessions/${sibling.name}`,
      hostPid: process.pid,
      personUid: PERSON_UID,
      siblingUid: sibling.uid,
      ipcKey,
      wardenSocket: this.bench.warden.socketPath,
      wardenDirectory: this.bench.warden.directory,
      abstractSocket,
      hostPort: typeof port === "object" && port !== null ? port.port : 0,
      hostName: hostname(),
    };
  }

  async #listen(where: string | number): Promise<Server> {
    const server = createServer((socket) => socket.destroy());
    if (typeof where === "string") server.listen(where);
    else server.listen(where, "127.0.0.1");
    await once(server, "listening", { signal: AbortSignal.timeout(5000) });
    this.#servers.push(server);
    return server;
  }
}

/** In the order in which the ids were made. */
const removals = ["shmctl|ID|0|0", "msgctl|ID|0|0", "semctl|ID|0|0"];

function resultsOf(lines: string): readonly string[] {
  return lines
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const parsed: unknown = JSON.parse(line);
      return typeof parsed === "object" && parsed !== null && "result" in parsed ? String(parsed.result) : "UNREADABLE";
    });
}

/** Why this warden builds no sandbox with that network, or null. */
export async function networkUnavailable(escapes: EscapeBench, network: Network): Promise<string | null> {
  try {
    await escapes.bench.destroy(await escapes.sandbox({ network }));
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
