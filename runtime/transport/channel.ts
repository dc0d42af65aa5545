/**
 * Messages over one socket.
 *
 * Owns the socket, the decoder and the parts of a message that is not complete.
 * Does not own what messages mean.
 *
 * H1 bad input closes this socket and nothing else; `closed` is told exactly once, and after it no message.
 * H2 what waits in the socket for a peer that does not read is bounded: above BACKLOG_BYTES `drained` waits, and a serving side reads nothing more
 *    from that peer. The other side never stops reading: were both to stop, neither would go on.
 * H3 parts of one message are contiguous, and no more than messageBytesMax of them are kept.
 */
import type { Socket } from "node:net";
import { encodeFrame, FrameDecoder } from "../kernel/frame-codec.ts";
import { CohortError } from "../kernel/error.ts";
import { FRAME_BYTES_MAX, invalid, MESSAGE_BYTES_MAX, messageFromWire, messageToWire, PART_BYTES, type Message } from "./message.ts";

const BACKLOG_BYTES = 1024 ** 2;

export interface ChannelEvents {
  message(message: Exclude<Message, { type: "part" }>): void;
  closed(reason: Error): void;
}

export class Channel {
  /** Of a whole message that comes in; may be raised once the peer is trusted. */
  messageBytesMax: number;
  readonly #socket: Socket;
  readonly #side: "serving" | "calling";
  readonly #events: ChannelEvents;
  readonly #decoder = new FrameDecoder(FRAME_BYTES_MAX);
  #parts: Uint8Array[] = [];
  #partBytes = 0;
  #closed = false;
  #ending = false;
  #corked = false;
  #waitingForDrain: (() => void)[] = [];

  constructor(socket: Socket, side: "serving" | "calling", messageBytesMax: number, events: ChannelEvents) {
    this.#socket = socket;
    this.#side = side;
    this.messageBytesMax = messageBytesMax;
    this.#events = events;
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("drain", () => this.#onDrain());
    socket.on("error", (error) => this.#finish(new CohortError("TRANSPORT_CLOSED", { on: error.message, cause: error })));
    socket.on("close", () => this.#finish(new CohortError("TRANSPORT_CLOSED")));
    socket.on("end", () => this.close(new CohortError("TRANSPORT_CLOSED")));
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Nothing is sent after the close: the peer is gone, and whoever waits for it was told. Throws REQUEST_INVALID for what the peer would refuse. */
  send(message: Message): void {
    if (this.#closed || this.#ending) return;
    const frame = encodeFrame(messageToWire(message));
    if (frame.length > MESSAGE_BYTES_MAX)
      throw new CohortError("REQUEST_INVALID", { on: `a message of ${frame.length} bytes, at most ${MESSAGE_BYTES_MAX} are allowed` });
    this.#cork();
    if (frame.length <= FRAME_BYTES_MAX) {
      this.#socket.write(frame);
    } else {
      for (let offset = 0; offset < frame.length; offset += PART_BYTES) {
        const bytes = frame.subarray(offset, offset + PART_BYTES);
        this.#socket.write(encodeFrame(messageToWire({ type: "part", bytes, last: offset + PART_BYTES >= frame.length })));
      }
    }
    if (this.#side === "serving" && this.#isBacklogged()) this.#socket.pause();
  }

  /** Resolves when the socket takes more, or is closed. */
  async drained(): Promise<void> {
    while (!this.#closed && this.#isBacklogged()) {
      await new Promise<void>((resolve) => this.#waitingForDrain.push(resolve));
    }
  }

  /** Sends what is queued, then ends; force closes after `timeoutMs` if the peer does not read. */
  flushAndClose(timeoutMs: number): void {
    if (this.#closed || this.#ending) return;
    this.#ending = true;
    const timer = setTimeout(() => this.close(new CohortError("TRANSPORT_CLOSED")), timeoutMs);
    timer.unref();
    this.#socket.once("close", () => clearTimeout(timer));
    this.#socket.end();
  }

  close(reason: Error): void {
    this.#finish(reason);
    this.#socket.destroy();
  }

  /** Whether this socket keeps the process alive. */
  hold(alive: boolean): void {
    if (alive) this.#socket.ref();
    else this.#socket.unref();
  }

  // All messages of one turn of the event loop leave in one write.
  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#socket.cork();
    process.nextTick(() => {
      this.#corked = false;
      this.#socket.uncork();
    });
  }

  #isBacklogged(): boolean {
    return this.#socket.writableLength > BACKLOG_BYTES;
  }

  #onDrain(): void {
    this.#socket.resume();
    this.#releaseWaiting();
  }

  #releaseWaiting(): void {
    const waiting = this.#waitingForDrain;
    this.#waitingForDrain = [];
    for (const resolve of waiting) resolve();
  }

  #read(chunk: Buffer): void {
    if (this.#closed) return;
    try {
      for (const value of this.#decoder.push(chunk)) {
        const message = messageFromWire(value);
        if (message.type === "part") this.#takePart(message.bytes, message.last);
        else this.#deliver(message);
        if (this.#closed) return;
      }
    } catch (error) {
      this.close(error instanceof Error ? error : new CohortError("INTERNAL", { on: String(error) }));
    }
  }

  #deliver(message: Exclude<Message, { type: "part" }>): void {
    if (this.#partBytes > 0) throw invalid("a message between the parts of another");
    this.#events.message(message);
  }

  #takePart(bytes: Uint8Array, last: boolean): void {
    if (bytes.length === 0) throw invalid("an empty part");
    this.#partBytes += bytes.length;
    if (this.#partBytes > this.messageBytesMax) throw invalid(`a message of more than ${this.messageBytesMax} bytes`);
    this.#parts.push(bytes);
    if (!last) return;
    const whole = Buffer.concat(this.#parts, this.#partBytes);
    this.#parts = [];
    this.#partBytes = 0;
    const values = new FrameDecoder(this.messageBytesMax).push(whole);
    if (values.length !== 1) throw invalid("parts that are not one message");
    const message = messageFromWire(values[0]);
    if (message.type === "part") throw invalid("a part within parts");
    this.#deliver(message);
  }

  #finish(reason: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#parts = [];
    this.#releaseWaiting();
    this.#events.closed(reason);
  }
}
