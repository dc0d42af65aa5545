/**
 * The calling side of the RPC: one connection, many calls and streams.
 *
 * Owns the channel, the calls that wait and the streams that are open. Does not reconnect: that is for who knows which requests may be repeated.
 *
 * K1 every call ends: with its answer, its error, DEADLINE, CANCELLED, or TRANSPORT_CLOSED.
 * K2 a stream yields each item once and in order, then ends or throws; leaving the loop cancels it.
 * K3 with nothing pending the connection does not keep the process alive.
 * K4 a server that answers no ping for SILENCE_MS is taken for dead.
 */
import { connect as connectSocket, type Socket } from "node:net";
import { CohortError } from "../kernel/error.ts";
import { Channel } from "./channel.ts";
import { RpcStream } from "./client-stream.ts";
import { invalid, MESSAGE_BYTES_MAX, WINDOW_BYTES, type Message } from "./message.ts";
import { errorFromRemote } from "./remote-error.ts";

/** Below the server's limit, so that a burst waits here instead of being refused there. */
const CALLS_AT_ONCE = 128;
const CALLS_WAITING_MAX = 65_536;
const PING_EVERY_MS = 10_000;
const SILENCE_MS = 60_000;

interface PendingCall {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export interface CallOptions {
  /** Milliseconds; default 30,000. The server is told to stop too. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

export class RpcClient {
  readonly #channel: Channel;
  readonly #calls = new Map<number, PendingCall>();
  readonly #streams = new Map<number, RpcStream>();
  readonly #queue: (() => void)[] = [];
  #lastId = 0;
  #failure: Error | null = null;
  #lastHeardMs = performance.now();
  #pings = 0;
  #pingTimer: NodeJS.Timeout | null = null;

  private constructor(socket: Socket) {
    this.#channel = new Channel(socket, "calling", MESSAGE_BYTES_MAX, {
      message: (message) => this.#receive(message),
      closed: (reason) => this.#closed(reason),
    });
    this.#updateHold();
  }

  /** Rejects with DAEMON_UNREACHABLE, whose cause has the errno, when nothing listens there. */
  static connect(path: string, timeoutMs: number): Promise<RpcClient> {
    return new Promise((resolve, reject) => {
      const socket = connectSocket(path);
      const fail = (cause: unknown, what: string): void => {
        clearTimeout(timer);
        socket.destroy();
        reject(new CohortError("DAEMON_UNREACHABLE", { on: `${path}: ${what}`, cause }));
      };
      const onError = (error: Error): void => fail(error, error.message);
      const timer = setTimeout(() => fail(undefined, `no connection within ${timeoutMs} ms`), timeoutMs);
      socket.once("error", onError);
      socket.once("connect", () => {
        clearTimeout(timer);
        socket.off("error", onError);
        resolve(new RpcClient(socket));
      });
    });
  }

  get isClosed(): boolean {
    return this.#failure !== null;
  }

  async call(method: string, params: unknown, options: CallOptions = {}): Promise<unknown> {
    const { timeoutMs = 30_000, signal } = options;
    if (signal?.aborted === true) throw new CohortError("CANCELLED", { on: method });
    const deadlineMs = performance.now() + timeoutMs;
    if (this.#calls.size >= CALLS_AT_ONCE) await this.#turn(method);
    const leftMs = Math.max(1, Math.ceil(deadlineMs - performance.now()));
    return new Promise((resolve, reject) => {
      if (this.#failure !== null) return reject(this.#failure);
      if (signal?.aborted === true) return reject(new CohortError("CANCELLED", { on: method }));
      const id = (this.#lastId += 1);
      const settle = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        this.#calls.delete(id);
        this.#queue.shift()?.();
        this.#updateHold();
      };
      const giveUp = (error: Error): void => {
        settle();
        this.#channel.send({ type: "cancel", id });
        reject(error);
      };
      const onAbort = (): void => giveUp(new CohortError("CANCELLED", { on: method }));
      const timer = setTimeout(() => giveUp(new CohortError("DEADLINE", { on: `${method}: no answer within ${timeoutMs} ms` })), leftMs);
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#calls.set(id, {
        resolve: (value) => (settle(), resolve(value)),
        reject: (error) => (settle(), reject(error)),
      });
      this.#updateHold();
      try {
        this.#channel.send({ type: "call", id, method, params, timeoutMs: leftMs });
      } catch (error) {
        settle();
        reject(error instanceof Error ? error : new CohortError("INTERNAL", { on: String(error) }));
      }
    });
  }

  /** Items come once somebody reads. An abort of `signal` ends the stream with CANCELLED. */
  open(method: string, params: unknown, signal?: AbortSignal): RpcStream {
    if (this.#failure !== null) throw this.#failure;
    if (signal?.aborted === true) throw new CohortError("CANCELLED", { on: method });
    const id = (this.#lastId += 1);
    const stream = new RpcStream(id, this.#channel, signal, method, () => {
      this.#streams.delete(id);
      this.#updateHold();
    });
    this.#streams.set(id, stream);
    this.#updateHold();
    this.#channel.send({ type: "open", id, method, params, creditBytes: WINDOW_BYTES });
    return stream;
  }

  close(): void {
    this.#channel.close(new CohortError("TRANSPORT_CLOSED", { on: "closed by this side" }));
  }

  #turn(method: string): Promise<void> {
    if (this.#queue.length >= CALLS_WAITING_MAX) return Promise.reject(new CohortError("MAILBOX_FULL", { on: method }));
    return new Promise((resolve) => this.#queue.push(resolve));
  }

  #receive(message: Exclude<Message, { type: "part" }>): void {
    this.#lastHeardMs = performance.now();
    if ("id" in message && message.id > this.#lastId) throw invalid("an id that was never used");
    switch (message.type) {
      case "answer":
        return this.#calls.get(message.id)?.resolve(message.value);
      case "fail": {
        const error = errorFromRemote(message);
        this.#calls.get(message.id)?.reject(error);
        return this.#streams.get(message.id)?.fail(error);
      }
      case "item":
        return this.#streams.get(message.id)?.push(message.bytes);
      case "end":
        return this.#streams.get(message.id)?.finish();
      case "credit":
        return this.#streams.get(message.id)?.credit(message.bytes);
      case "pong":
        return;
      case "ping":
        return this.#channel.send({ type: "pong", number: message.number });
      case "call":
      case "open":
      case "cancel":
        throw invalid("a message that only a client sends");
    }
  }

  #closed(reason: Error): void {
    const failure = reason instanceof CohortError ? reason : new CohortError("TRANSPORT_CLOSED", { on: reason.message, cause: reason });
    this.#failure = failure;
    for (const stream of [...this.#streams.values()]) stream.fail(failure);
    for (const call of [...this.#calls.values()]) call.reject(failure);
    for (const wake of this.#queue.splice(0)) wake();
    this.#updateHold();
  }

  #updateHold(): void {
    const pending = this.#calls.size > 0 || this.#streams.size > 0;
    if (this.#failure === null) this.#channel.hold(pending);
    const wanted = pending && this.#failure === null;
    if (wanted && this.#pingTimer === null) {
      this.#lastHeardMs = performance.now();
      this.#pingTimer = setInterval(() => this.#ping(), PING_EVERY_MS);
      this.#pingTimer.unref();
    } else if (!wanted && this.#pingTimer !== null) {
      clearInterval(this.#pingTimer);
      this.#pingTimer = null;
    }
  }

  #ping(): void {
    if (performance.now() - this.#lastHeardMs > SILENCE_MS) {
      this.#channel.close(new CohortError("TRANSPORT_CLOSED", { on: `no sign of life for ${SILENCE_MS} ms` }));
      return;
    }
    this.#pings = (this.#pings + 1) % 0xffff_ffff;
    this.#channel.send({ type: "ping", number: this.#pings });
  }
}
