/**
 * Owns the operational log of a process: JSON lines in a 0600 file, moved aside at its limit, so that there are two files at most.
 * Does not own: facts (they belong into the journal).
 * 1. A line is in the file when the call returns: the last one before a crash is the one that is wanted.
 * 2. A line that cannot be written (a full disk) is dropped and counted; the next that can be says how many were.
 */
import { chmodSync, closeSync, mkdirSync, openSync, renameSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { pino, type Logger } from "pino";
import { LOG_BYTES_MAX } from "../kernel/limits.ts";

export type RuntimeLog = Pick<Logger, "debug" | "info" | "warn" | "error">;

export interface OpenedLog {
  readonly log: RuntimeLog;
  close(): void;
}

class LogFile {
  readonly #file: string;
  #descriptor: number | null;
  #bytes: number;
  #dropped = 0;

  constructor(file: string) {
    this.#file = file;
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    this.#descriptor = openSync(file, "a", 0o600);
    chmodSync(file, 0o600);
    this.#bytes = statSync(file).size;
  }

  write(line: string): void {
    if (this.#descriptor === null) return;
    try {
      if (this.#bytes >= LOG_BYTES_MAX) this.#rotate();
      if (this.#dropped > 0) this.#bytes += writeSync(this.#descriptor, `{"level":50,"time":${Date.now()},"dropped":${this.#dropped}}\n`);
      this.#dropped = 0;
      this.#bytes += writeSync(this.#descriptor, line);
    } catch {
      this.#dropped++;
    }
  }

  #rotate(): void {
    renameSync(this.#file, `${this.#file}.1`);
    const next = openSync(this.#file, "a", 0o600);
    if (this.#descriptor !== null) closeSync(this.#descriptor);
    this.#descriptor = next;
    this.#bytes = 0;
  }

  close(): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor);
    this.#descriptor = null;
  }
}

export function openRuntimeLog(file: string): OpenedLog {
  const stream = new LogFile(file);
  const log = pino({ base: null, serializers: { error: pino.stdSerializers.err } }, stream);
  return { log, close: () => stream.close() };
}
