/**
 * Owns the files that batches write to, inside the worker, from the first write to the sync.
 * Does not own their meaning, nor who reads them.
 *
 * 1. What was written is durable by the journal's tail at first, and by itself after sync(); the tail is begun anew only then.
 * 2. Writing the same again, as a replay does, gives the same file.
 * 3. Files are 0600, their directories 0700.
 */
import { closeSync, constants, fdatasyncSync, fsyncSync, ftruncateSync, mkdirSync, openSync, writeSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import type { FileWrite } from "../contract.ts";
import { CohortError } from "../kernel/error.ts";

/** Kept open between two syncs; more and they are synced and closed. */
const OPEN_FILES_MAX = 256;

export interface BatchFiles {
  write(file: FileWrite): void;
  /** What was written is durable by itself once it returns. */
  sync(): void;
  close(): void;
}

export class JournaledFiles implements BatchFiles {
  readonly #directory: string;
  readonly #open = new Map<string, number>();
  readonly #directories = new Set<string>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  write({ path, offset, bytes, fresh }: FileWrite): void {
    const file = this.#file(path, fresh);
    for (let written = 0; written < bytes.length;) written += writeSync(file, bytes, written, bytes.length - written, offset + written);
    // Only now: what a replay writes again must not go from a full disk that has no room to bring it back.
    if (fresh) ftruncateSync(file, offset + bytes.length);
  }

  sync(): void {
    for (const file of this.#open.values()) fdatasyncSync(file);
    for (const directory of this.#directories) syncDirectory(directory);
    this.close();
  }

  close(): void {
    for (const file of this.#open.values()) closeSync(file);
    this.#open.clear();
    this.#directories.clear();
  }

  #file(path: string, fresh: boolean): number {
    const known = this.#open.get(path);
    if (known !== undefined && !fresh) return known;
    if (path === "" || path.startsWith("/") || normalize(path) !== path || path.startsWith(".."))
      throw new CohortError("INTERNAL", { on: `a batch writes to ${JSON.stringify(path)}` });
    if (known !== undefined) closeSync(known);
    this.#open.delete(path);
    if (this.#open.size >= OPEN_FILES_MAX) this.sync();
    const whole = join(this.#directory, path);
    const file = openMaking(whole, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW);
    this.#open.set(path, file);
    for (let at = dirname(path); ; at = dirname(at)) {
      this.#directories.add(join(this.#directory, at));
      if (at === ".") break;
    }
    return file;
  }
}

function openMaking(path: string, flags: number): number {
  try {
    return openSync(path, flags, 0o600);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    return openSync(path, flags, 0o600);
  }
}

/** One that was removed meanwhile, with all that was written there, has nothing to lose. */
function syncDirectory(path: string): void {
  let directory: number;
  try {
    directory = openSync(path, "r");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
    throw error;
  }
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
