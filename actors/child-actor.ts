/**
 * The child's machine with its effects on the VM and on content. Every effect is keyed: running it again finds what it did before.
 * Owns nothing: sessions are the table's, the connection the link's, files the content's.
 */
import { randomInt } from "node:crypto";
import type { ActorDefinition, EffectContext, EffectDefinition } from "../runtime/contract.ts";
import type { ActorEvent, Json } from "../runtime/kernel/actions.ts";
import { CohortError, isCohortError } from "../runtime/kernel/error.ts";
import type { Vm } from "../vm/backend.ts";
import { childMachine } from "../machines/child.ts";
import { childEffects, type AttemptParams, type KillParams, type SettleParams, type SignalParams } from "../machines/messages/child-events.ts";
import type { RecordRef, RetryPolicy } from "../machines/messages/facts.ts";
import type { TaskResult } from "../machines/messages/result.ts";
import type { Task } from "../machines/messages/task.ts";
import { collect, nothingCollected, type Collected } from "./collection.ts";
import type { Content } from "./content.ts";
import { collectPlan, commandPlan, sandboxPlan } from "./engines/command.ts";
import type { ResultFile } from "./result-file.ts";
import type { Session } from "./session.ts";
import { COLLECT_EXEC_ID, TASK_EXEC_ID, type SessionTable } from "./session-table.ts";
import type { VmLink } from "./vm-link.ts";

export const childDefinition: ActorDefinition = {
  kind: "child",
  version: 1,
  machine: childMachine,
  // News of an attempt may come when its state no longer cares.
  ignores: ["started", "startFailed", "exited", "lost", "outputLimit", "progress", "settled", "destroyed", "timer", "cancel", "effectFailed"],
};

export interface ChildParts {
  readonly content: Content;
  readonly results: ResultFile;
  readonly table: SessionTable;
  readonly link: VmLink;
}

/** How long a start waits for a warden before its task is refused. */
const START_WAIT_MS = 30_000;
/** Output that the warden holds comes with the next connection at the latest; after the lease's end there is no sandbox any more. */
const OUTPUT_DEADLINE_MS = 15 * 60_000;
const EXEC_IDS_OF_COLLECT = { first: COLLECT_EXEC_ID + 1, end: 1000 };

function policyOf(task: Task): RetryPolicy {
  return { retries: task.retries, idempotent: task.idempotent, timeoutMs: task.timeoutMs ?? 0 };
}

/** The warden's own code, where it refused: `<table message>: <CODE>: …`. */
function wardenSaid(error: unknown, ...codes: readonly string[]): boolean {
  return isCohortError(error) && codes.some((code) => error.message.includes(`${code}:`) || error.message.endsWith(code));
}

/** Each is told in the result. Anything else (a full disk) is tried again. */
const collectMayFail: ReadonlySet<string> = new Set(["COLLECT_INVALID", "EXEC_FAILED", "DEADLINE", "WARDEN_ABSENT", "WARDEN_REFUSED"]);

const isGone = (error: unknown): boolean => wardenSaid(error, "NAME_UNKNOWN", "SANDBOX_DEAD");

class ChildEffects {
  readonly #parts: ChildParts;

  constructor(parts: ChildParts) {
    this.#parts = parts;
  }

  async start(params: AttemptParams, { signal }: EffectContext): Promise<ActorEvent> {
    const { content, table, link } = this.#parts;
    const task = await content.task(params.run, params.index);
    const policy = policyOf(task);
    const session = table.open(params);
    session.task = task;
    session.outputBytesMax = task.limits.outputBytes;
    try {
      for (;;) {
        if (session.doom.signal.aborted && session.sentTo === null) return { type: "startFailed", status: "cancelled", policy };
        const vm = link.current ?? (await link.ready(AbortSignal.any([signal, session.doom.signal]), START_WAIT_MS));
        const { wardenId } = vm.identity;
        // It may have run in a warden that is gone.
        if (session.sentTo !== null && session.sentTo !== wardenId) return { type: "lost", status: "unknown" };
        session.sentTo = wardenId;
        if (task.stdin !== undefined && session.stdin === null) session.giveStdin(task.stdin);
        try {
          // One round trip: the warden holds the exec until the sandbox stands.
          const created = vm.create(sandboxPlan(task, params.name));
          const executed = vm.exec(params.name, commandPlan(task, params, TASK_EXEC_ID));
          executed.catch(() => {});
          await created;
          await executed;
        } catch (error) {
          if (isCohortError(error, "WARDEN_GONE")) continue;
          throw error;
        }
        table.markBegun(params.name);
        session.stdin?.pump();
        return { type: "started", policy };
      }
    } catch (error) {
      if (signal.aborted) throw error;
      if (session.doom.signal.aborted && session.sentTo === null) return { type: "startFailed", status: "cancelled", policy };
      if (!isCohortError(error)) throw error;
      return await this.#startFailed(params, policy, session, error);
    } finally {
      session.start.resolve();
    }
  }

  async #startFailed(params: AttemptParams, policy: RetryPolicy, session: Session, error: CohortError): Promise<ActorEvent> {
    // Whether it was executed is not known when the warden did not answer.
    if (error.code === "DEADLINE") return { type: "lost", status: "unknown" };
    if (session.doom.signal.aborted) return { type: "startFailed", status: "cancelled", policy };
    session.noted = true;
    await this.#parts.content.writeNote(params.run, params.index, params.attempt, `${error.message}\n${error.hint}`);
    return { type: "startFailed", status: error.code === "EXEC_FAILED" ? "not-started" : "refused", policy };
  }

  async signal({ name, signal: number }: SignalParams, { signal }: EffectContext): Promise<null> {
    try {
      await this.#parts.link.call(signal, (vm) => vm.signal(name, 0, number));
    } catch (error) {
      if (!isGone(error)) throw error;
    }
    return null;
  }

  async kill(params: KillParams, { signal }: EffectContext): Promise<null> {
    const { name, beforeStart } = params;
    const session = this.#parts.table.open(params);
    if (beforeStart) session.doom.abort();
    if (session.sentTo === null && this.#parts.link.current === null) return this.#killed(session, beforeStart);
    try {
      await this.#parts.link.call(signal, (vm) => vm.kill(name));
    } catch (error) {
      if (!isGone(error)) throw error;
    }
    return this.#killed(session, beforeStart);
  }

  /** Not done before the start has its outcome: else a crash in between would start what was given up. */
  async #killed(session: Session, beforeStart: boolean): Promise<null> {
    if (beforeStart) await session.start.promise;
    return null;
  }

  async settle(params: SettleParams, { signal, recovered }: EffectContext): Promise<ActorEvent> {
    const { results, table } = this.#parts;
    const { run, index, attempt, name } = params;
    const session = table.open(params);
    let record: RecordRef | null = recovered ? await results.find(run, index, attempt) : null;
    if (record === null) {
      const result = await this.#result(params, session, signal, recovered);
      record = await results.append(run, result);
    }
    const gone = await this.#tryDestroy(name, signal);
    if (gone) await table.close(name);
    return { type: "settled", record, gone };
  }

  async #result(params: SettleParams, session: Session, signal: AbortSignal, recovered: boolean): Promise<TaskResult> {
    const { content } = this.#parts;
    const { run, index, attempt, name, status, exit, startedAtMs, endedAtMs } = params;
    const task = session.task ?? (await content.task(run, index));
    const notes = session.noted ? [await content.readNote(run, index, attempt)] : [];
    if (exit !== null) {
      const output = await session.complete(exit.stdoutBytes, exit.stderrBytes, OUTPUT_DEADLINE_MS);
      if (output === "incomplete" && status !== "output-limit") notes.push("the output is incomplete");
    }
    const totals = exit === null || status === "output-limit" ? await session.writtenBytes() : { stdout: exit.stdoutBytes, stderr: exit.stderrBytes };
    await session.sync();
    const collected = await this.#collect(params, task, signal, recovered, notes);
    const previews = await session.previews();
    return {
      index,
      title: task.title,
      child: exit === null && status === "refused" ? "" : name,
      attempt,
      status,
      exitCode: exit?.cause === "exited" ? exit.code : null,
      signal: exit?.cause === "signaled" ? exit.signal : null,
      detail: notes.filter((note) => note !== "").join("; "),
      startedAtMs,
      wallMs: exit === null ? Math.max(0, endedAtMs - startedAtMs) : Math.round(exit.wallUs / 1000),
      cpuMs: exit === null ? 0 : Math.round(exit.cpuUs / 1000),
      maxRssBytes: exit === null ? 0 : exit.maxRssKib * 1024,
      stdout: previews.stdout.summary(totals.stdout),
      stderr: previews.stderr.summary(totals.stderr),
      ...collected,
    };
  }

  async #collect(params: SettleParams, task: Task, signal: AbortSignal, recovered: boolean, notes: string[]): Promise<Collected> {
    const { exit, name, run, index } = params;
    if (exit === null || (exit.cause !== "exited" && exit.cause !== "signaled") || task.limits.outFiles === 0) return nothingCollected;
    const { content, link, table } = this.#parts;
    const isFresh = !recovered && params.attempt === 1;
    let execId = recovered ? randomInt(EXEC_IDS_OF_COLLECT.first, EXEC_IDS_OF_COLLECT.end) : COLLECT_EXEC_ID;
    const { outBytes: bytesMax, outFiles: filesMax } = task.limits;
    try {
      return await link.call(signal, (vm: Vm) => {
        const plan = collectPlan(task, name, execId);
        // A collection that was cut off begins anew, under another id: an id is executed once.
        execId = randomInt(EXEC_IDS_OF_COLLECT.first, EXEC_IDS_OF_COLLECT.end);
        return collect({ vm, execs: table.auxiliary, name, plan, directory: content.outDirectory(run, index), isFresh, bytesMax, filesMax });
      });
    } catch (error) {
      // After a kill there is no sandbox to collect from.
      if (isGone(error)) return nothingCollected;
      if (signal.aborted || !isCohortError(error) || !collectMayFail.has(error.code)) throw error;
      notes.push(error.message);
      return nothingCollected;
    }
  }

  /** False when it takes longer or fails: then destroying is a state of its own. */
  async #tryDestroy(name: string, signal: AbortSignal): Promise<boolean> {
    const session = this.#parts.table.find(name);
    if (session?.sentTo === null) return true;
    try {
      await this.#destroy(name, signal);
      return true;
    } catch (error) {
      if (signal.aborted) throw error;
      return false;
    }
  }

  async #destroy(name: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#parts.link.call(signal, (vm) => vm.destroy(name));
    } catch (error) {
      // Nobody listens: the warden is dead, and no child outlives it.
      if (!isCohortError(error, "WARDEN_ABSENT")) throw error;
    }
  }

  async destroy({ name }: AttemptParams, { signal }: EffectContext): Promise<ActorEvent> {
    await this.#destroy(name, signal);
    await this.#parts.table.close(name);
    return { type: "destroyed" };
  }
}

/** Params come back from the journal as the machine wrote them. */
function typed<P>(table: SessionTable, run: (params: P, context: EffectContext) => Promise<ActorEvent | null>): EffectDefinition["run"] {
  return async (params: Json, context) => {
    await table.restored();
    return run(params as P, context);
  };
}

/** More sandboxes under construction at once than cores only wait for each other. */
const STARTS_AT_ONCE = 32;
const CALLS_AT_ONCE = 4000;

export function childEffectDefinitions(parts: ChildParts): readonly EffectDefinition[] {
  const effects = new ChildEffects(parts);
  const { table } = parts;
  return [
    { name: childEffects.start, safety: "keyed", concurrency: STARTS_AT_ONCE, run: typed<AttemptParams>(table, (params, context) => effects.start(params, context)) },
    { name: childEffects.signal, safety: "keyed", concurrency: CALLS_AT_ONCE, run: typed<SignalParams>(table, (params, context) => effects.signal(params, context)) },
    { name: childEffects.kill, safety: "keyed", concurrency: CALLS_AT_ONCE, run: typed<KillParams>(table, (params, context) => effects.kill(params, context)) },
    { name: childEffects.settle, safety: "keyed", run: typed<SettleParams>(table, (params, context) => effects.settle(params, context)) },
    { name: childEffects.destroy, safety: "keyed", run: typed<AttemptParams>(table, (params, context) => effects.destroy(params, context)) },
  ];
}
