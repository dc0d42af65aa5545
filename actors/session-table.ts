/**
 * Owns the sessions that this supervisor knows, and routes what the warden tells to them and to their actors.
 * Does not own the connection (vm-link.ts), what a session's process is given (engines/), nor shells (shell-table.ts).
 *
 * 1. An exit is acknowledged to the warden only after the journal committed it and the transcript has all output (or its child has ended).
 * 2. A sandbox that no child knows is destroyed at each new connection.
 * 3. A child whose process ran in a warden that is gone hears `lost`, once per connection; one whose start was never done is started.
 * 4. The id of a warden is on the disk before anything is started in it.
 */
import { setTimeout as delay } from "node:timers/promises";
import { isCohortError } from "../runtime/kernel/error.ts";
import type { ActorEvent, ActorRef } from "../runtime/kernel/actions.ts";
import type { Origin, Runtime } from "../runtime/contract.ts";
import type { RuntimeLog } from "../runtime/log/runtime-log.ts";
import type { ExecExit, GrantEnd, ListedSandbox, OutputChunk, Vm, VmEvents } from "../vm/backend.ts";
import type { ChildRow } from "../machines/messages/facts.ts";
import type { Content } from "./content.ts";
import { exitFacts } from "./exit-facts.ts";
import { FairTurns } from "./fair-turns.ts";
import { Session, type SessionId, type SessionPorts } from "./session.ts";
import { AuxiliaryExecs } from "./auxiliary-execs.ts";
import type { Denials } from "./denials.ts";
import type { LiveOutput } from "./live-output.ts";
import { WardenMemory } from "./warden-memory.ts";

/** The task's own process. */
export const TASK_EXEC_ID = 1;
/** The collection of its files. */
export const COLLECT_EXEC_ID = 2;

const linkOrigin: Origin = { surface: "daemon", device: "warden" };
const POST_RETRY_MS = 500;
/** After LIST come the exit records that nobody acknowledged; who is neither listed nor heard of by then is lost. */
const EXIT_RECORDS_MS = 3000;
const DESTROYS_AT_ONCE = 16;
/** The record of an exit is small; a disk that stays full this long ends with the lease. */
const EXIT_ACK_MS_MAX = 15 * 60_000;

export interface SessionTableParts {
  grantEnded(end: GrantEnd): void;
  /** The session is closed: its tools channel, too. */
  closed(name: string): void;
  readonly content: Content;
  readonly live: LiveOutput;
  readonly denials: Denials;
  readonly wardenIdPath: string;
  readonly log: RuntimeLog;
}

export class SessionTable {
  readonly #parts: SessionTableParts;
  readonly #sessions = new Map<string, Session>();
  /** Sessions whose process ran: only evidence or loss ends them. */
  readonly #begun = new Set<string>();
  readonly #exited = new Set<string>();
  readonly #runtime = Promise.withResolvers<Runtime>();
  readonly #turns = new FairTurns();
  readonly auxiliary = new AuxiliaryExecs();
  #wire: Vm | null = null;
  readonly #memory: WardenMemory;

  constructor(parts: SessionTableParts) {
    this.#parts = parts;
    this.#memory = new WardenMemory(parts.wardenIdPath);
  }

  /** The connection over which events come, also while it is being reconciled. */
  get wire(): Vm | null {
    return this.#wire;
  }

  /** Before `restore`. */
  async loadWardenId(): Promise<void> {
    await this.#memory.load();
  }

  /** Resolves once restore is done. Effects recover before that, and would take a session of an earlier supervisor for a new one. */
  async restored(): Promise<void> {
    await this.#runtime.promise;
  }

  /** Before the first connection: what the journal says is alive. */
  async restore(runtime: Runtime, rows: readonly { readonly name: string; readonly row: ChildRow }[]): Promise<void> {
    for (const { name, row } of rows) {
      const session = this.open({ run: row.run, index: row.index, attempt: row.attempt, name });
      session.resumed();
      session.signs.resume(row.lastSignAtMs, row.stuck);
      session.sentTo ??= this.#memory.warden(name);
      const ended = row.state === "collecting" || row.state === "destroying";
      if (row.begun && !ended) this.#begun.add(name);
      if (row.begun || ended) session.start.resolve();
      if (ended) this.#exited.add(name);
      await this.#recallTask(session, row.begun && !ended);
    }
    this.#runtime.resolve(runtime);
  }

  async #recallTask(session: Session, runs: boolean): Promise<void> {
    const { run, index } = session.id;
    try {
      const task = await this.#parts.content.task(run, index);
      session.task = task;
      session.outputBytesMax = task.limits.outputBytes;
      if (task.stdin !== undefined && runs) session.giveStdin(task.stdin);
    } catch (error) {
      // Somebody deleted the content of a run that lives: it ends, one way or another, with what is left.
      if (!isCohortError(error, "CONTENT_GONE")) throw error;
      this.#parts.log.error({ child: session.id.name, error }, "the content of a living child is gone");
    }
  }

  find(name: string): Session | undefined {
    return this.#sessions.get(name);
  }

  /** Of the attempt of a task that is alive; null if none is. Few sessions live at a time. */
  sessionOf(run: string, index: number): Session | null {
    for (const session of this.#sessions.values()) if (session.id.run === run && session.id.index === index) return session;
    return null;
  }

  /** The session of an attempt; a new one if this supervisor has not seen it yet. */
  open(id: SessionId): Session {
    const known = this.#sessions.get(id.name);
    if (known !== undefined) return known;
    const { content, live, log } = this.#parts;
    const ports: SessionPorts = {
      transcriptPath: content.transcriptPath(id.run, id.index, id.attempt),
      ack: (stream, offset) => this.#wire?.ackOutput(id.name, TASK_EXEC_ID, stream, offset),
      writeStdin: (offset, bytes, fin) => this.#wire?.writeStdin(id.name, TASK_EXEC_ID, offset, bytes, fin),
      hasSiblings: () => this.#sessions.size > 1,
      written: (chunk) => live.publish(id, chunk),
      progress: () => this.#progress(session),
      outputLimit: () => this.#background(this.post(id, { type: "outputLimit" })),
      failed: (error) => log.error({ child: id.name, error }, "a transcript cannot be written; its child waits"),
    };
    const session = new Session(id, ports, this.#turns);
    this.#sessions.set(id.name, session);
    return session;
  }

  async close(name: string): Promise<void> {
    const session = this.#sessions.get(name);
    this.#sessions.delete(name);
    this.#begun.delete(name);
    this.#exited.delete(name);
    this.#parts.denials.forget(name);
    this.#parts.closed(name);
    if (session === undefined) return;
    await session.close();
    this.#parts.live.end(session.id, session.totals);
  }

  markBegun(name: string): void {
    this.#begun.add(name);
    this.#sessions.get(name)?.signs.begin();
  }

  /** Those whose process runs. */
  running(): readonly Session[] {
    return [...this.#begun].flatMap((name) => this.#sessions.get(name) ?? []);
  }

  async closeAll(): Promise<void> {
    for (const name of [...this.#sessions.keys()]) await this.close(name);
  }

  disconnected(): void {
    this.#wire = null;
    this.auxiliary.disconnected();
  }

  /** Answers whether the journal has it; false when the child has ended or does not care. */
  async post({ run, index }: SessionId, event: ActorEvent): Promise<boolean> {
    const ref: ActorRef = `child:${run}/${index}`;
    const runtime = await this.#runtime.promise;
    for (;;) {
      try {
        await runtime.post(ref, event, linkOrigin);
        return true;
      } catch (error) {
        if (isCohortError(error, "ACTOR_UNKNOWN") || isCohortError(error, "DEAD_LETTER")) return false;
        if (!isCohortError(error, "MAILBOX_FULL") && !isCohortError(error, "JOURNAL_FULL")) throw error;
        await delay(POST_RETRY_MS);
      }
    }
  }

  readonly events: Omit<VmEvents, "closed"> = {
    output: (chunk) => this.#output(chunk),
    stdinAcked: (name, execId, offset) => {
      if (execId === TASK_EXEC_ID) this.#sessions.get(name)?.stdin?.acked(offset);
      else this.auxiliary.stdinAcked(name, execId, offset);
    },
    exit: (exit) => this.#exit(exit),
    died: ({ name, reason, detail }) => this.#parts.log.debug({ child: name, reason, detail }, "a sandbox died"),
    denied: (denial) => this.#parts.denials.heard(this.#sessions.get(denial.name)?.id, denial),
    grantEnded: (end) => this.#parts.grantEnded(end),
    notice: (name, kind, detail) => this.#parts.log.info({ child: name, kind, detail }, "notice of the warden"),
  };

  /** Compares what the warden holds with what the journal knows, both ways. */
  async reconcile(vm: Vm): Promise<void> {
    this.#wire = vm;
    const { wardenId } = vm.identity;
    const listed = await vm.list();
    const elsewhere = [...this.#begun].filter((name) => this.#sessions.get(name)?.sentTo !== wardenId);
    for (const name of elsewhere) this.#lose(name, "unknown");
    const unfinished = [...this.#sessions.values()].filter(({ sentTo }) => sentTo !== null && sentTo !== wardenId);
    await this.#memory.keep(
      wardenId,
      unfinished.map(({ id }) => id.name),
    );
    await this.#destroyUnknown(vm, listed);
    for (const { name, state } of listed) this.#sessions.get(name)?.found(state === "frozen");
    const names = new Set(listed.map(({ name }) => name));
    const missing = [...this.#begun].filter((name) => !names.has(name) && !elsewhere.includes(name));
    if (missing.length > 0) this.#background(this.#loseLater(missing));
  }

  /** The warden is dead: nothing that ran in it runs any more. */
  loseAll(): void {
    for (const name of [...this.#begun]) this.#lose(name, "unknown");
  }

  #lose(name: string, status: "unknown" | "lost"): void {
    const session = this.#sessions.get(name);
    if (session === undefined || this.#exited.has(name)) return;
    this.#begun.delete(name);
    session.lose();
    this.#background(this.post(session.id, { type: "lost", status }));
  }

  async #loseLater(names: readonly string[]): Promise<void> {
    await delay(EXIT_RECORDS_MS, undefined, { ref: false });
    for (const name of names) this.#lose(name, "unknown");
  }

  async #destroyUnknown(vm: Vm, listed: readonly ListedSandbox[]): Promise<void> {
    const unknown = listed.filter(({ name }) => !this.#sessions.has(name));
    for (let first = 0; first < unknown.length; first += DESTROYS_AT_ONCE) {
      await Promise.all(
        unknown.slice(first, first + DESTROYS_AT_ONCE).map(async ({ name }) => {
          this.#parts.log.warn({ child: name }, "a sandbox that no child knows is destroyed");
          await vm.destroy(name);
        }),
      );
    }
  }

  #output(chunk: OutputChunk): void {
    if (chunk.execId !== TASK_EXEC_ID) return this.auxiliary.output(chunk);
    this.#sessions.get(chunk.name)?.output(chunk);
  }

  #exit(exit: ExecExit): void {
    const { name, execId } = exit;
    if (execId !== TASK_EXEC_ID) {
      this.auxiliary.exit(exit);
      this.#wire?.ackExit(name, execId);
      return;
    }
    const session = this.#sessions.get(name);
    if (session === undefined) {
      this.#wire?.ackExit(name, execId);
      return;
    }
    this.#exited.add(name);
    this.#begun.delete(name);
    this.#background(this.#commitExit(session, exit));
  }

  async #commitExit(session: Session, exit: ExecExit): Promise<void> {
    const { run, index, attempt, name } = session.id;
    // Why it was ended stands there already, where it was for being stuck.
    if (exit.detail !== "" && session.signs.told === null) {
      session.noted = true;
      await this.#parts.content.writeNote(run, index, attempt, exit.detail);
    }
    // A very short command ends before its start has been told.
    await session.start.promise;
    await this.post(session.id, { type: "exited", exit: exitFacts(exit) });
    // The acknowledgement lets go of the output, too.
    await session.complete(exit.stdoutBytes, exit.stderrBytes, EXIT_ACK_MS_MAX);
    this.#wire?.ackExit(name, TASK_EXEC_ID);
  }

  #progress(session: Session): void {
    if (session.signs.tellsProgress(this.#sessions.size)) this.#background(this.post(session.id, { type: "progress" }));
  }

  /** Work that nobody awaits; it fails only when the runtime stops or the disk does, and is done again after a restart. */
  #background(work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      if (!isCohortError(error, "CANCELLED")) this.#parts.log.error({ error }, "an event of the warden could not be passed on");
    });
  }
}
