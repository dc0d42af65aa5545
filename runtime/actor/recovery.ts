/** Puts what the journal holds back to work: actors, scopes, timers, the outbox, effects. Events are never run again. */
import type { LoadedState } from "../journal/batch-rows.ts";
import type { PendingEffect } from "../effects/effects.ts";
import type { ActorEvent, ActorRef } from "../kernel/actions.ts";
import { CohortError } from "../kernel/error.ts";
import { decodeJson, isObject } from "../kernel/json.ts";
import type { PreparedDefinition } from "./definition.ts";
import type { Actor } from "./registry.ts";
import type { World, WorldParts } from "./world.ts";

function restoreActors(loaded: LoadedState, parts: WorldParts): void {
  const definition = (kind: string, ref: string): PreparedDefinition => {
    const known = parts.definitions.get(kind);
    if (known === undefined) throw new CohortError("JOURNAL_VERSION", { on: `${ref}: this build has no definition of ${kind}` });
    return known;
  };
  parts.scopes.load(loaded.scopes);
  for (const row of loaded.actors) {
    const prepared = definition(row.kind, row.ref);
    const actor: Actor = {
      ref: row.ref as ActorRef,
      definition: prepared,
      scope: row.scope,
      parent: row.parent as ActorRef | null,
      input: row.input,
      snapshot: prepared.restore(row, decodeJson(row.snapshot, `snapshot of ${row.ref}`)),
      status: "active",
      inboxHigh: row.inbox_high,
      timers: new Map(),
      failuresMs: [],
    };
    parts.registry.add(actor);
    parts.scopes.join(row.scope, null, actor.ref);
  }
  parts.registry.load(loaded.ended);
}

function redeliver(loaded: LoadedState, parts: WorldParts): void {
  for (const row of loaded.outbox) {
    const event = decodeJson(row.event, `message ${row.id}`);
    if (!isObject(event) || typeof event["type"] !== "string") throw new CohortError("JOURNAL_CORRUPT", { on: `message ${row.id}` });
    parts.deliver({
      type: "message",
      id: row.id,
      from: row.sender,
      to: row.receiver as ActorRef,
      event: event as ActorEvent,
      text: row.event,
    });
  }
}

function rearm(loaded: LoadedState, parts: WorldParts): void {
  for (const row of loaded.timers) {
    const actor = parts.registry.get(row.owner as ActorRef);
    if (actor === undefined) throw new CohortError("JOURNAL_CORRUPT", { on: `timer ${row.name} of ${row.owner}, which is not alive` });
    actor.timers.set(row.name, parts.timers.arm(actor.ref, row.name, row.at_ms));
  }
}

/**
 * keyed: runs again. once: runs if it was not marked started, else the actor hears effectUnknown.
 * Whose owner is gone is undone, or where there is no undo (or it was planned as a farewell) runs to its end.
 */
function resume(effect: PendingEffect, state: "planned" | "started", parts: WorldParts, world: World): void {
  const { effects, registry } = parts;
  const once = effect.definition.safety === "once";
  const deserted = registry.get(effect.owner) === undefined && !effect.farewell;
  if (deserted && effect.definition.compensate !== undefined) {
    effect.state = "dropped";
    world.settleEffect(effect, !(once && state === "planned"));
  } else if (once && state === "started") {
    effects.settleUnrun(effect, { type: "effectUnknown", name: effect.definition.name, key: effect.key });
  } else effects.ready(effect);
}

function resumeEffects(loaded: LoadedState, parts: WorldParts, world: World): void {
  const { effects } = parts;
  for (const row of loaded.effects) {
    const definition = effects.definition(row.name);
    if (definition === undefined)
      throw new CohortError("JOURNAL_VERSION", { on: `this build has no effect ${row.name}, which is pending` });
    const recovered = definition.safety === "keyed" || row.state === "started";
    const params = decodeJson(row.params, `effect ${row.asked_key}`);
    const effect: PendingEffect = {
      id: row.id,
      owner: row.owner as ActorRef,
      definition,
      key: row.asked_key,
      params,
      farewell: row.farewell === 1,
      recovered,
      state: "planned",
    };
    effects.plan(effect);
    switch (row.state) {
      case "planned":
      case "started":
        resume(effect, row.state, parts, world);
        break;
      case "orphaned":
        effects.undo(effect);
        break;
      case "duplicate":
        effects.refuse(effect);
        break;
      case "done":
        effects.forget(effect);
        break;
    }
  }
}

export function recover(loaded: LoadedState, parts: WorldParts, world: World): void {
  restoreActors(loaded, parts);
  redeliver(loaded, parts);
  rearm(loaded, parts);
  resumeEffects(loaded, parts, world);
}
