/** The file below journal.tail, as narrow as a disk that the simulator can tear. */
import { closeSync, constants, fchmodSync, fdatasyncSync, fstatSync, ftruncateSync, openSync, readSync, writevSync } from "node:fs";

export interface TailFile {
  readonly size: number;
  /** Bytes read, 0 at the end. */
  read(into: Uint8Array, position: number): number;
  /** Bytes written, perhaps fewer than were given. Within `size` no free space is needed. */
  write(parts: readonly Uint8Array[], position: number): number;
  /** Grows the file to this size, with space that is its own from then on. Throws ENOSPC, having grown by nothing. */
  allocate(bytes: number): void;
  truncate(bytes: number): void;
  /** What was written survives power loss once it returns. */
  sync(): void;
  close(): void;
}

const ZEROS = Buffer.alloc(256 * 1024);

/**
 * Node has no fallocate: zeros are written. Where a file system compresses them, or writes each change to a new place (btrfs, ZFS), that keeps
 * no space, and a full disk refuses more than it promised.
 */
function growWithZeros(file: number, bytes: number): void {
  const { size } = fstatSync(file);
  try {
    for (let at = size; at < bytes;) at += writevSync(file, [ZEROS.subarray(0, Math.min(ZEROS.length, bytes - at))], at);
  } catch (error) {
    ftruncateSync(file, size);
    throw error;
  }
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
    allocate: (bytes) => growWithZeros(file, bytes),
    truncate: (bytes) => ftruncateSync(file, bytes),
    sync: () => fdatasyncSync(file),
    close: () => closeSync(file),
  };
}
