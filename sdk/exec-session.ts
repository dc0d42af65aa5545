/**
 * A command beside a task, in its sandbox, with its input and output: what `cohort shell` is made of.
 *
 * Owns one stream. When the connection is lost the session is over: unlike a run it belongs to who opened it.
 */
import { CohortError } from "../runtime/kernel/error.ts";
import type { ExecItem, OutputItem } from "../machines/messages/api.ts";
import type { RpcStream } from "../runtime/transport/client-stream.ts";
import type { Link } from "./link.ts";

export interface ExecExitStatus {
  /** 0 to 255; 0 when a signal ended it. */
  readonly code: number;
  /** 0: none. */
  readonly signal: number;
}

export class ExecSession {
  readonly child: string;
  readonly execId: number;
  readonly #link: Link;
  readonly #stream: RpcStream;
  readonly #items: AsyncIterator<unknown>;
  #exit: ExecExitStatus | null = null;

  private constructor(link: Link, child: string, execId: number, stream: RpcStream, items: AsyncIterator<unknown>) {
    this.#link = link;
    this.child = child;
    this.execId = execId;
    this.#stream = stream;
    this.#items = items;
  }

  /** Resolves when the command runs. For class Cohort. */
  static async open(
    link: Link,
    child: string,
    request: { readonly command: readonly string[]; readonly pty: { readonly rows: number; readonly columns: number } | null },
  ): Promise<ExecSession> {
    const client = await link.client();
    const stream = client.open("child.exec", { child, command: [...request.command], pty: request.pty });
    const items = stream[Symbol.asyncIterator]();
    const first = await items.next();
    const execId = first.done === true ? undefined : (first.value as ExecItem).execId;
    if (execId === undefined) {
      stream.cancel();
      throw new CohortError("EXEC_FAILED", { on: child });
    }
    return new ExecSession(link, child, execId, stream, items);
  }

  /** What it writes, until it ends. For one reader. Leaving the loop ends the session. */
  async *output(): AsyncGenerator<OutputItem, void> {
    try {
      while (this.#exit === null) {
        const step = await this.#items.next();
        if (step.done === true) return;
        const item = step.value as ExecItem;
        if (item.exit !== undefined) this.#exit = item.exit;
        if (item.output !== undefined) yield item.output;
      }
    } finally {
      if (this.#exit === null) this.#stream.cancel();
    }
  }

  /** Bytes for its standard input, or key strokes of a pty. Waits while it does not read. */
  async write(bytes: Uint8Array): Promise<void> {
    await this.#stream.write(bytes);
  }

  /** End of file on its standard input. */
  end(): void {
    this.#stream.end();
  }

  /** Of a pty. */
  async resize(rows: number, columns: number): Promise<void> {
    await this.#link.call("child.resize", { child: this.child, execId: this.execId, rows, columns }, { repeatable: true });
  }

  /** Reads what nobody reads, and resolves when the command ended. Throws TRANSPORT_CLOSED when its end was not heard. */
  async exit(): Promise<ExecExitStatus> {
    for await (const _ of this.output());
    if (this.#exit === null) throw new CohortError("TRANSPORT_CLOSED", { on: "the session ended before its command" });
    return this.#exit;
  }

  /** Ends the session; cohortd ends the command. */
  close(): void {
    this.#stream.cancel();
  }
}
