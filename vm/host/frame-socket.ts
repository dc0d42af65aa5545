/**
 * Owns one Unix socket to a warden and the frames that go over it.
 * Does not own what frames mean.
 *
 * 1. Frames sent in one tick leave in one write.
 * 2. At most WRITE_BACKLOG_BYTES_MAX wait for a warden that does not read; more ends the connection.
 * 3. `onClosed` is called once, and never after close().
 * 4. While held, no frame is delivered and the socket is not read.
 */
import { createConnection, type Socket } from "node:net";
import { CohortError } from "../../runtime/kernel/error.ts";
import { FrameDecoder } from "../../runtime/kernel/frame-codec.ts";
import { WIRE_FRAME_BYTES_MAX } from "../wire/frames.ts";

/** A warden reads at once; this much unread means that it hangs. 64 MiB is four full stdin texts. */
const WRITE_BACKLOG_BYTES_MAX = 64 * 1024 * 1024;

export interface FrameSocketHandlers {
  /** A throw ends the connection. */
  onFrame(frame: unknown): void;
  onClosed(reason: Error): void;
}

export class FrameSocket {
  readonly #socket: Socket;
  readonly #handlers: FrameSocketHandlers;
  readonly #decoder = new FrameDecoder(WIRE_FRAME_BYTES_MAX);
  #flushPlanned = false;
  #open = true;
  #held = false;
  #waiting: unknown[] = [];

  private constructor(socket: Socket, handlers: FrameSocketHandlers) {
    this.#socket = socket;
    this.#handlers = handlers;
    socket.on("data", (chunk: Buffer) => {
      this.#guard(() => this.#deliver(this.#decoder.push(chunk)));
    });
    socket.on("error", (error) => {
      this.#end(new CohortError("WARDEN_GONE", { on: error.message, cause: error }));
    });
    socket.on("close", () => {
      this.#end(new CohortError("WARDEN_GONE", { on: "it closed the connection" }));
    });
  }

  /** Rejects with WARDEN_ABSENT when nobody listens, WARDEN_REFUSED when the socket is not ours. */
  static connect(socketPath: string, handlers: FrameSocketHandlers): Promise<FrameSocket> {
    return new Promise((resolve, reject) => {
      const socket = createConnection(socketPath);
      const onError = (error: NodeJS.ErrnoException): void => {
        const absent = error.code === "ENOENT" || error.code === "ECONNREFUSED";
        reject(new CohortError(absent ? "WARDEN_ABSENT" : "WARDEN_REFUSED", { on: error.message, cause: error }));
      };
      socket.once("error", onError);
      socket.once("connect", () => {
        socket.off("error", onError);
        resolve(new FrameSocket(socket, handlers));
      });
    });
  }

  get open(): boolean {
    return this.#open;
  }

  send(frame: Buffer): void {
    if (!this.#open) return;
    if (!this.#flushPlanned) {
      this.#flushPlanned = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#flushPlanned = false;
        this.#socket.uncork();
      });
    }
    this.#socket.write(frame);
    if (this.#socket.writableLength > WRITE_BACKLOG_BYTES_MAX)
      this.fail(new CohortError("WARDEN_GONE", { on: "it does not read its socket" }));
  }

  /** Keeps further frames back until release. */
  hold(): void {
    this.#held = true;
    this.#socket.pause();
  }

  release(): void {
    this.#held = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#guard(() => this.#deliver(waiting));
    if (!this.#held) this.#socket.resume();
  }

  /** Ends the connection from this side and tells onClosed. */
  fail(reason: Error): void {
    this.#end(reason);
    this.#socket.destroy();
  }

  /** Ends the connection after what was sent has been written. Tells nobody. */
  close(): void {
    this.#open = false;
    this.#waiting = [];
    this.#socket.destroySoon();
  }

  #deliver(frames: readonly unknown[]): void {
    for (let index = 0; index < frames.length; index += 1) {
      if (!this.#open) return;
      if (this.#held) {
        this.#waiting.push(...frames.slice(index));
        return;
      }
      this.#handlers.onFrame(frames[index]);
    }
  }

  #guard(run: () => void): void {
    if (!this.#open) return;
    try {
      run();
    } catch (error) {
      this.fail(error instanceof Error ? error : new CohortError("INTERNAL", { on: String(error) }));
    }
  }

  #end(reason: Error): void {
    if (!this.#open) return;
    this.#open = false;
    this.#waiting = [];
    this.#handlers.onClosed(reason);
  }
}
