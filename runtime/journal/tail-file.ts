/** The file below journal.tail, as narrow as a disk that the simulator can tear. */
import { closeSync, constants, fchmodSync, fdatasyncSync, fstatSync, ftruncateSync, openSync, readSync, writevSync } from "node:fs";

export interface TailFile {
  readonly size: number;
  /** Bytes read, 0 at the end. */
  read(into: Uint8Array, position: number): number;
  /** Bytes written, perhaps fewer than were given. */
  write(parts: readonly Uint8Array[], position: number): number;
  truncate(bytes: number): void;
  /** What was written survives power loss once it returns. */
  sync(): void;
  close(): void;
}

export function openTailFile(path: string): TailFile {
  const file = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  fchmodSync(file, 0o600);
  return {
    get size() {
      return fstatSync(file).size;
    },
    read: (into, position) => readSync(file, into, 0, into.length, position),
    write: (parts, position) => writevSync(file, parts, position),
    truncate: (bytes) => ftruncateSync(file, bytes),
    sync: () => fdatasyncSync(file),
    close: () => closeSync(file),
  };
}
