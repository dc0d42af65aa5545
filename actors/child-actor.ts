/**
 * The child's effects on the VM and on content. Every effect is keyed: running it again finds what it did before.
 * Owns nothing: sessions are the table's, the connection the link's, files the content's.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { EffectContext, EffectDefinition } from "../runtime/contract.ts";
import type { ActorEvent, Json } from "../runtime/kernel/actions.ts";
import { isCohortError, type CohortError } from "../runtime/kernel/error.ts";
import {
  childEffects,
  type AttemptParams,
  type DeadlineParams,
  type KillParams,
  type SettleParams,
  type SignalParams,
} from "../machines/messages/child-events.ts";
import type { RetryPolicy } from "../machines/messages/facts.ts";
import type { Task } from "../machines/messages/task.ts";
import type { Content } from "./content.ts";
import { commandPlan, sandboxPlan } from "./engines/command.ts";
import type { Denials } from "./denials.ts";
import type { Endpoints } from "./endpoints.ts";
import type { Permissions } from "./permissions/permissions.ts";
import type { ResultFile } from "./result-file.ts";
import type { Session } from "./session.ts";
import { TASK_EXEC_ID, type SessionTable } from "./session-table.ts";
import { Settlement } from "./settlement.ts";
import type { ToolsChannels } from "./tools-channels.ts";
import type { VmLink } from "./vm-link.ts";
import { isSandboxGone, sentenceOf } from "./warden-refusal.ts";

export interface ChildParts {
  readonly content: Content;
  readonly results: ResultFile;
  readonly table: SessionTable;
  readonly link: VmLink;
  readonly denials: Denials;
  readonly permissions: Permissions;
  readonly endpoints: Endpoints;
  readonly channels: ToolsChannels;
}

/** How long a start waits for a warden before its task is refused. */
const START_WAIT_MS = 30_000;
const SIGKILL = 9;
/** Between looks at whether a killed task has ended. */
const KILL_LOOKS_MS = [5, 20, 100, 400, 1500] as const;

function policyOf(task: Task): RetryPolicy {
  return { retries: task.retries, idempotent: task.idempotent, timeoutMs: task.timeoutMs ?? 0 };
}

/** What the wire cannot say, seven weeks and more, is left to the journal's timer. */
function remainingMs(endsAtMs: number): number {
  const leftMs = Math.max(1, endsAtMs - Date.now());
  return leftMs < 2 ** 32 ? leftMs : 0;
}

class ChildEffects {
  readonly #parts: ChildParts;

  constructor(parts: ChildParts) {
    this.#parts = parts;
  }

  async start(params: AttemptParams, { signal }: EffectContext): Promise<ActorEvent> {
    const { content, table, link, permissions, endpoints } = this.#parts;
    const task = await content.task(params.run, params.index);
    const policy = policyOf(task);
    const session = table.open(params);
    session.task = task;
    session.outputBytesMax = task.limits.outputBytes;
    try {
      const endpoint = task.network === "proxied" ? await endpoints.open(params.name) : null;
      for (;;) {
        if (session.doom.signal.aborted && session.sentTo === null) return { type: "startFailed", status: "cancelled", policy };
        const vm = link.current;
        if (vm === null) {
          await link.ready(AbortSignal.any([signal, session.doom.signal]), START_WAIT_MS);
          continue;
        }
        const { wardenId } = vm.identity;
        // It may have run in a warden that is gone.
        if (session.sentTo !== null && session.sentTo !== wardenId) return { type: "lost", status: "unknown" };
        session.sentTo = wardenId;
        if (task.stdin !== undefined && session.stdin === null) session.giveStdin(task.stdin);
        try {
          // One round trip: the warden holds the exec until the sandbox stands.
          const created = vm.create(sandboxPlan(task, params.name, endpoint));
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
        await permissions.adopt(params, task);
        return { type: "started", policy };
      }
    } catch (error) {
      if (signal.aborted) throw error;
      if (session.doom.signal.aborted && session.sentTo === null) return { type: "startFailed", status: "cancelled", policy };
      if (!isCohortError(error)) throw error;
      return await this.#startFailed(params, policy, session, error);
    } finally {
      // Later than the outcome reaches the journal's queue: an exit that was committed before it would let a crash start the task again.
      setImmediate(() => session.start.resolve());
    }
  }

  async #startFailed(params: AttemptParams, policy: RetryPolicy, session: Session, error: CohortError): Promise<ActorEvent> {
    // Whether it was executed is not known when the warden did not answer.
    if (error.code === "DEADLINE") return { type: "lost", status: "unknown" };
    if (session.doom.signal.aborted) return { type: "startFailed", status: "cancelled", policy };
    session.noted = true;
    await this.#parts.content.writeNote(params.run, params.index, params.attempt, sentenceOf(error));
    return { type: "startFailed", status: error.code === "EXEC_FAILED" ? "not-started" : "refused", policy };
  }

  async signal({ name, signal: number }: SignalParams, { signal }: EffectContext): Promise<null> {
    try {
      await this.#parts.link.call(signal, (vm) => vm.signal(name, 0, number));
    } catch (error) {
      if (!isSandboxGone(error)) throw error;
    }
    return null;
  }

  /** Of two on their way at once the later one counts. */
  async deadline({ name, endsAtMs, order }: DeadlineParams, { signal }: EffectContext): Promise<null> {
    const session = this.#parts.table.find(name);
    if (session === undefined || session.deadlineOrder > order) return null;
    session.deadlineOrder = order;
    try {
      await this.#parts.link.call(signal, async (vm) => {
        if (session.deadlineOrder === order) await vm.setDeadline(name, remainingMs(endsAtMs));
      });
    } catch (error) {
      if (!isSandboxGone(error)) throw error;
    }
    return null;
  }

  async kill(params: KillParams, { signal }: EffectContext): Promise<null> {
    const { name, beforeStart } = params;
    const session = this.#parts.table.open(params);
    this.#parts.channels.cut(name);
    if (beforeStart) session.doom.abort();
    if (session.sentTo === null && this.#parts.link.current === null) return this.#killed(session, beforeStart);
    try {
      const keepsChanges = !beforeStart && this.#parts.permissions.hasStaged(name);
      if (!keepsChanges || !(await this.#endedButForInit(name, signal))) await this.#parts.link.call(signal, (vm) => vm.kill(name));
    } catch (error) {
      if (!isSandboxGone(error)) throw error;
    }
    return this.#killed(session, beforeStart);
  }

  /** What was staged can be collected only while the sandbox's init lives: every other process is killed. False: some of them did not end. */
  async #endedButForInit(name: string, signal: AbortSignal): Promise<boolean> {
    const { link } = this.#parts;
    await link.call(signal, (vm) => vm.signal(name, 0, SIGKILL));
    for (const waitMs of KILL_LOOKS_MS) {
      await delay(waitMs, undefined, { signal });
      const listed = (await link.call(signal, (vm) => vm.list())).find((sandbox) => sandbox.name === name);
      if (listed === undefined || !listed.execs.some(({ execId, state }) => execId === TASK_EXEC_ID && state === "running")) return true;
    }
    return false;
  }

  /** Not done before the start has its outcome: else a crash in between would start what was given up. */
  async #killed(session: Session, beforeStart: boolean): Promise<null> {
    if (beforeStart) await session.start.promise;
    return null;
  }
}

type Run<P> = (params: P, context: EffectContext) => Promise<ActorEvent | null>;

/** More sandboxes under construction at once than cores only wait for each other. */
const STARTS_AT_ONCE = 32;
const CALLS_AT_ONCE = 4000;
const SETTLEMENTS_AT_ONCE = 64;

export function childEffectDefinitions(parts: ChildParts): readonly EffectDefinition[] {
  const effects = new ChildEffects(parts);
  const settlement = new Settlement(parts);
  // Params come back from the journal as the machine wrote them.
  const keyed = <P>(name: string, concurrency: number, run: Run<P>): EffectDefinition => ({
    name,
    safety: "keyed",
    concurrency,
    run: async (params: Json, context) => {
      await parts.table.restored();
      return run(params as P, context);
    },
  });
  return [
    keyed<AttemptParams>(childEffects.start, STARTS_AT_ONCE, (params, context) => effects.start(params, context)),
    keyed<SignalParams>(childEffects.signal, CALLS_AT_ONCE, (params, context) => effects.signal(params, context)),
    keyed<DeadlineParams>(childEffects.deadline, CALLS_AT_ONCE, (params, context) => effects.deadline(params, context)),
    keyed<KillParams>(childEffects.kill, CALLS_AT_ONCE, (params, context) => effects.kill(params, context)),
    keyed<SettleParams>(childEffects.settle, SETTLEMENTS_AT_ONCE, (params, context) => settlement.settle(params, context)),
    keyed<AttemptParams>(childEffects.destroy, SETTLEMENTS_AT_ONCE, (params, context) => settlement.destroy(params, context)),
  ];
}
