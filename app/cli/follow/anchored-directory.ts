/**
 * A directory to write to that a task may be able to change meanwhile, because it lies in one of its writable mounts.
 * Owns the descriptor of the anchor. Does not own what is written below.
 * A1 links are followed down to the anchor, at the beginning, before a task runs; below it none is, whenever it was put there.
 * A2 in a writable mount the mount itself is the anchor: what an earlier run left there is not trusted either.
 * A3 steps go from descriptor to descriptor, so that no exchange of a directory leads elsewhere.
 */
import { constants } from "node:fs";
import { mkdir, open, realpath, type FileHandle } from "node:fs/promises";
import path from "node:path";

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY;

/** An entry of an open directory, as a path: what openat(2) would do, which Node does not offer. */
export function entryOf(directory: FileHandle, name: string): string {
  return `/proc/self/fd/${directory.fd}/${name}`;
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

async function realOrNull(directory: string): Promise<string | null> {
  try {
    return await realpath(directory);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return null;
    throw error;
  }
}

async function step(from: FileHandle, name: string): Promise<FileHandle> {
  await mkdir(entryOf(from, name)).catch((error: unknown) => {
    if (!hasCode(error, "EEXIST")) throw error;
  });
  try {
    return await open(entryOf(from, name), DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    if (hasCode(error, "ENOTDIR") || hasCode(error, "ELOOP")) throw new Error(`${name} is not a directory`, { cause: error });
    throw error;
  }
}

export class AnchoredDirectory {
  /** Components below the anchor. */
  readonly parts: readonly string[];
  readonly isWritableByTasks: boolean;
  readonly #anchor: FileHandle;

  private constructor(anchor: FileHandle, parts: readonly string[], isWritableByTasks: boolean) {
    this.#anchor = anchor;
    this.parts = parts;
    this.isWritableByTasks = isWritableByTasks;
  }

  /** `writable`: the sources of writable mounts, without links. Nothing is made yet. */
  static async find(directory: string, writable: readonly string[]): Promise<AnchoredDirectory> {
    const parts = path
      .resolve(directory)
      .split("/")
      .filter((part) => part !== "");
    let anchor = "/";
    let depth = 0;
    const isWritable = (): boolean => writable.some((source) => anchor === source || anchor.startsWith(`${source}/`));
    while (depth < parts.length && !isWritable()) {
      const next = await realOrNull(`/${parts.slice(0, depth + 1).join("/")}`);
      if (next === null) break;
      anchor = next;
      depth += 1;
    }
    return new AnchoredDirectory(await open(anchor, DIRECTORY), parts.slice(depth), isWritable());
  }

  /** Makes what is missing. The caller closes what it gets. */
  async enter(parts: readonly string[]): Promise<FileHandle> {
    let current = await open(entryOf(this.#anchor, "."), DIRECTORY);
    for (const part of parts) {
      const from = current;
      try {
        current = await step(from, part);
      } finally {
        await from.close();
      }
    }
    return current;
  }

  close(): Promise<void> {
    return this.#anchor.close();
  }
}
