/**
 * What follows the end of an attempt: its output complete and synced, its files collected, its result durable, its sandbox destroyed.
 * Owns nothing. In this order, so that whatever a crash interrupts is found and finished by running it again.
 */
import { randomInt } from "node:crypto";
import type { EffectContext } from "../runtime/contract.ts";
import type { ActorEvent } from "../runtime/kernel/actions.ts";
import { isCohortError } from "../runtime/kernel/error.ts";
import { resultHandle } from "../machines/content-handle.ts";
import type { AttemptParams, SettleParams } from "../machines/messages/child-events.ts";
import type { ExitFacts, RecordRef } from "../machines/messages/facts.ts";
import type { TaskResult } from "../machines/messages/result.ts";
import type { Task } from "../machines/messages/task.ts";
import type { ChildParts } from "./child-actor.ts";
import { collect, nothingCollected, type Collected } from "./collection.ts";
import { collectPlan } from "./engines/command.ts";
import { limitNotes, limitsMet } from "./limit-notes.ts";
import type { Session } from "./session.ts";
import { COLLECT_EXEC_ID } from "./session-table.ts";
import { isSandboxGone } from "./warden-refusal.ts";

/** Output that the warden holds comes with the next connection at the latest; after the lease's end there is no sandbox any more. */
const OUTPUT_DEADLINE_MS = 15 * 60_000;
const EXEC_IDS_OF_COLLECT = { first: COLLECT_EXEC_ID + 1, end: 1000 };
/** Each is told in the result. Anything else (a full disk) is tried again. */
const collectMayFail: ReadonlySet<string> = new Set(["COLLECT_INVALID", "EXEC_FAILED", "DEADLINE", "WARDEN_ABSENT", "WARDEN_REFUSED"]);

export class Settlement {
  readonly #parts: ChildParts;

  constructor(parts: ChildParts) {
    this.#parts = parts;
  }

  async settle(params: SettleParams, context: EffectContext): Promise<ActorEvent> {
    const { results, table } = this.#parts;
    const { signal, recovered } = context;
    const { run, index, attempt, name } = params;
    const session = table.open(params);
    const found: RecordRef | null = recovered ? await results.find(run, index, attempt) : null;
    const [record, gone] = found === null ? await this.#finish(params, session, context) : [found, await this.#tryDestroy(name, signal)];
    if (gone) await this.#closed(name);
    return { type: "settled", record, gone };
  }

  /** Its grants end in the journal before it does. */
  async #closed(name: string): Promise<void> {
    await this.#parts.endpoints.close(name);
    await this.#parts.table.close(name);
    await this.#parts.permissions.childGone(name);
  }

  async #finish(params: SettleParams, session: Session, context: EffectContext): Promise<[RecordRef, boolean]> {
    const { signal, recovered } = context;
    const { run, name } = params;
    const { results } = this.#parts;
    const result = await this.#result(params, session, signal, recovered);
    const { out, outSkipped, detail } = result;
    // What came out of the sandbox is listed durably before the sandbox goes; a result without it can be made again from transcript and journal.
    if (out.length > 0 || outSkipped.length > 0 || detail !== "") {
      return [await results.append(run, result), await this.#tryDestroy(name, signal)];
    }
    const gone = await this.#tryDestroy(name, signal);
    return [await results.attach(run, result, (file) => context.attach(file)), gone];
  }

  async #result(params: SettleParams, session: Session, signal: AbortSignal, recovered: boolean): Promise<TaskResult> {
    const { content, denials } = this.#parts;
    const { run, index, attempt, name, status, exit, startedAtMs, endedAtMs } = params;
    const task = session.task ?? (await content.task(run, index));
    const notes = session.noted ? [await content.readNote(run, index, attempt)] : [];
    if (exit !== null) {
      const output = await session.complete(exit.stdoutBytes, exit.stderrBytes, OUTPUT_DEADLINE_MS);
      if (output === "incomplete" && status !== "output-limit") notes.push("the output is incomplete");
    }
    const totals =
      exit === null || status === "output-limit" ? await session.writtenBytes() : { stdout: exit.stdoutBytes, stderr: exit.stderrBytes };
    await session.sync();
    const collected = await this.#collect(params, task, session, signal, recovered, notes);
    notes.push(...(await this.#parts.permissions.collectStaged(name, signal)));
    const previews = await session.previews();
    const transcript = await session.transcript();
    await denials.flush(name);
    const met = limitsMet(status, exit, await this.#throttledMs(task, name, exit));
    notes.push(...limitNotes(status, met, task));
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
      handle: resultHandle(run, index, attempt),
      stdout: previews.stdout.summary(totals.stdout),
      stderr: previews.stderr.summary(totals.stderr),
      transcript,
      ...collected,
      limitsHit: [...met],
      denied: [...denials.summary(name)],
      deniedTimes: denials.times(name),
    };
  }

  /** Asked only where there is a quota; what cannot be answered is not worth failing for. */
  async #throttledMs(task: Task, name: string, exit: ExitFacts | null): Promise<number> {
    const vm = this.#parts.link.current;
    if (task.limits.cpuPermille === 0 || exit === null || vm === null) return 0;
    try {
      return Math.round((await vm.stats(name)).throttledUs / 1000);
    } catch (error) {
      if (!isCohortError(error)) throw error;
      return 0;
    }
  }

  async #collect(
    params: SettleParams,
    task: Task,
    session: Session,
    signal: AbortSignal,
    recovered: boolean,
    notes: string[],
  ): Promise<Collected> {
    const { exit, name, run, index } = params;
    if (exit === null || (exit.cause !== "exited" && exit.cause !== "signaled")) return nothingCollected;
    if (exit.outIsEmpty || task.limits.outFiles === 0) return nothingCollected;
    const { content, link, table } = this.#parts;
    const isFirst = !recovered && !session.collected;
    session.collected = true;
    const isFresh = isFirst && params.attempt === 1;
    let execId = isFirst ? COLLECT_EXEC_ID : randomInt(EXEC_IDS_OF_COLLECT.first, EXEC_IDS_OF_COLLECT.end);
    const { outBytes: bytesMax, outFiles: filesMax } = task.limits;
    try {
      return await link.call(signal, (vm) => {
        const plan = collectPlan(task, name, execId);
        // A collection that was cut off begins anew, under another id: an id is executed once.
        execId = randomInt(EXEC_IDS_OF_COLLECT.first, EXEC_IDS_OF_COLLECT.end);
        return collect({
          vm,
          execs: table.auxiliary,
          name,
          plan,
          directory: content.outDirectory(run, index),
          isFresh,
          bytesMax,
          filesMax,
        });
      });
    } catch (error) {
      if (isSandboxGone(error)) {
        // After a kill there is nothing to collect from. One that ended by itself left something, which went with the warden.
        if (exit.cause === "exited") notes.push("the files that it left are lost: its sandbox was gone before they were collected");
        return nothingCollected;
      }
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
    await this.#closed(name);
    return { type: "destroyed" };
  }
}
