/**
 * Owns what becomes of an actor whose incarnation is over, and of those that share its fate: restart, stop, end, escalation.
 * Does not own: policies (policy.ts), first transitions, mailboxes, rows; it tells each.
 * 1. Everything up to the wait before a restart is one transaction; the wait is a durable timer. A crash is before or after it, never between.
 * 2. An incarnation takes its timers with it, and its effects are settled as effects.ts says; mail from others waits for the next one.
 * 3. What was cancelled, or is in a cancelled scope, is never restarted.
 * 4. Siblings are stopped in the reverse order of their spawning, and begin again in that order.
 * 5. A parent hears `actorFailed` of each child that ended otherwise than by its own final state, once, and of no other.
 */
import type { ExitReason, Supervises } from "../contract.ts";
import type { Json } from "../kernel/actions.ts";
import { RESTART } from "../kernel/history.ts";
import { effectMailbox } from "../actor/delivery.ts";
import type { Actor } from "../actor/registry.ts";
import type { World, WorldParts } from "../actor/world.ts";
import { affected, DEFAULT_POLICY, recentRestarts, restartDelayMs, wantsRestart } from "./policy.ts";

/** Of the host: a machine cannot name it. */
export const RESTART_TIMER = "runtime.restart";

function isOver(actor: Actor): boolean {
  return actor.status !== "active" && actor.status !== "restarting" && actor.status !== "stopped";
}

function lives(actor: Actor): boolean {
  return actor.status === "active" || actor.status === "restarting";
}

export class Supervision {
  readonly #parts: WorldParts;
  readonly #world: World;

  constructor(parts: WorldParts, world: World) {
    this.#parts = parts;
    this.#world = world;
  }

  /** Its incarnation came to its end, threw, or gave up. `message` is null for what it said itself, by its final state. */
  exited(actor: Actor, reason: ExitReason, message: string | null): void {
    // Several may break in one transition: one was stopped with another before its own turn came.
    if (actor.status !== "active") return;
    const cancelled = this.#isCancelled(actor);
    if (!wantsRestart(actor.restart, reason) || cancelled)
      return this.#end(actor, cancelled && reason === "done" ? "cancelled" : reason, message);
    const supervisor = this.#supervisorOf(actor);
    const policy = supervisor?.definition.supervises ?? DEFAULT_POLICY;
    const counted = supervisor ?? actor;
    const atMs = this.#parts.environment.now();
    counted.restartsMs = [...recentRestarts(counted.restartsMs, policy.windowMs, atMs), atMs];
    this.#parts.batch().actor(counted);
    if (counted.restartsMs.length > policy.restartsMax) return this.#giveUp(actor, supervisor, reason, message, policy);
    const group = affected(policy.strategy, supervisor === null ? [actor] : this.#living(supervisor), actor);
    this.#close(actor, true);
    for (const sibling of group.toReversed()) if (sibling !== actor) this.#stop(sibling, actor);
    const delayMs = restartDelayMs(policy, counted.restartsMs.length, this.#parts.environment.random());
    for (const member of group) this.#schedule(member, actor, atMs + delayMs);
  }

  /** The wait before its restart is over. */
  restart(actor: Actor): void {
    if (actor.status !== "restarting") return;
    this.#world.stopTimer(actor, RESTART_TIMER);
    const input = JSON.parse(actor.input ?? "null") as Json;
    this.#world.begin(actor, input, { ...RESTART, source: actor.parent, sourceId: null }, 0);
  }

  /** A cancellation reached one that waits for its next incarnation: there will be none. */
  cancelled(actor: Actor): void {
    this.#record(actor, "end", "cancelled before its restart");
    this.#end(actor, "cancelled", "cancelled before its restart");
  }

  #giveUp(actor: Actor, supervisor: Actor | null, reason: ExitReason, message: string | null, policy: Supervises): void {
    const what = message ?? "it ended";
    const words = `${what} (${policy.restartsMax} restarts within ${policy.windowMs} ms were not enough)`;
    if (supervisor === null) return this.#end(actor, reason === "done" ? "failed" : reason, words);
    // It waits for what becomes of its supervisor, as its siblings will.
    this.#close(actor, true);
    actor.status = "stopped";
    actor.exit = reason === "done" ? "failed" : reason;
    this.#record(supervisor, "escalate", `${actor.ref}: ${words}`);
    this.exited(supervisor, "escalated", `${actor.ref}: ${words}`);
  }

  #isCancelled(actor: Actor): boolean {
    return this.#parts.scopes.isCancelled(actor.scope);
  }

  /** Its parent, where that lives and supervises. */
  #supervisorOf(actor: Actor): Actor | null {
    const parent = actor.parent === null ? undefined : this.#parts.registry.get(actor.parent);
    return parent !== undefined && parent.children !== null && parent.status === "active" ? parent : null;
  }

  #living(supervisor: Actor): readonly Actor[] {
    return [...(supervisor.children ?? [])].filter(lives);
  }

  /** Ends the incarnation: timers, effects; and its children, where `deep`: the next incarnation may spawn them again. */
  #close(actor: Actor, deep: boolean): void {
    const { effects, mailboxes } = this.#parts;
    const batch = this.#parts.batch();
    if (deep && actor.children !== null) for (const child of this.#living(actor).toReversed()) this.#stop(child, actor);
    batch.actor(actor);
    for (const name of [...actor.timers.keys()]) this.#world.stopTimer(actor, name);
    for (const effect of effects.ownerEnded(actor.ref)) this.#world.settleEffect(effect, effect.recovered);
    // They were for this incarnation; now nobody takes them.
    actor.status = "stopped";
    for (const outcome of mailboxes.takeOutcomes(actor.ref)) mailboxes.push(outcome, effectMailbox(outcome.effect));
  }

  #stop(actor: Actor, because: Actor): void {
    this.#record(actor, "stop", `with ${because.ref}`);
    this.#close(actor, true);
  }

  #schedule(actor: Actor, because: Actor, atMs: number): void {
    if (actor !== because && (!wantsRestart(actor.restart, "failed") || this.#isCancelled(actor)))
      return this.#end(actor, "cancelled", `stopped with ${because.ref}`);
    actor.status = "restarting";
    this.#parts.batch().actor(actor);
    this.#world.startTimer(actor, RESTART_TIMER, atMs);
  }

  /** For good. */
  #end(actor: Actor, reason: ExitReason, message: string | null): void {
    const { registry, scopes, mailboxes } = this.#parts;
    if (isOver(actor)) return;
    const byItself = message === null;
    this.#close(actor, !byItself);
    actor.status = reason;
    for (const child of [...(actor.children ?? [])].toReversed())
      if (child.status === "stopped") this.#end(child, child.exit ?? "cancelled", `its supervisor ${actor.ref} ended`);
    scopes.leave(actor.scope, actor.ref);
    registry.end(actor.ref);
    mailboxes.wake(actor.ref);
    if (actor.parent === null) return;
    const parent = registry.get(actor.parent);
    parent?.children?.delete(actor);
    if (!byItself && parent !== undefined && !isOver(parent))
      this.#world.send(actor.ref, actor.parent, { type: "actorFailed", ref: actor.ref, reason, message });
  }

  /** So that the journal tells what became of whom. */
  #record(actor: Actor, type: string, detail: string): void {
    const { next, environment } = this.#parts;
    const facts = { seq: next(), atMs: environment.now(), actor: actor.ref, cause: RESTART.cause, source: actor.parent, sourceId: null };
    this.#parts.batch().event({ ...facts, type, payload: "null", outcome: "applied", detail });
  }
}
