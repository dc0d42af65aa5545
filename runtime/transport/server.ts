/**
 * Accepts connections on a Unix socket and answers their calls and streams.
 *
 * Owns the listening socket and its connections. Does not own what methods mean: each connection gets a session from the service, which
 * also decides whether the peer is trusted.
 *
 * R1 the socket's file is 0600 from its first moment (umask), and is removed when the server closes.
 * R2 a connection's failure, slowness or malformed input touches no other connection.
 * R3 every limit answers with a code (MAILBOX_FULL) or closes that connection; nothing is dropped in silence.
 */
import { chmodSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { ServerConnection, type RpcService } from "./server-connection.ts";

/** One person's terminals, scripts and workflows; each costs two descriptors at most. */
const CONNECTIONS_MAX = 512;

export interface RpcServerOptions {
  readonly service: RpcService;
  /** Told of each error that is not a CohortError: a bug in a handler. */
  readonly onInternalError: (error: unknown, method: string) => void;
  /** Told after each accepted or closed connection. */
  readonly onConnections?: (count: number) => void;
}

export class RpcServer {
  readonly #options: RpcServerOptions;
  readonly #server: Server;
  readonly #connections = new Set<ServerConnection>();
  #path = "";

  constructor(options: RpcServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** A file that is at `path` is replaced: whoever calls must hold the lock that makes it the only server. */
  async listen(path: string): Promise<void> {
    rmSync(path, { force: true });
    const listening = new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.once("listening", () => {
        this.#server.off("error", reject);
        resolve();
      });
    });
    // listen() binds before it returns, so nothing else is created under this umask.
    const umask = process.umask(0o177);
    this.#server.listen(path);
    process.umask(umask);
    await listening;
    chmodSync(path, 0o600);
    this.#path = path;
  }

  /** Streams end with TRANSPORT_CLOSED, calls in flight get `graceMs` for their answer, then every connection is closed. */
  async close(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    if (this.#path !== "") rmSync(this.#path, { force: true });
    await Promise.all([...this.#connections].map((connection) => connection.finish(graceMs)));
    await closed;
  }

  #accept(socket: Socket): void {
    if (this.#connections.size >= CONNECTIONS_MAX) {
      socket.on("error", () => socket.destroy());
      socket.destroy();
      return;
    }
    const connection: ServerConnection = new ServerConnection(socket, this.#options.service, this.#options.onInternalError, () => {
      this.#connections.delete(connection);
      this.#options.onConnections?.(this.#connections.size);
    });
    this.#connections.add(connection);
    this.#options.onConnections?.(this.#connections.size);
  }
}
