/**
 * One accepted connection: its calls and streams.
 *
 * Owns the channel, the abort signals of calls and streams, and the queues of what the client streams in.
 * Does not own the session's state: the service made the session, and is told when it is over.
 *
 * S1 ids grow; a reused or invented id is malformed input and closes the connection.
 * S2 after a call or stream ended, late messages for its id are ignored; both sides may end it at the same time.
 * S3 when the connection closes every signal is aborted and every waiting pump released.
 */
import type { Socket } from "node:net";
import { CohortError } from "../kernel/error.ts";
import { Channel } from "./channel.ts";
import { encodeItem, InboundQueue, OutboundCredit } from "./credit.ts";
import { invalid, MESSAGE_BYTES_MAX, WINDOW_BYTES, type Message } from "./message.ts";
import { errorToRemote } from "./remote-error.ts";

const CALLS_MAX = 256;
const STREAMS_MAX = 1024;
const UNTRUSTED_MESSAGE_BYTES_MAX = 64 * 1024;
/** A client's last answers get so long to be read when its connection is closed by us. */
const FLUSH_MS = 1000;

export interface RpcService {
  connect(peer: RpcPeer): RpcSession;
}

export interface RpcPeer {
  /** Allows messages of MESSAGE_BYTES_MAX from now on. */
  trust(): void;
  /** What is already sent is still delivered. */
  close(): void;
}

/** Handlers of one connection. They reject with CohortErrors; `signal` aborts on cancel, deadline, disconnection. */
export interface RpcSession {
  call(method: string, params: unknown, signal: AbortSignal): Promise<unknown>;
  /** `input` has the client's items and must be read or left alone; the answer's items are sent as the client gives credit. */
  stream(method: string, params: unknown, input: AsyncIterable<unknown>, signal: AbortSignal): AsyncIterable<unknown>;
  closed(): void;
}

interface ServerStream {
  readonly abort: AbortController;
  readonly credit: OutboundCredit;
  readonly input: InboundQueue;
}

export class ServerConnection {
  readonly #channel: Channel;
  readonly #session: RpcSession;
  readonly #onInternalError: (error: unknown, method: string) => void;
  readonly #onClosed: () => void;
  readonly #calls = new Map<number, AbortController>();
  readonly #streams = new Map<number, ServerStream>();
  #lastId = 0;
  #whenIdle: (() => void) | null = null;

  constructor(socket: Socket, service: RpcService, onInternalError: (error: unknown, method: string) => void, onClosed: () => void) {
    this.#onInternalError = onInternalError;
    this.#onClosed = onClosed;
    this.#channel = new Channel(socket, "serving", UNTRUSTED_MESSAGE_BYTES_MAX, {
      message: (message) => this.#receive(message),
      closed: (reason) => this.#closed(reason),
    });
    this.#session = service.connect({
      trust: () => (this.#channel.messageBytesMax = MESSAGE_BYTES_MAX),
      close: () => this.#channel.flushAndClose(FLUSH_MS),
    });
  }

  async finish(graceMs: number): Promise<void> {
    const stopped = new CohortError("TRANSPORT_CLOSED", { on: "the server stops" });
    for (const id of [...this.#streams.keys()]) this.#endStream(id, stopped);
    if (this.#calls.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs);
        this.#whenIdle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    for (const id of [...this.#calls.keys()]) this.#endCall(id, { type: "fail", id, ...errorToRemote(stopped) });
    this.#channel.flushAndClose(FLUSH_MS);
  }

  #receive(message: Exclude<Message, { type: "part" }>): void {
    switch (message.type) {
      case "call":
        return this.#startCall(message.id, message.method, message.params, message.timeoutMs);
      case "open":
        return this.#openStream(message.id, message.method, message.params, message.creditBytes);
      case "credit":
        return this.#known(message.id)?.credit.add(message.bytes);
      case "item":
        return this.#known(message.id)?.input.push(message.bytes);
      case "end":
        return this.#known(message.id)?.input.end();
      case "cancel":
        return this.#cancel(message.id);
      case "ping":
        return this.#channel.send({ type: "pong", number: message.number });
      case "answer":
      case "fail":
      case "pong":
        throw invalid("a message that only a server sends");
    }
  }

  #known(id: number): ServerStream | undefined {
    if (id > this.#lastId) throw invalid("an id that was never opened");
    return this.#streams.get(id);
  }

  #newId(id: number): void {
    if (id <= this.#lastId) throw invalid("an id that was used before");
    this.#lastId = id;
  }

  #startCall(id: number, method: string, params: unknown, timeoutMs: number): void {
    this.#newId(id);
    if (this.#calls.size >= CALLS_MAX) return this.#refuse(id, `${CALLS_MAX} calls of one connection`);
    const abort = new AbortController();
    this.#calls.set(id, abort);
    const timer = timeoutMs === 0 ? undefined : setTimeout(() => this.#expire(id, method), timeoutMs);
    void this.#session
      .call(method, params, abort.signal)
      .then(
        (value) => this.#endCall(id, { type: "answer", id, value: value ?? null }),
        (error: unknown) => this.#endCall(id, this.#failure(id, error, method)),
      )
      .finally(() => clearTimeout(timer));
  }

  #expire(id: number, method: string): void {
    this.#calls.get(id)?.abort(new CohortError("DEADLINE", { on: method }));
    this.#endCall(id, { type: "fail", id, ...errorToRemote(new CohortError("DEADLINE", { on: method })) });
  }

  #endCall(id: number, answer: Message): void {
    if (!this.#calls.delete(id)) return;
    this.#sendOrFail(id, answer);
    if (this.#calls.size === 0) this.#whenIdle?.();
  }

  #openStream(id: number, method: string, params: unknown, creditBytes: number): void {
    this.#newId(id);
    if (this.#streams.size >= STREAMS_MAX) return this.#refuse(id, `${STREAMS_MAX} streams of one connection`);
    const input = new InboundQueue(
      WINDOW_BYTES,
      (bytes) => this.#channel.send({ type: "credit", id, bytes }),
      () => undefined,
    );
    const stream: ServerStream = { abort: new AbortController(), credit: new OutboundCredit(creditBytes), input };
    this.#streams.set(id, stream);
    void this.#pump(id, stream, method, params).then(
      () => this.#endStream(id, null),
      (error: unknown) => this.#endStream(id, error, method),
    );
  }

  // `for await` would wait for a handler that is silent; next() is raced against the abort so that a cancelled stream is gone at once.
  async #pump(id: number, stream: ServerStream, method: string, params: unknown): Promise<void> {
    const { signal } = stream.abort;
    const items = this.#session.stream(method, params, stream.input, signal)[Symbol.asyncIterator]();
    let onAbort = (): void => undefined;
    const aborted = new Promise<"aborted">((resolve) => {
      onAbort = (): void => resolve("aborted");
      signal.addEventListener("abort", onAbort, { once: true });
    });
    try {
      for (;;) {
        const step = await Promise.race([items.next(), aborted]);
        if (step === "aborted" || step.done === true) return;
        const bytes = encodeItem(step.value);
        await stream.credit.take(bytes.length);
        await this.#channel.drained();
        if (signal.aborted) return;
        this.#channel.send({ type: "item", id, bytes });
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      // Not awaited: a handler that ignores its signal must not hold up the stream's end. What it throws now concerns nobody any more but the log.
      items.return?.().catch((error: unknown) => this.#report(error, method));
    }
  }

  #endStream(id: number, error: unknown, method = ""): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    this.#streams.delete(id);
    this.#release(stream, new CohortError("CANCELLED"));
    this.#sendOrFail(id, error === null ? { type: "end", id } : this.#failure(id, error, method));
  }

  #cancel(id: number): void {
    if (id > this.#lastId) throw invalid("an id that was never opened");
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    call?.abort(new CohortError("CANCELLED"));
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    this.#streams.delete(id);
    this.#release(stream, new CohortError("CANCELLED"));
  }

  #release(stream: ServerStream, reason: Error): void {
    stream.abort.abort(reason);
    stream.credit.fail(reason);
    stream.input.fail(reason);
  }

  #closed(reason: Error): void {
    for (const call of this.#calls.values()) call.abort(reason);
    for (const stream of this.#streams.values()) this.#release(stream, reason);
    this.#calls.clear();
    this.#streams.clear();
    this.#whenIdle?.();
    this.#session.closed();
    this.#onClosed();
  }

  #refuse(id: number, what: string): void {
    this.#channel.send({ type: "fail", id, ...errorToRemote(new CohortError("MAILBOX_FULL", { on: what })) });
  }

  #failure(id: number, error: unknown, method: string): Message {
    this.#report(error, method);
    return { type: "fail", id, ...errorToRemote(error) };
  }

  #report(error: unknown, method: string): void {
    if (!(error instanceof CohortError) || error.code === "INTERNAL") this.#onInternalError(error, method);
  }

  // An answer that is too large to send is the caller's to know, not a reason to lose the connection.
  #sendOrFail(id: number, message: Message): void {
    try {
      this.#channel.send(message);
    } catch (error) {
      this.#channel.send({ type: "fail", id, ...errorToRemote(error) });
    }
  }
}
