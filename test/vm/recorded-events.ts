/** VmEvents that keep everything, and let a test wait for what it expects. */
import type { Denial, ExecExit, GrantEnd, OutputChunk, OutputStream, SandboxDeath, VmEvents } from "../../vm/backend.ts";

export class RecordedEvents implements VmEvents {
  readonly chunks: OutputChunk[] = [];
  readonly exits: ExecExit[] = [];
  readonly deaths: SandboxDeath[] = [];
  readonly grantEnds: GrantEnd[] = [];
  readonly denials: Denial[] = [];
  readonly notices: (readonly [name: string, kind: string, detail: string])[] = [];
  readonly stdin: (readonly [name: string, execId: number, offset: number])[] = [];
  closedBy: Error | null = null;
  /** Called after each event. */
  onOutput: (chunk: OutputChunk) => void = () => {};
  onExit: (exit: ExecExit) => void = () => {};
  #changed = Promise.withResolvers<void>();

  output(chunk: OutputChunk): void {
    // The bytes are a view of a read buffer; a test keeps them long.
    this.chunks.push({ ...chunk, bytes: Buffer.from(chunk.bytes) });
    this.onOutput(chunk);
    this.#notify();
  }

  stdinAcked(name: string, execId: number, offset: number): void {
    this.stdin.push([name, execId, offset]);
    this.#notify();
  }

  exit(exit: ExecExit): void {
    this.exits.push(exit);
    this.onExit(exit);
    this.#notify();
  }

  died(death: SandboxDeath): void {
    this.deaths.push(death);
    this.#notify();
  }

  grantEnded(end: GrantEnd): void {
    this.grantEnds.push(end);
    this.#notify();
  }

  denied(denial: Denial): void {
    this.denials.push(denial);
    this.#notify();
  }

  notice(name: string, kind: string, detail: string): void {
    this.notices.push([name, kind, detail]);
    this.#notify();
  }

  closed(reason: Error): void {
    this.closedBy = reason;
    this.#notify();
  }

  /** The stream as the receiver has it: each byte once, by offset; throws on a gap. */
  bytesOf(name: string, execId: number, stream: OutputStream): Buffer {
    const parts: Uint8Array[] = [];
    let end = 0;
    for (const chunk of this.chunks) {
      if (chunk.name !== name || chunk.execId !== execId || chunk.stream !== stream) continue;
      if (chunk.offset > end) throw new Error(`a gap: ${end} to ${chunk.offset}`);
      const fresh = chunk.bytes.subarray(end - chunk.offset);
      parts.push(fresh);
      end += fresh.length;
    }
    return Buffer.concat(parts);
  }

  /** Resolves with the first truthy value of `probe`, tried after each event. */
  async until<T>(what: string, probe: () => T | null | undefined | false, deadlineMs = 10_000): Promise<T> {
    const deadline = AbortSignal.timeout(deadlineMs);
    const late = new Promise<never>((_, reject) => {
      deadline.addEventListener("abort", () => reject(new Error(`${what} did not come within ${deadlineMs} ms`)), { once: true });
    });
    // Nobody may wait for it any more when it comes.
    late.catch(() => {});
    for (;;) {
      const value = probe();
      if (value) return value;
      await Promise.race([this.#changed.promise, late]);
    }
  }

  #notify(): void {
    const changed = this.#changed;
    this.#changed = Promise.withResolvers();
    changed.resolve();
  }
}
