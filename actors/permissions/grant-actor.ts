/**
 * The grant's effects on the VM. Attaching and revoking are idempotent by the warden's number of the grant, so both are run again
 * after a crash; an attachment that nobody wants any more is revoked by its compensation. Owns nothing.
 */
import type { EffectContext, EffectDefinition } from "../../runtime/contract.ts";
import type { ActorEvent, Json } from "../../runtime/kernel/actions.ts";
import { isCohortError } from "../../runtime/kernel/error.ts";
import {
  grantEffects,
  type AttachParams,
  type GrantParams,
  type RevokeParams,
  type StagedOutcome,
  type ToldParams,
} from "../../machines/messages/grant-events.ts";
import type { UndoState } from "../../machines/messages/grant.ts";
import type { StagedGrant } from "../staged-diffs.ts";
import { isSandboxGone, sentenceOf } from "../warden-refusal.ts";
import type { PermissionParts } from "./permission-parts.ts";

/** The warden ends a staged grant so much later than its time: by then its differences are collected. */
const STAGED_EXPIRY_SLACK_MS = 60_000;
/** Of a person's directory and its file system; the warden said so itself, and nothing was attached. */
const refusals: ReadonlySet<string> = new Set(["MOUNT_REFUSED", "GRANT_FS_UNSUPPORTED", "GRANT_ENDED", "GRANT_REFUSED", "WARDEN_REFUSED"]);
/** A child may be given something before it stands. */
const START_WAIT_MS = 30_000;

export class GrantEffects {
  readonly #parts: PermissionParts;

  constructor(parts: PermissionParts) {
    this.#parts = parts;
  }

  async attach(params: AttachParams, { signal }: EffectContext): Promise<ActorEvent> {
    const { table, link, words } = this.#parts;
    const { run, grant, child, wireId, mode, ttlMs } = params;
    const { path, as, stagedBytes } = await words.grant(run, grant);
    if (path === "") return this.#refuse(params, "its description was deleted");
    const session = table.find(child);
    if (session === undefined) return this.#refuse(params, "its child has ended");
    await settledWithin(session.start.promise, START_WAIT_MS, signal);
    const undo = mode === "rw" ? await this.#undoCopy(params, path) : "none";
    const plan = {
      grantId: wireId,
      source: path,
      target: as,
      mode,
      ttlMs: mode === "staged" && ttlMs > 0 ? ttlMs + STAGED_EXPIRY_SLACK_MS : ttlMs,
      stagedBytes: mode === "staged" ? stagedBytes : 0,
    };
    try {
      const { copied, protectionPartial } = await link.call(signal, (vm) => vm.grant(child, plan));
      return { type: "attached", isCopy: copied, isProtectionPartial: protectionPartial, undo };
    } catch (error) {
      if (signal.aborted || !isCohortError(error)) throw error;
      if (isSandboxGone(error)) return this.#refuse(params, "its child has ended");
      if (refusals.has(error.code)) return this.#refuse(params, sentenceOf(error));
      await this.#note(params, sentenceOf(error));
      throw error;
    }
  }

  async revoke(params: RevokeParams, context: EffectContext): Promise<ActorEvent> {
    const { child, wireId, staged } = params;
    const outcome = await this.#keep(params, context.signal);
    const took = await this.#revoke(child, wireId, context.signal);
    // Behind it: a full disk keeps nobody from taking it back.
    if (staged === "discard") await this.#parts.diffs.discard(await this.staged(params));
    return { type: "revoked", ...took, staged: outcome };
  }

  /** The last word on it, when the attachment came too late. */
  async undo({ child, wireId }: AttachParams, { signal }: EffectContext): Promise<void> {
    await this.#revoke(child, wireId, signal);
  }

  told({ row }: ToldParams): null {
    const { living, announcements } = this.#parts;
    if (row.state === "ended") living.removeGrant(row.child, row.grant);
    announcements.tellGrant(row);
    return null;
  }

  async staged({ grant, run, child }: GrantParams): Promise<StagedGrant> {
    const { path, as, stagedBytes } = await this.#parts.words.grant(run, grant);
    return { grant, run, child, path, as, stagedBytes };
  }

  /** What became of a staged grant whose sandbox is gone. */
  async outcomeOf(params: GrantParams): Promise<StagedOutcome> {
    if (params.mode !== "staged") return "none";
    const state = await this.#parts.diffs.state(await this.staged(params));
    return state === "none" ? "lost" : "kept";
  }

  async #revoke(child: string, wireId: number, signal: AbortSignal): Promise<{ processesKilled: number; childKilled: boolean }> {
    const nothing = { processesKilled: 0, childKilled: false };
    try {
      const { processesKilled, childKilled } = await this.#parts.link.call(signal, (vm) => vm.revoke(child, wireId));
      return { processesKilled, childKilled };
    } catch (error) {
      // No child outlives its warden, and no grant its child.
      if (isSandboxGone(error) || isCohortError(error, "WARDEN_ABSENT")) return nothing;
      throw error;
    }
  }

  async #keep(params: RevokeParams, signal: AbortSignal): Promise<StagedOutcome> {
    const { staged } = params;
    switch (staged) {
      case "none":
        return "none";
      case "discard":
        return "discarded";
      case "give-up":
        return this.outcomeOf(params);
      case "collect":
        try {
          await this.#parts.diffs.collect(await this.staged(params), signal);
          return "kept";
        } catch (error) {
          if (isSandboxGone(error) || isCohortError(error, "WARDEN_ABSENT")) return this.outcomeOf(params);
          throw error;
        }
    }
  }

  /** Whatever the child does with it later can be taken back by a person; that there is no copy is told, and refuses nothing. */
  async #undoCopy({ grant, run }: AttachParams, path: string): Promise<UndoState> {
    try {
      return await this.#parts.undo.make({ grant, run, path });
    } catch (error) {
      this.#parts.log.warn({ grant, error }, "no copy could be made of what is given for writing");
      return "none";
    }
  }

  async #refuse(params: AttachParams, detail: string): Promise<ActorEvent> {
    await this.#note(params, detail);
    return { type: "refused" };
  }

  async #note({ run, grant }: AttachParams, detail: string): Promise<void> {
    const { words, log } = this.#parts;
    try {
      await words.addToGrant(run, grant, { detail });
    } catch (error) {
      // Without its reason the refusal is still true.
      log.warn({ grant, error }, "why a grant was not attached cannot be written down");
    }
  }
}

async function settledWithin(promise: Promise<unknown>, timeoutMs: number, signal: AbortSignal): Promise<void> {
  let done = (): void => {};
  const over = new Promise<void>((resolve) => {
    done = resolve;
  });
  const timer = setTimeout(done, timeoutMs);
  signal.addEventListener("abort", done);
  try {
    await Promise.race([promise, over]);
    signal.throwIfAborted();
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", done);
  }
}

const CALLS_AT_ONCE = 256;

export function grantEffectDefinitions(parts: PermissionParts, effects: GrantEffects): readonly EffectDefinition[] {
  const ready = async (): Promise<void> => {
    await parts.table.restored();
    await parts.runtime;
  };
  return [
    {
      name: grantEffects.attach,
      safety: "keyed",
      concurrency: CALLS_AT_ONCE,
      run: async (params: Json, context) => {
        // At once: its end is told only after it has begun.
        parts.living.addGrant(params as AttachParams);
        await ready();
        return effects.attach(params as AttachParams, context);
      },
      compensate: async (params: Json, context) => {
        await ready();
        await effects.undo(params as AttachParams, context);
      },
    },
    {
      name: grantEffects.revoke,
      safety: "keyed",
      concurrency: CALLS_AT_ONCE,
      run: async (params: Json, context) => {
        await ready();
        return effects.revoke(params as RevokeParams, context);
      },
    },
    {
      name: grantEffects.told,
      safety: "keyed",
      concurrency: CALLS_AT_ONCE,
      run: async (params: Json) => {
        await ready();
        return effects.told(params as ToldParams);
      },
    },
  ];
}
