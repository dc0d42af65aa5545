/** Owns one codec with stand-in peers, built with sanitizers. Any finding of theirs fails stop(). */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Vm, VmConnectOptions } from "../../vm/backend.ts";
import { connectWarden } from "../../vm/host/warden-connection.ts";
import { isCohortError } from "../../runtime/kernel/error.ts";
import { RecordedEvents } from "../vm/recorded-events.ts";

const START_DEADLINE_MS = 10_000;
const STOP_DEADLINE_MS = 20_000;

export class CodecProcess {
  readonly socketPath: string;
  readonly #directory = mkdtempSync(join(tmpdir(), "codec-"));
  readonly #process: ChildProcess;
  readonly #ended: Promise<unknown[]>;
  #stderr = "";

  constructor(program: string, options: { readonly leaseMsMin?: number; readonly exitWhenIdleMs?: number } = {}) {
    this.socketPath = join(this.#directory, "socket");
    const args = [this.socketPath, `${options.leaseMsMin ?? 1}`, `${options.exitWhenIdleMs ?? 0}`];
    this.#process = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
    this.#ended = once(this.#process, "close", { signal: AbortSignal.timeout(120_000) });
    this.#ended.catch(() => {});
    this.#process.stderr?.on("data", (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-20_000);
    });
  }

  get stderr(): string {
    return this.#stderr;
  }

  async connect(options: Partial<VmConnectOptions> = {}): Promise<{ readonly vm: Vm; readonly events: RecordedEvents }> {
    const deadline = Date.now() + START_DEADLINE_MS;
    for (;;) {
      const events = new RecordedEvents();
      try {
        const vm = await connectWarden(
          this.socketPath,
          { supervisorId: "test", freezeAfterMs: 60_000, killAfterMs: 120_000, ...options },
          events,
        );
        return { vm, events };
      } catch (error) {
        if (!isCohortError(error, "WARDEN_ABSENT") || Date.now() > deadline)
          throw new Error(`the codec does not serve: ${this.#stderr}`, { cause: error });
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
  }

  /** Sends raw bytes, and answers what came until the codec closed the connection. */
  async raw(bytes: Uint8Array): Promise<Buffer> {
    const socket = createConnection(this.socketPath);
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.write(bytes);
    await once(socket, "close", { signal: AbortSignal.timeout(START_DEADLINE_MS) });
    return Buffer.concat(chunks);
  }

  /** Waits for its end, and answers its exit status. */
  async ended(): Promise<number | null> {
    await this.#ended;
    return this.#process.exitCode;
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const { vm } = await this.connect();
      await vm.shutdown();
      await Promise.race([
        this.#ended,
        new Promise((_, reject) => setTimeout(() => reject(new Error("the codec does not end")), STOP_DEADLINE_MS)),
      ]);
    }
    rmSync(this.#directory, { recursive: true, force: true });
    if (/Sanitizer|runtime error/.test(this.#stderr) || this.#process.exitCode !== 0)
      throw new Error(`the codec ended badly: ${this.#stderr}`);
  }
}

export const sandboxLimits = {
  memoryBytes: 1 << 26,
  diskBytes: 1 << 24,
  diskInodes: 1000,
  diskKind: "tmpfs",
  tmpBytes: 1 << 24,
  pidsMax: 64,
  cpuPermille: 0,
  openFilesMax: 256,
} as const;

export function sandboxPlan(name: string, timeoutMs = 0) {
  return { name, timeoutMs, limits: sandboxLimits, network: "none", mounts: [] } as const;
}

export function shellPlan(
  execId: number,
  script: string,
  options: {
    readonly stdin?: "none" | "stream";
    readonly tools?: "stream";
    readonly windowBytes?: number;
    readonly pty?: { rows: number; columns: number };
  } = {},
) {
  return {
    execId,
    kind: "command",
    argv: ["/bin/sh", "-c", script],
    env: { PATH: "/usr/bin:/bin" },
    cwd: "/tmp",
    pty: options.pty ?? null,
    stdin: options.stdin ?? "none",
    ...(options.tools === undefined ? {} : { tools: options.tools }),
    windowBytes: options.windowBytes ?? 1 << 20,
  } as const;
}
