/**
 * A sandbox bench whose sandboxes have network `proxied`, with an endpoint of this process for each, and the program network.c in them.
 * stop() closes every endpoint.
 */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { chmodSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import type { MountPlan } from "../../vm/backend.ts";
import type { WardenOptions } from "../vm/warden-process.ts";
import { SandboxBench, type Outcome, type RunOptions } from "../vm/sandbox-bench.ts";

export interface Endpoint {
  readonly path: string;
  readonly server: Server;
  readonly sockets: Set<Socket>;
}

/** Sends back what it gets, and ends when the other side does. */
export function echo(socket: Socket): void {
  socket.pipe(socket);
}

export class NetworkBench {
  readonly bench: SandboxBench;
  readonly #tools: MountPlan;
  readonly #endpoints: Endpoint[] = [];
  readonly #processes: ChildProcess[] = [];

  private constructor(bench: SandboxBench, tools: MountPlan) {
    this.bench = bench;
    this.#tools = tools;
  }

  static async start(options: WardenOptions = {}): Promise<NetworkBench> {
    const bench = await SandboxBench.start(options);
    const source = bench.warden.personDirectory("tools");
    const binary = join(source, "network");
    const program = join(import.meta.dirname, "programs/network.c");
    execFileSync("cc", ["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-o", binary, program]);
    chmodSync(binary, 0o755);
    return new NetworkBench(bench, { source, target: "tools", mode: "ro" });
  }

  async listen(name: string, serve: (socket: Socket) => void): Promise<Endpoint> {
    const path = this.bench.warden.endpoint(name);
    const sockets = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => sockets.delete(socket));
      serve(socket);
    });
    server.listen({ path, readableAll: true, writableAll: true });
    await once(server, "listening", { signal: AbortSignal.timeout(5000) });
    const endpoint = { path, server, sockets };
    this.#endpoints.push(endpoint);
    return endpoint;
  }

  /** An endpoint that a process of its own serves, so that it waits for nothing that this process does. */
  async listenApart(name: string): Promise<string> {
    const path = this.bench.warden.endpoint(name);
    const child = spawn(join(this.#tools.source, "network"), ["serve", path], { stdio: ["ignore", "pipe", "inherit"] });
    this.#processes.push(child);
    await once(child.stdout, "data", { signal: AbortSignal.timeout(5000) });
    return path;
  }

  /** A proxied sandbox; `endpoint` may be a path where nobody listens. */
  sandbox(endpoint: string, changes: Parameters<SandboxBench["plan"]>[0] = {}): Promise<string> {
    const mounts = [this.#tools, ...(changes.mounts ?? [])];
    return this.bench.sandbox({ ...changes, network: { type: "proxied", endpoint }, mounts });
  }

  network(name: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return this.bench.run(name, this.words(name, args), { env: { HOME: `/sessions/${name}` }, ...options });
  }

  words(name: string, args: readonly string[]): readonly string[] {
    return [`/sessions/${name}/mnt/tools/network`, ...args];
  }

  /** Of this warden. */
  relayPid(): number {
    const pids = readdirSync("/proc").filter((entry) => /^\d+$/.test(entry));
    const found = pids.find((pid) => stat(pid)?.startsWith(`cohort-relay ${this.bench.warden.pid}`));
    if (found === undefined) throw new Error("no relay");
    return Number(found);
  }

  relayDescriptors(): number {
    return readdirSync(`/proc/${this.relayPid()}/fd`).length;
  }

  async stop(): Promise<void> {
    for (const { server, sockets } of this.#endpoints) {
      for (const socket of sockets) socket.destroy();
      server.close();
    }
    for (const child of this.#processes) child.kill("SIGKILL");
    await this.bench.stop();
  }
}

function stat(pid: string): string | null {
  try {
    const [, name = "", parent = ""] = /^\d+ \((.*)\) \S (\d+)/u.exec(readFileSync(`/proc/${pid}/stat`, "utf8")) ?? [];
    return `${name} ${parent}`;
  } catch {
    return null; // It ended meanwhile.
  }
}

/** Network namespaces in which some process of this machine stands. */
export function networkNamespaces(): ReadonlySet<string> {
  const found = new Set<string>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      found.add(readlinkSync(`/proc/${entry}/ns/net`));
    } catch {
      // It ended meanwhile, or it is a thread of the kernel's.
    }
  }
  return found;
}
