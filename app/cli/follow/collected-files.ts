/**
 * Copies what tasks left in $COHORT_OUT to where the person wants it.
 * Owns: the set of paths that this run has written. Does not own: the collection of the supervisor, which stays as it is.
 * F1 nothing is written outside the directory: no link is followed, no name of a child is trusted. F2 two tasks never overwrite each
 * other's file. F3 a file is complete or absent; its hash is that of the result.
 */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { lstat, mkdir, open, rename, rm, type FileHandle } from "node:fs/promises";
import path from "node:path";
import type { TaskResult } from "../../../machines/messages/result.ts";

const CHUNK_BYTES = 256 * 1024;

function isSafe(relative: string): boolean {
  return (
    relative !== "" &&
    !relative.includes("\0") &&
    !path.isAbsolute(relative) &&
    relative.split("/").every((part) => part !== "" && part !== "." && part !== "..")
  );
}

async function makeDirectory(base: string, parts: readonly string[]): Promise<string> {
  let current = base;
  for (const part of parts) {
    current = path.join(current, part);
    await mkdir(current, { recursive: false }).catch((error: unknown) => {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    });
    const found = await lstat(current);
    if (!found.isDirectory()) throw new Error(`${current} is not a directory`);
  }
  return current;
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

export class CollectedFiles {
  readonly #written = new Map<string, number>();

  /** Answers what could not be copied, one sentence each. */
  async copy(result: TaskResult, directory: string): Promise<readonly string[]> {
    const problems: string[] = [];
    if (result.out.length === 0 || result.outDirectory === null) return problems;
    const base = path.resolve(directory);
    await mkdir(base, { recursive: true });
    for (const file of result.out) {
      try {
        await this.#copyOne(result, file, result.outDirectory, base);
      } catch (error) {
        problems.push(`task ${result.index}: ${file.path}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    return problems;
  }

  async #copyOne(result: TaskResult, file: TaskResult["out"][number], from: string, base: string): Promise<void> {
    if (!isSafe(file.path)) throw new Error("its path is not safe");
    const target = path.join(base, file.path);
    const other = this.#written.get(target);
    if (other !== undefined && other !== result.index)
      throw new Error(`task ${other} of this run wrote this file, too; use --out 'DIR/{#}'`);
    const parts = file.path.split("/");
    const parent = await makeDirectory(base, parts.slice(0, -1));
    const temporary = path.join(parent, `.cohort-${process.pid}-${result.index}.part`);
    const source = await open(path.join(from, file.path), constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const sink = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o666);
      try {
        if ((await pour(source, sink, file.bytes)) !== file.sha256) throw new Error("its content is not what was collected");
      } finally {
        await sink.close();
      }
      await rename(temporary, target);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    } finally {
      await source.close();
    }
    this.#written.set(target, result.index);
  }
}
