/** The operational log of a process: JSON lines in a 0600 file, moved aside once at its limit. Facts belong into the journal, not here. */
import { chmodSync, closeSync, mkdirSync, openSync, renameSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { destination, pino, type Logger } from "pino";
import { LOG_BYTES_MAX } from "../kernel/limits.ts";

export type RuntimeLog = Pick<Logger, "debug" | "info" | "warn" | "error">;

export interface OpenedLog {
  readonly log: RuntimeLog;
  close(): void;
}

function prepare(file: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  closeSync(openSync(file, "a", 0o600));
  chmodSync(file, 0o600);
}

export function openRuntimeLog(file: string): OpenedLog {
  prepare(file);
  // Synchronous: lines are few, and the last one before a crash is the one that is wanted.
  const stream = destination({ dest: file, sync: true, mode: 0o600 });
  let bytes = statSync(file).size;
  stream.on("write", (written: number) => {
    bytes += written;
    if (bytes < LOG_BYTES_MAX) return;
    bytes = 0;
    renameSync(file, `${file}.1`);
    prepare(file);
    stream.reopen();
  });
  // A full disk must not end the supervisor: the journal says so itself.
  stream.on("error", () => undefined);
  const log = pino({ base: null, serializers: { error: pino.stdSerializers.err } }, stream);
  return { log, close: () => stream.end() };
}
