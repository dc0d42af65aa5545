/**
 * Owns the collection of one attempt's files: the exec that writes the archive, and what of it lands under out/<index>/.
 * Does not own the archive's rules (vm/collect-archive.ts).
 *
 * 1. What the child wrote is hostile: paths are checked by the archive, files are created O_EXCL|O_NOFOLLOW in a fresh directory.
 * 2. A collection that fails leaves no half file, and is told in the result; it never fails the task.
 * 3. Files are on the disk (fsync) before the result that names them.
 */
import { createHash, type Hash } from "node:crypto";
import { constants } from "node:fs";
import { mkdir, open, rm, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CohortError } from "../runtime/kernel/error.ts";
import { CollectArchive, type CollectEvent } from "../vm/collect-archive.ts";
import type { ExecExit, ExecPlan, OutputChunk, Vm } from "../vm/backend.ts";
import type { TaskResult } from "../machines/messages/result.ts";
import type { AuxiliaryExecs } from "./auxiliary-execs.ts";
import { syncDirectory } from "./content.ts";

export type Collected = Pick<TaskResult, "out" | "outSkipped" | "outDirectory">;

export const nothingCollected: Collected = { out: [], outSkipped: [], outDirectory: null };

/** Writing 64 MiB and hashing it takes a second; this is a disk that hardly moves. */
const COLLECT_DEADLINE_MS = 120_000;

interface OpenFile {
  readonly path: string;
  readonly handle: FileHandle;
  readonly hash: Hash;
  bytes: number;
}

class Collection {
  readonly #directory: string;
  readonly #archive: CollectArchive;
  readonly #out: { path: string; bytes: number; sha256: string }[] = [];
  readonly #skipped: { path: string; reason: string }[] = [];
  readonly #directories = new Set<string>();
  #file: OpenFile | null = null;

  constructor(directory: string, archive: CollectArchive) {
    this.#directory = directory;
    this.#archive = archive;
  }

  async push(bytes: Uint8Array): Promise<void> {
    for (const event of this.#archive.push(bytes)) await this.#take(event);
  }

  async finish(): Promise<Collected> {
    this.#archive.end();
    for (const directory of this.#directories) await syncDirectory(directory);
    if (this.#archive.skippedUnnamed > 0) this.#skipped.push({ path: "…", reason: `${this.#archive.skippedUnnamed} more` });
    return { out: this.#out, outSkipped: this.#skipped, outDirectory: this.#out.length > 0 ? this.#directory : null };
  }

  async abandon(): Promise<void> {
    await this.#file?.handle.close();
    this.#file = null;
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #take(event: CollectEvent): Promise<void> {
    switch (event.type) {
      case "file":
        this.#file = await this.#create(event.path, event.mode);
        return;
      case "data": {
        const file = this.#current();
        file.hash.update(event.bytes);
        file.bytes += event.bytes.length;
        await file.handle.writeFile(event.bytes);
        return;
      }
      case "fileEnd": {
        const { path, handle, hash, bytes } = this.#current();
        await handle.datasync();
        await handle.close();
        this.#file = null;
        this.#out.push({ path, bytes, sha256: hash.digest("hex") });
        return;
      }
      case "skipped":
        this.#skipped.push({ path: event.path, reason: event.reason });
        return;
    }
  }

  #current(): OpenFile {
    if (this.#file === null) throw new CohortError("INTERNAL", { on: "collected data without a file" });
    return this.#file;
  }

  async #create(path: string, mode: number): Promise<OpenFile> {
    const full = join(this.#directory, path);
    for (let directory = dirname(full); directory.length >= this.#directory.length; directory = dirname(directory))
      this.#directories.add(directory);
    await mkdir(dirname(full), { recursive: true, mode: 0o700 });
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    // Executable stays executable, for the person alone.
    const handle = await open(full, flags, (mode & 0o100) === 0 ? 0o600 : 0o700);
    return { path, handle, hash: createHash("sha256"), bytes: 0 };
  }
}

export interface CollectRequest {
  readonly vm: Vm;
  readonly execs: AuxiliaryExecs;
  readonly name: string;
  readonly plan: ExecPlan;
  readonly directory: string;
  /** Nothing was ever collected there. */
  readonly isFresh: boolean;
  readonly bytesMax: number;
  readonly filesMax: number;
}

/** Rejects with COLLECT_INVALID, WARDEN_GONE (try again), DEADLINE, or what the disk says. */
export async function collect(request: CollectRequest): Promise<Collected> {
  const { vm, execs, name, plan, directory, isFresh, bytesMax, filesMax } = request;
  if (!isFresh) await rm(directory, { recursive: true, force: true });
  const collection = new Collection(directory, new CollectArchive({ bytesMax, filesMax }));
  const done = Promise.withResolvers<Collected>();
  const timer = setTimeout(() => done.reject(new CohortError("DEADLINE", { on: `collecting the files of ${name}` })), COLLECT_DEADLINE_MS);
  let writing: Promise<void> = Promise.resolve();
  let position = 0;
  const take = async (chunk: OutputChunk): Promise<void> => {
    const end = chunk.offset + chunk.bytes.length;
    if (end > position) await collection.push(chunk.bytes.subarray(position - chunk.offset));
    position = Math.max(position, end);
    vm.ackOutput(name, plan.execId, chunk.stream, end);
    if (chunk.fin) done.resolve(await collection.finish());
  };
  execs.add(name, plan.execId, {
    output: (chunk) => {
      if (chunk.stream !== "stdout") return vm.ackOutput(name, plan.execId, chunk.stream, chunk.offset + chunk.bytes.length);
      writing = writing.then(() => take(chunk)).catch((error: unknown) => done.reject(error));
    },
    stdinAcked: () => {},
    exit: (exit: ExecExit) => {
      if (exit.cause !== "exited" || exit.code !== 0)
        done.reject(new CohortError("EXEC_FAILED", { on: `collecting: ${exit.cause} ${exit.code} ${exit.detail}` }));
    },
    disconnected: () => done.reject(new CohortError("WARDEN_GONE", { on: "while collecting" })),
  });
  try {
    const started = vm.exec(name, plan);
    started.catch((error: unknown) => done.reject(error));
    return await done.promise;
  } catch (error) {
    await writing;
    await collection.abandon();
    throw error;
  } finally {
    clearTimeout(timer);
    execs.remove(name, plan.execId);
  }
}
