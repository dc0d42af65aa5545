/**
 * Owns the execs beside the task's own: collections and shells, each known by sandbox and exec id.
 * Does not own what they are for. None of them outlives its connection: what was not finished is begun again, or has ended.
 */
import type { ExecExit, OutputChunk } from "../vm/backend.ts";

export interface AuxiliaryExec {
  output(chunk: OutputChunk): void;
  stdinAcked(offset: number): void;
  exit(exit: ExecExit): void;
  disconnected(): void;
}

export class AuxiliaryExecs {
  readonly #execs = new Map<string, AuxiliaryExec>();

  add(name: string, execId: number, exec: AuxiliaryExec): void {
    this.#execs.set(`${name}/${execId}`, exec);
  }

  remove(name: string, execId: number): void {
    this.#execs.delete(`${name}/${execId}`);
  }

  output(chunk: OutputChunk): void {
    this.#execs.get(`${chunk.name}/${chunk.execId}`)?.output(chunk);
  }

  stdinAcked(name: string, execId: number, offset: number): void {
    this.#execs.get(`${name}/${execId}`)?.stdinAcked(offset);
  }

  exit(exit: ExecExit): void {
    this.#execs.get(`${exit.name}/${exit.execId}`)?.exit(exit);
  }

  disconnected(): void {
    for (const exec of [...this.#execs.values()]) exec.disconnected();
  }
}
