/**
 * Owns one diff of one staged directory: the exec that makes it in the sandbox, and the archive on the disk. Does not own what is in it.
 *
 * 1. The archive is checked as it comes, bounded, and stands under its name only when it is whole and synced.
 * 2. A diff that fails leaves the earlier one as it was.
 */
import { randomInt } from "node:crypto";
import { open, rename, rm, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { CohortError } from "../runtime/kernel/error.ts";
import { StagedArchive } from "../vm/staged-archive.ts";
import type { ExecExit, ExecPlan, OutputChunk, Vm } from "../vm/backend.ts";
import type { AuxiliaryExecs } from "./auxiliary-execs.ts";
import { syncDirectory } from "./content.ts";

/** Of content: what a child writes fits stagedBytes, but a renamed directory comes whole. */
const DIFF_BYTES_MAX = 1024 ** 3;
const DIFF_FILES_MAX = 100_000;
/** Of the archive beside the content: names, and about a hundred bytes for each entry. */
const RECORDS_BYTES_MAX = 128 * 1024 ** 2;
/** A gigabyte on a slow disk; the child stands still meanwhile. */
const DIFF_DEADLINE_MS = 120_000;
const WINDOW_BYTES = 1024 ** 2;
/** As those of shells: what is executed twice is told apart by the warden. */
const EXEC_IDS = { first: 1000, end: 2 ** 31 };

export interface DiffRequest {
  readonly vm: Vm;
  readonly execs: AuxiliaryExecs;
  readonly name: string;
  readonly target: string;
  /** Its directory exists. */
  readonly archivePath: string;
}

class Incoming {
  readonly #file: FileHandle;
  readonly #archive = new StagedArchive();
  #position = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** True when that was all. */
  async take(chunk: OutputChunk): Promise<boolean> {
    const end = chunk.offset + chunk.bytes.length;
    if (end > this.#position) {
      const bytes = chunk.bytes.subarray(this.#position - chunk.offset);
      if (end > DIFF_BYTES_MAX + RECORDS_BYTES_MAX) throw new CohortError("STAGED_INVALID", { on: `more than ${DIFF_BYTES_MAX} bytes` });
      this.#archive.push(bytes);
      await this.#file.writeFile(bytes);
      this.#position = end;
    }
    if (!chunk.fin) return false;
    this.#archive.end();
    await this.#file.datasync();
    return true;
  }
}

function diffPlan(target: string, execId: number): ExecPlan {
  const argv = [target, String(DIFF_BYTES_MAX), String(DIFF_FILES_MAX)];
  return { execId, kind: "diff", argv, env: {}, cwd: "/", pty: null, stdin: "none", windowBytes: WINDOW_BYTES };
}

/** Rejects with STAGED_INVALID, WARDEN_GONE (try again), DEADLINE, EXEC_FAILED, or what the disk says. */
export async function collectDiff(request: DiffRequest, signal: AbortSignal): Promise<void> {
  const { archivePath } = request;
  const partial = `${archivePath}.partial`;
  const file = await open(partial, "w", 0o600);
  try {
    await receive(request, new Incoming(file), signal);
    await rename(partial, archivePath);
    await syncDirectory(dirname(archivePath));
  } finally {
    await file.close();
    await rm(partial, { force: true });
  }
}

async function receive({ vm, execs, name, target }: DiffRequest, incoming: Incoming, signal: AbortSignal): Promise<void> {
  const plan = diffPlan(target, randomInt(EXEC_IDS.first, EXEC_IDS.end));
  const done = Promise.withResolvers<void>();
  const timer = setTimeout(() => done.reject(new CohortError("DEADLINE", { on: `the diff of ${name}` })), DIFF_DEADLINE_MS);
  const cancel = (): void => done.reject(new CohortError("CANCELLED", { on: `the diff of ${name}` }));
  signal.addEventListener("abort", cancel);
  let writing: Promise<void> = Promise.resolve();
  const take = async (chunk: OutputChunk): Promise<void> => {
    const isLast = await incoming.take(chunk);
    vm.ackOutput(name, plan.execId, chunk.stream, chunk.offset + chunk.bytes.length);
    if (isLast) done.resolve();
  };
  execs.add(name, plan.execId, {
    output: (chunk) => {
      if (chunk.stream !== "stdout") return vm.ackOutput(name, plan.execId, chunk.stream, chunk.offset + chunk.bytes.length);
      writing = writing.then(() => take(chunk)).catch((error: unknown) => done.reject(error));
    },
    stdinAcked: () => {},
    exit: (exit: ExecExit) => {
      if (exit.cause !== "exited" || exit.code !== 0)
        done.reject(new CohortError("EXEC_FAILED", { on: `the diff: ${exit.cause} ${exit.code} ${exit.detail}` }));
    },
    disconnected: () => done.reject(new CohortError("WARDEN_GONE", { on: "while the diff was made" })),
  });
  try {
    if (signal.aborted) cancel();
    else vm.exec(name, plan).catch((error: unknown) => done.reject(error));
    await done.promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", cancel);
    await writing;
    execs.remove(name, plan.execId);
  }
}
