/**
 * Copies what tasks left in $COHORT_OUT to where the person wants it.
 * Owns: the set of paths that this run has written. Does not own: the collection of the supervisor, which stays as it is.
 * F1 nothing is written outside the directory: no link is followed, no name of a child is trusted, and a child that may write there
 * (--write) cannot lead elsewhere by exchanging directories (anchored-directory.ts). F2 two tasks never overwrite each
 * other's file. F3 a file is complete or absent; its hash is that of the result.
 */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open, rename, rm, type FileHandle } from "node:fs/promises";
import path from "node:path";
import type { TaskResult } from "../../../machines/messages/result.ts";
import { AnchoredDirectory, entryOf } from "./anchored-directory.ts";

const CHUNK_BYTES = 256 * 1024;

function isSafe(relative: string): boolean {
  return (
    relative !== "" &&
    !relative.includes("\0") &&
    !path.isAbsolute(relative) &&
    relative.split("/").every((part) => part !== "" && part !== "." && part !== "..")
  );
}

async function pour(source: FileHandle, target: FileHandle, bytesMax: number): Promise<string> {
  const hash = createHash("sha256");
  const buffer = Buffer.alloc(CHUNK_BYTES);
  let total = 0;
  for (;;) {
    const { bytesRead } = await source.read(buffer, 0, CHUNK_BYTES, null);
    if (bytesRead === 0) return hash.digest("hex");
    total += bytesRead;
    if (total > bytesMax) throw new Error("it grew while it was copied");
    hash.update(buffer.subarray(0, bytesRead));
    await target.writeFile(buffer.subarray(0, bytesRead));
  }
}

/** The file is whole, or absent. */
async function copyTo(temporary: string, from: string, file: TaskResult["out"][number]): Promise<void> {
  const source = await open(from, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const sink = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o666);
    try {
      if ((await pour(source, sink, file.bytes)) !== file.sha256) throw new Error("its content is not what was collected");
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    } finally {
      await sink.close();
    }
  } finally {
    await source.close();
  }
}

export class CollectedFiles {
  readonly #written = new Map<string, number>();
  readonly #directory: AnchoredDirectory;

  private constructor(directory: AnchoredDirectory) {
    this.#directory = directory;
  }

  /** Before any task runs. In `directory` {#} is the number of the task; `writable` are the sources of writable mounts. */
  static async into(directory: string, writable: readonly string[]): Promise<CollectedFiles> {
    return new CollectedFiles(await AnchoredDirectory.find(directory, writable));
  }

  /** Answers what could not be copied, one sentence each. */
  async copy(result: TaskResult): Promise<readonly string[]> {
    const problems: string[] = [];
    if (result.outDirectory === null) return problems;
    const base = this.#directory.parts.map((part) => part.replaceAll("{#}", String(result.index + 1)));
    for (const file of result.out) {
      try {
        await this.#copyOne(result, file, result.outDirectory, base);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        problems.push(`task ${result.index}: ${file.path}: ${reason.replaceAll(/\/proc\/self\/fd\/\d+\//g, "")}`);
      }
    }
    return problems;
  }

  close(): Promise<void> {
    return this.#directory.close();
  }

  async #copyOne(result: TaskResult, file: TaskResult["out"][number], from: string, base: readonly string[]): Promise<void> {
    if (!isSafe(file.path)) throw new Error("its path is not safe");
    const parts = [...base, ...file.path.split("/")];
    const target = parts.join("/");
    const other = this.#written.get(target);
    if (other !== undefined && other !== result.index)
      throw new Error(`task ${other} of this run wrote this file, too; use --out 'DIR/{#}'`);
    const parent = await this.#directory.enter(parts.slice(0, -1));
    try {
      const temporary = entryOf(parent, `.cohort-${process.pid}-${result.index}.part`);
      await copyTo(temporary, path.join(from, file.path), file);
      await rename(temporary, entryOf(parent, parts.at(-1) ?? "")).catch(async (error: unknown) => {
        await rm(temporary, { force: true });
        throw error;
      });
    } finally {
      await parent.close();
    }
    this.#written.set(target, result.index);
  }
}
