/**
 * Owns the sockets to which the networks of proxied children lead: one for each, in the state directory.
 * Does not own the way there (the warden's relay). No policy is loaded yet, so every request is refused.
 *
 * 1. A child's socket has the same path in the same directory in every cohortd, so that a child that outlives one goes on with the next.
 * 2. The directory may be passed by everybody (the relay has a uid of its own) and stands in one that only the person may pass.
 * 3. Nothing that a child says is parsed; a connection costs at most HEAD_BYTES_MAX and CONNECTION_MS_MAX.
 */
import { createHash } from "node:crypto";
import { chmod, mkdir, readdir, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import type { RuntimeLog } from "../runtime/log/runtime-log.ts";
import type { SessionTable } from "./session-table.ts";

/** As the relay: more do not come at once. */
const CONNECTIONS_MAX = 256;
const HEAD_BYTES_MAX = 64 * 1024;
const CONNECTION_MS_MAX = 10_000;
/** Short, because the whole path of a socket has at most 107 bytes; enough that no two living children have the same. */
const NAME_CHARS = 8;
const DIRECTORY = "net";

const body = JSON.stringify({
  error_type: "EGRESS_BLOCKED",
  message: "Access is blocked: no egress policy is loaded, so every request of this task is refused.",
});
const answer = [
  "HTTP/1.1 403 Forbidden",
  "Content-Type: application/json",
  `Content-Length: ${Buffer.byteLength(body)}`,
  "Connection: close",
  "",
  body,
].join("\r\n");

export class Endpoints {
  readonly #directory: string;
  readonly #log: RuntimeLog;
  readonly #servers = new Map<string, Promise<Server>>();

  private constructor(directory: string, log: RuntimeLog) {
    this.#directory = directory;
    this.#log = log;
  }

  /** `stateDirectory`: its real path. What an earlier cohortd left there are names of sockets that nobody listens on. */
  static async clean(stateDirectory: string, log: RuntimeLog): Promise<Endpoints> {
    const directory = join(stateDirectory, DIRECTORY);
    await mkdir(directory, { recursive: true, mode: 0o711 });
    // Not the directory itself: the relay holds it open for children that live on.
    for (const entry of await readdir(directory)) await rm(join(directory, entry), { recursive: true, force: true });
    // Whatever the umask is.
    await chmod(directory, 0o711);
    return new Endpoints(directory, log);
  }

  /** Those of children that outlived the cohortd before. */
  async restore(children: readonly { readonly name: string }[], table: SessionTable): Promise<void> {
    for (const { name } of children) if (table.find(name)?.task?.network === "proxied") await this.open(name);
  }

  /** Answers the path once it listens; again for the same child. */
  async open(child: string): Promise<string> {
    const path = this.#path(child);
    const opened = this.#servers.get(child) ?? this.#listen(child, path);
    this.#servers.set(child, opened);
    try {
      await opened;
    } catch (error) {
      this.#servers.delete(child);
      throw error;
    }
    return path;
  }

  async close(child: string): Promise<void> {
    const opened = this.#servers.get(child);
    this.#servers.delete(child);
    if (opened === undefined) return;
    const server = await opened.catch(() => null);
    server?.close();
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#servers.keys()].map((child) => this.close(child)));
  }

  #path(child: string): string {
    return join(this.#directory, createHash("sha256").update(child).digest("base64url").slice(0, NAME_CHARS));
  }

  async #listen(child: string, path: string): Promise<Server> {
    await rm(path, { force: true });
    const server = createServer({ allowHalfOpen: true }, refuse);
    server.maxConnections = CONNECTIONS_MAX;
    const listening = Promise.withResolvers<Server>();
    server.once("error", listening.reject);
    server.listen({ path, readableAll: true, writableAll: true }, () => {
      server.off("error", listening.reject);
      server.on("error", (error) => this.#log.warn({ child, error }, "the endpoint of a child fails"));
      // A connection that lingers keeps no cohortd alive.
      server.unref();
      listening.resolve(server);
    });
    return listening.promise;
  }
}

/** Once the head of a request is there: a client that is answered earlier may take it for a failure. What comes behind it is dropped. */
function refuse(socket: Socket): void {
  let head = "";
  const limit = setTimeout(() => socket.destroy(), CONNECTION_MS_MAX);
  limit.unref();
  socket.unref();
  socket.on("error", () => socket.destroy());
  socket.on("close", () => clearTimeout(limit));
  socket.on("end", () => socket.end());
  socket.on("data", (bytes) => {
    if (socket.writableEnded) return;
    head += bytes.toString("latin1");
    if (head.length >= HEAD_BYTES_MAX || head.includes("\r\n\r\n")) socket.end(answer);
  });
}
