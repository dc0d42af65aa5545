/**
 * Owns one command beside a task, in its sandbox: its output goes to its one reader, its stdin comes from its one writer, nothing is journaled.
 * Does not own the sandbox: with it the command ends.
 *
 * 1. Output is acknowledged when the reader took it: a slow reader slows the command, and nothing else.
 * 2. Whoever stops reading ends the command: its process is killed, unless it has ended.
 */
import { randomInt } from "node:crypto";
import { CohortError, isCohortError } from "../runtime/kernel/error.ts";
import type { ExecExit, OutputChunk, Vm } from "../vm/backend.ts";
import type { ExecItem } from "../machines/messages/api.ts";
import type { ExecRequest } from "./contract.ts";
import { sessionEnvironment } from "./engines/command.ts";
import type { Session } from "./session.ts";
import type { SessionTable } from "./session-table.ts";

const WINDOW_BYTES = 128 * 1024;
const STDIN_WINDOW_BYTES = 64 * 1024;
const SIGKILL = 9;
const SIGHUP = 1;
/** Task, collections, and then shells. A random beginning, since an id is executed once in a sandbox, and an earlier supervisor used some. */
const EXEC_ID_FIRST = 1000;
const EXEC_ID_MAX = 2 ** 32 - 1;

let nextExecId = randomInt(EXEC_ID_FIRST, 2 ** 31);

function takeExecId(): number {
  nextExecId = nextExecId >= EXEC_ID_MAX ? EXEC_ID_FIRST : nextExecId + 1;
  return nextExecId;
}

/** What the warden told, in order, until the reader takes it. Bounded by the windows. */
class Incoming {
  readonly #chunks: OutputChunk[] = [];
  #exit: ExecExit | null = null;
  #failure: Error | null = null;
  #stdinAcked = 0;
  #changed = Promise.withResolvers<void>();

  push(chunk: OutputChunk): void {
    this.#chunks.push(chunk);
    this.#wake();
  }

  end(exit: ExecExit): void {
    this.#exit = exit;
    this.#wake();
  }

  fail(error: Error): void {
    this.#failure ??= error;
    this.#wake();
  }

  acked(offset: number): void {
    this.#stdinAcked = offset;
    this.#wake();
  }

  get ended(): boolean {
    return this.#exit !== null || this.#failure !== null;
  }

  async next(): Promise<OutputChunk | ExecExit> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) return chunk;
      if (this.#failure !== null) throw this.#failure;
      if (this.#exit !== null) return this.#exit;
      await this.#changed.promise;
    }
  }

  /** Resolves when less than the window is on its way; false when the command has ended. */
  async room(sentBytes: number): Promise<boolean> {
    while (!this.ended && sentBytes - this.#stdinAcked >= STDIN_WINDOW_BYTES) await this.#changed.promise;
    return !this.ended;
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

async function feed(vm: Vm, name: string, execId: number, stdin: AsyncIterable<Uint8Array>, incoming: Incoming): Promise<void> {
  let sent = 0;
  for await (const bytes of stdin) {
    for (let position = 0; position < bytes.length; position += STDIN_WINDOW_BYTES) {
      if (!(await incoming.room(sent))) return;
      const part = bytes.subarray(position, position + STDIN_WINDOW_BYTES);
      vm.writeStdin(name, execId, sent, part, false);
      sent += part.length;
    }
  }
  if (!incoming.ended) vm.writeStdin(name, execId, sent, new Uint8Array(0), true);
}

/** Rejects with EXEC_FAILED, CHILD_UNKNOWN (by the caller), WARDEN_GONE. */
export async function* shell(
  vm: Vm,
  table: SessionTable,
  session: Session,
  request: ExecRequest,
  signal: AbortSignal,
): AsyncGenerator<ExecItem> {
  const { name } = session.id;
  const execId = takeExecId();
  const incoming = new Incoming();
  const abort = (): void => incoming.fail(new CohortError("CANCELLED", { on: "the reader left" }));
  signal.addEventListener("abort", abort);
  table.auxiliary.add(name, execId, {
    output: (chunk) => incoming.push(chunk),
    stdinAcked: (offset) => incoming.acked(offset),
    exit: (exit) => incoming.end(exit),
    disconnected: () => incoming.fail(new CohortError("WARDEN_GONE", { on: `while ${name} ran a command` })),
  });
  try {
    signal.throwIfAborted();
    const env = {
      ...sessionEnvironment(session.id, session.task?.network ?? "none"),
      ...(request.pty === null ? {} : { TERM: "xterm-256color" }),
    };
    const { pty } = request;
    await vm.exec(name, {
      execId,
      kind: "command",
      argv: request.command,
      env,
      cwd: `/sessions/${name}`,
      pty,
      stdin: "stream",
      windowBytes: WINDOW_BYTES,
    });
    yield { execId };
    feed(vm, name, execId, request.stdin, incoming).catch((error: unknown) =>
      incoming.fail(error instanceof Error ? error : new CohortError("INTERNAL", { on: String(error) })),
    );
    for (;;) {
      const item = await incoming.next();
      if ("cause" in item) {
        yield { exit: { code: item.code, signal: item.signal } };
        return;
      }
      if (item.bytes.length > 0) yield { output: { stream: item.stream, offset: item.offset, bytes: item.bytes } };
      vm.ackOutput(name, execId, item.stream, item.offset + item.bytes.length);
    }
  } finally {
    signal.removeEventListener("abort", abort);
    const ended = incoming.ended && !signal.aborted;
    incoming.fail(new CohortError("CANCELLED", { on: "the reader left" }));
    if (!ended) await endProcess(vm, name, execId);
    table.auxiliary.remove(name, execId);
  }
}

/** A shell that lost its terminal ends by SIGHUP; what does not is killed. */
async function endProcess(vm: Vm, name: string, execId: number): Promise<void> {
  try {
    await vm.signal(name, execId, SIGHUP);
    await vm.signal(name, execId, SIGKILL);
  } catch (error) {
    // It, or its sandbox, has ended meanwhile.
    if (!isCohortError(error)) throw error;
  }
}
