/**
 * The way from a client to its cohortd, kept open across restarts of cohortd.
 *
 * Owns one connection at a time, its opening (trust, start on demand, hello) and its reopening. Does not know what requests mean.
 *
 * L1 the token goes only to a socket whose directory, socket and owner were checked just before.
 * L2 a request is repeated only where its caller says that repeating is harmless.
 * L3 attempts are bounded; a start that failed for a reason is not tried again, the reason is thrown.
 * L4 after close() nothing is opened again.
 */
import { hostname } from "node:os";
import { CohortError, isCohortError } from "../runtime/kernel/error.ts";
import { RpcClient } from "../runtime/transport/client.ts";
import {
  API_VERSION,
  type CallAnswers,
  type CallInput,
  type CallName,
  type StreamInput,
  type StreamItems,
  type StreamName,
} from "../machines/messages/api.ts";
import { accountOf, isRoot, type Account, type Environment } from "./account.ts";
import { Backoff } from "./backoff.ts";
import { isListening } from "./listening.ts";
import { statePaths, type StatePaths } from "./paths.ts";
import { runProgram } from "./program.ts";
import { trustedToken } from "./trust.ts";

const CONNECT_TIMEOUT_MS = 5000;
/** A daemon that is busy with a recovery answers late, not never. */
const HELLO_TIMEOUT_MS = 20_000;
/** Races with a daemon that ends, or that another client starts. */
const ROUNDS_MAX = 5;

export interface Origin {
  readonly surface: "cli" | "sdk" | "daemon" | "test";
  readonly device: string;
  readonly pid?: number;
}

export interface LinkOptions {
  readonly environment: Environment;
  readonly origin: Partial<Origin>;
  readonly start: boolean;
}

export interface RequestOptions {
  /** Repeating the request after a lost connection does no harm. */
  readonly repeatable: boolean;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

export class Link {
  readonly #options: LinkOptions;
  readonly #origin: Origin;
  #client: RpcClient | null = null;
  #connecting: Promise<RpcClient> | null = null;
  #daemon: CallAnswers["hello"] | null = null;
  #closed = false;
  #startFailure: unknown = null;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#origin = { surface: "sdk", device: hostname(), pid: process.pid, ...options.origin };
  }

  /** What cohortd said of itself at the last connection. */
  get daemon(): CallAnswers["hello"] | null {
    return this.#daemon;
  }

  /** The open connection, or a new one. */
  async client(): Promise<RpcClient> {
    if (this.#closed) throw new CohortError("TRANSPORT_CLOSED", { on: "close() was called" });
    if (this.#client !== null && !this.#client.isClosed) return this.#client;
    this.#connecting ??= this.#open().finally(() => (this.#connecting = null));
    const client = await this.#connecting;
    if (this.#closed) {
      client.close();
      throw new CohortError("TRANSPORT_CLOSED", { on: "close() was called" });
    }
    this.#client = client;
    return client;
  }

  async call<N extends CallName>(method: N, params: CallInput<N>, options: RequestOptions): Promise<CallAnswers[N]> {
    const backoff = new Backoff();
    for (;;) {
      try {
        const client = await this.client();
        // Both sides said the same version in their hello, so the answer has the shape that its name promises.
        return (await client.call(method, params, options)) as CallAnswers[N];
      } catch (error) {
        if (this.#closed || !options.repeatable || !this.#mayPass(error)) throw error;
        await backoff.wait(error, options.signal);
      }
    }
  }

  /** Items of a stream; when the connection is lost it is opened anew with what `params` says then, and nothing is told to the reader. */
  async *follow<N extends StreamName>(method: N, params: () => StreamInput<N>, signal?: AbortSignal): AsyncGenerator<StreamItems[N], void> {
    const backoff = new Backoff();
    for (;;) {
      try {
        const client = await this.client();
        for await (const item of client.open(method, params(), signal)) {
          backoff.reset();
          yield item as StreamItems[N];
        }
        return;
      } catch (error) {
        if (this.#closed || signal?.aborted === true || !this.#mayPass(error)) throw error;
        await backoff.wait(error);
      }
    }
  }

  /** Makes sure, where this process is root, that the warden lives: nobody else can start it. */
  async ensureWarden(): Promise<void> {
    if (isRoot() && this.#options.start) await this.#start();
  }

  close(): void {
    this.#closed = true;
    this.#client?.close();
    this.#client = null;
  }

  async #open(): Promise<RpcClient> {
    let reason: unknown = new CohortError("DAEMON_UNREACHABLE");
    let startedNow = false;
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      try {
        const place = this.#place();
        const needed = place === null || (isRoot() && !startedNow && !(await isListening(place.paths.wardenSocket)));
        if (needed && this.#options.start) throw new CohortError("DAEMON_UNREACHABLE", { on: "not started" });
        return await this.#connectOnce(place);
      } catch (error) {
        if (!this.#options.start || !this.#mayPass(error)) throw error;
        reason = error;
      }
      await this.#start();
      startedNow = true;
    }
    throw reason;
  }

  async #start(): Promise<void> {
    try {
      await runProgram("start", [], this.#options.environment);
    } catch (error) {
      this.#startFailure = error;
      throw error;
    }
  }

  /** The connection is gone, or there was none: another attempt may find another cohortd. Not so when it could not be started. */
  #mayPass(error: unknown): boolean {
    return error !== this.#startFailure && (isCohortError(error, "TRANSPORT_CLOSED") || isCohortError(error, "DAEMON_UNREACHABLE"));
  }

  #place(): { readonly account: Account; readonly paths: StatePaths } | null {
    const account = accountOf(this.#options.environment);
    return account === null ? null : { account, paths: statePaths(account, this.#options.environment, isRoot()) };
  }

  async #connectOnce(place: { readonly account: Account; readonly paths: StatePaths } | null): Promise<RpcClient> {
    const token = place === null ? null : trustedToken(place.paths, place.account.uid);
    if (place === null || token === null) throw new CohortError("DAEMON_UNREACHABLE", { on: "it is not running" });
    const client = await RpcClient.connect(place.paths.socket, CONNECT_TIMEOUT_MS);
    try {
      this.#daemon = (await client.call(
        "hello",
        { version: API_VERSION, token, origin: this.#origin },
        { timeoutMs: HELLO_TIMEOUT_MS },
      )) as CallAnswers["hello"];
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }
}
