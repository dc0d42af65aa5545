/**
 * Owns the tools channels of living children, from the first thing that is heard of each to the end of its session.
 * Does not own sessions (session-table.ts), nor what is asked (asks.ts).
 */
import type { RuntimeLog } from "../runtime/log/runtime-log.ts";
import type { VmEvents } from "../vm/backend.ts";
import type { Asks } from "./asks.ts";
import { TASK_EXEC_ID, type SessionTable } from "./session-table.ts";
import { ToolsChannel } from "./tools-channel.ts";

export interface ToolsChannelsParts {
  readonly table: SessionTable;
  asks(): Asks;
  readonly log: RuntimeLog;
}

export class ToolsChannels {
  readonly #parts: ToolsChannelsParts;
  readonly #channels = new Map<string, ToolsChannel>();

  constructor(parts: ToolsChannelsParts) {
    this.#parts = parts;
  }

  readonly events: Required<Pick<VmEvents, "tools" | "toolsAcked">> = {
    tools: (chunk) => {
      // Most programs never use theirs: they end with an empty fin, or none.
      if (chunk.execId === TASK_EXEC_ID && chunk.bytes.length > 0) this.#channel(chunk.name)?.received(chunk);
    },
    // On a new connection this comes before any byte of the channel.
    toolsAcked: (name, execId, offset) => {
      if (execId === TASK_EXEC_ID) this.#channel(name)?.acked(offset);
    },
  };

  disconnected(): void {
    for (const channel of this.#channels.values()) channel.disconnected();
  }

  /** Its session has ended: nobody waits for an answer any more. */
  close(name: string): void {
    this.#channels.get(name)?.close();
    this.#channels.delete(name);
  }

  /** It is being killed: its exit must not wait for what nobody will answer. */
  cut(name: string): void {
    this.#channel(name)?.close();
  }

  /** A question of its waits for its answer. */
  isAsking(name: string): boolean {
    return this.#channels.get(name)?.isAsking ?? false;
  }

  #channel(name: string): ToolsChannel | undefined {
    const { table, log } = this.#parts;
    const id = table.find(name)?.id;
    if (id === undefined) return undefined;
    const known = this.#channels.get(name);
    if (known !== undefined) return known;
    const channel = new ToolsChannel({
      ask: (ask, signal) => this.#parts.asks().directory(id, ask, signal),
      ack: (offset) => table.wire?.ackOutput(name, TASK_EXEC_ID, "tools", offset),
      write: (offset, bytes) => table.wire?.writeTools(name, TASK_EXEC_ID, offset, bytes, false),
      progress: (report) => table.find(name)?.reported(report),
      failed: (error) => log.error({ child: name, error }, "a question of a child could not be answered"),
    });
    this.#channels.set(name, channel);
    return channel;
  }
}
