/**
 * Single keys of the person at the terminal, while something is asked.
 * Owns: a descriptor of /dev/tty, and its mode while it listens. Does not own: standard input, which may be a pipe with items.
 * T1 between stop() and start() the terminal is as it was: Ctrl-C, Ctrl-Z and typing ahead belong to it. T2 while keys are read, Ctrl-C is still
 * a Ctrl-C. T3 keys that were typed before something was asked answer nothing.
 */
import { closeSync, constants, openSync } from "node:fs";
import { ReadStream } from "node:tty";

const CTRL_C = "\x03";

export class TerminalKeys {
  readonly #onKey: (key: string) => void;
  #stream: ReadStream | null = null;
  #listening = false;

  private constructor(onKey: (key: string) => void) {
    this.#onKey = onKey;
  }

  /** Null where this process has no terminal. */
  static open(onKey: (key: string) => void): TerminalKeys | null {
    try {
      closeSync(openSync("/dev/tty", constants.O_RDONLY | constants.O_NOCTTY));
      return new TerminalKeys(onKey);
    } catch {
      return null;
    }
  }

  /** Idempotent. */
  start(): void {
    if (this.#listening) return;
    this.#listening = true;
    const stream = new ReadStream(openSync("/dev/tty", constants.O_RDONLY | constants.O_NOCTTY));
    this.#stream = stream;
    stream.on("error", () => this.stop());
    stream.setRawMode(true);
    stream.on("data", (bytes: Buffer) => {
      for (const key of bytes.toString("latin1")) {
        if (key === CTRL_C) process.kill(process.pid, "SIGINT");
        else this.#onKey(key);
      }
    });
  }

  /** Idempotent. */
  stop(): void {
    if (!this.#listening) return;
    this.#listening = false;
    const stream = this.#stream;
    this.#stream = null;
    if (stream === null) return;
    stream.removeAllListeners("data");
    stream.setRawMode(false);
    stream.destroy();
  }
}
