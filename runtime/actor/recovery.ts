/** Puts what the journal holds back to work: actors, scopes, timers, the outbox, effects. Events are never run again. */
import type { LoadedState } from "../journal/batch-rows.ts";
import type { PendingEffect } from "../effects/effects.ts";
import type { ActorRef } from "../kernel/actions.ts";
import { CohortError } from "../kernel/error.ts";
import { MIGRATED } from "../kernel/history.ts";
import { decodeJson, encodeJson } from "../kernel/json.ts";
import { messageOf } from "../mailbox/mailboxes.ts";
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
    // Its first transition threw, and it waits to begin again.
    const blank = row.status !== "active" && row.snapshot === "null";
    const actor: Actor = {
      ref: row.ref as ActorRef,
      definition: prepared,
      scope: row.scope,
      parent: row.parent as ActorRef | null,
      restart: row.restart,
      input: row.input,
      spawnSeq: row.spawn_seq,
      incarnation: row.incarnation,
      startedSeq: row.started_seq,
      snapshot: blank ? null : prepared.restore(row, decodeJson(row.snapshot, `snapshot of ${row.ref}`)),
      status: row.status,
      inboxHigh: row.inbox_high,
      controlHigh: row.control_high,
      restartsMs: row.restarts === null ? [] : (JSON.parse(row.restarts) as readonly number[]),
      stored: row.version === prepared.version,
      timers: new Map(),
      children: prepared.supervises === null ? null : new Set(),
      exit: null,
    };
    parts.registry.add(actor);
    parts.scopes.join(row.scope, null, actor.ref, null);
    if (actor.snapshot !== null && row.version !== prepared.version) recordMigration(actor, row.version, parts);
  }
  // Rows come in the order of spawning, which is that of siblings; a child may stand before a parent that began again.
  for (const actor of parts.registry.live()) if (actor.parent !== null) parts.registry.get(actor.parent)?.children?.add(actor);
  parts.registry.load(loaded.ended);
}

/** Its states in the journal are from here on those of another version. */
function recordMigration(actor: Actor, from: number, { batch, next, environment }: WorldParts): void {
  const payload = encodeJson({ from, to: actor.definition.version });
  const facts = { seq: next(), atMs: environment.now(), actor: actor.ref, ...MIGRATED, source: null, sourceId: null };
  batch().actor(actor);
  batch().event({ ...facts, payload, outcome: "applied", detail: null });
}

function redeliver(loaded: LoadedState, parts: WorldParts): void {
  for (const row of loaded.outbox) parts.mailboxes.push(messageOf(row));
  for (const { receiver, count } of loaded.outboxBeyond) parts.mailboxes.leaveBehind(receiver, count);
}

function rearm(loaded: LoadedState, parts: WorldParts): void {
  const owned = loaded.timers.map((row) => {
    const actor = parts.registry.get(row.owner as ActorRef);
    if (actor === undefined) throw new CohortError("JOURNAL_CORRUPT", { on: `timer ${row.name} of ${row.owner}, which is not alive` });
    return { row, actor };
  });
  // Timers of one time fire in the order they are armed: those that wait for one restart begin in the order of their spawning.
  for (const { row, actor } of owned.toSorted((left, right) => left.actor.spawnSeq - right.actor.spawnSeq)) {
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
  const owner = registry.get(effect.owner);
  const lives = owner !== undefined && owner.status === "active" && effect.id > owner.startedSeq;
  const deserted = !lives && !effect.farewell;
  if (deserted && effect.definition.compensate !== undefined) {
    effect.state = "dropped";
    world.settleEffect(effect, !(once && state === "planned"));
  } else if (once && state === "started") {
    effects.settleUnrun(effect, { type: "effectUnknown", name: effect.definition.name, key: effect.askedKey });
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
      key: row.key ?? row.asked_key,
      askedKey: row.asked_key,
      params,
      farewell: row.farewell === 1,
      control: false,
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
