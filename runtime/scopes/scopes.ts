/**
 * Owns the tree of cancellation scopes in memory: which actors are in which, what was cancelled, and until when each may last.
 * Does not own: rows and timers (it tells a sink), delivery of `cancel` (the host sends it).
 * 1. A cancelled scope is remembered for ever; one that was not is forgotten with its last member.
 * 2. What is cancelled stays cancelled; grace may become kill, never the reverse.
 * 3. A new scope inherits the cancellation of its parent.
 * 4. A deadline only becomes earlier. That of an outer scope cancels the inner ones with it: the minimum counts.
 */
import type { ActorRef } from "../kernel/actions.ts";

export type CancelMode = "grace" | "kill";

export interface Scope {
  readonly name: string;
  readonly parent: Scope | null;
  readonly members: Set<ActorRef>;
  readonly inner: Set<Scope>;
  cancelled: { readonly mode: CancelMode; readonly reason: string } | null;
  /** Its own; that of a scope around it may be earlier. */
  deadlineAtMs: number | null;
}

export interface ScopeSink {
  put(scope: Scope): void;
  forget(name: string): void;
  /** Its deadline changed; null: there is none any more. */
  deadline(name: string, atMs: number | null): void;
}

export class Scopes {
  readonly #scopes = new Map<string, Scope>();
  readonly #sink: ScopeSink;

  constructor(sink: ScopeSink) {
    this.#sink = sink;
  }

  /** From the journal, parents in any order. */
  load(
    rows: readonly {
      readonly name: string;
      readonly parent: string | null;
      readonly mode: CancelMode | null;
      readonly reason: string;
      readonly deadline_ms: number | null;
    }[],
  ): void {
    const byName = new Map(rows.map((row) => [row.name, row]));
    const build = (name: string): Scope => {
      const known = this.#scopes.get(name);
      if (known !== undefined) return known;
      const row = byName.get(name);
      const parent = row === undefined || row.parent === null ? null : build(row.parent);
      const cancelled = row === undefined || row.mode === null ? null : { mode: row.mode, reason: row.reason };
      const scope = this.#add(name, parent, cancelled);
      scope.deadlineAtMs = row?.deadline_ms ?? null;
      if (scope.deadlineAtMs !== null && cancelled === null) this.#sink.deadline(name, scope.deadlineAtMs);
      return scope;
    };
    for (const row of rows) build(row.name);
  }

  /** Answers the scope, whose cancellation (if any) the new member must be told. */
  join(name: string, creatorScope: string | null, member: ActorRef, deadlineAtMs: number | null): Scope {
    const scope = this.#ensure(name, creatorScope);
    scope.members.add(member);
    if (deadlineAtMs !== null && deadlineAtMs < (scope.deadlineAtMs ?? Infinity)) {
      scope.deadlineAtMs = deadlineAtMs;
      this.#sink.put(scope);
      if (scope.cancelled === null) this.#sink.deadline(name, deadlineAtMs);
    }
    return scope;
  }

  leave(name: string, member: ActorRef): void {
    const scope = this.#scopes.get(name);
    if (scope === undefined) return;
    scope.members.delete(member);
    this.#forgetIfIdle(scope);
  }

  /** Something of it, or of a scope inside it, has not ended. */
  lives(name: string): boolean {
    const scope = this.#scopes.get(name);
    return scope !== undefined && (scope.members.size > 0 || [...scope.inner].some((inner) => this.lives(inner.name)));
  }

  isCancelled(name: string | undefined): boolean {
    const scope = name === undefined ? undefined : this.#scopes.get(name);
    return scope !== undefined && scope.cancelled !== null;
  }

  /** Marks the scope and all inside it; answers the members that have not heard of this mode yet. */
  cancel(name: string, mode: CancelMode, reason: string): readonly ActorRef[] {
    const told: ActorRef[] = [];
    const visit = (scope: Scope): void => {
      if (scope.cancelled === null || (scope.cancelled.mode === "grace" && mode === "kill")) {
        if (scope.cancelled === null && scope.deadlineAtMs !== null) this.#sink.deadline(scope.name, null);
        scope.cancelled = { mode, reason };
        this.#sink.put(scope);
        for (const member of scope.members) told.push(member);
      }
      for (const inner of scope.inner) visit(inner);
    };
    visit(this.#ensure(name, null));
    return told;
  }

  #ensure(name: string, parentName: string | null): Scope {
    const known = this.#scopes.get(name);
    if (known !== undefined) return known;
    const parent = parentName === null || parentName === name ? null : (this.#scopes.get(parentName) ?? null);
    const scope = this.#add(name, parent, parent?.cancelled ?? null);
    // A scope of its own that was not cancelled can be rebuilt from its members' rows: nothing to write.
    if (parent !== null) this.#sink.put(scope);
    return scope;
  }

  #add(name: string, parent: Scope | null, cancelled: Scope["cancelled"]): Scope {
    const scope: Scope = { name, parent, members: new Set(), inner: new Set(), cancelled, deadlineAtMs: null };
    this.#scopes.set(name, scope);
    parent?.inner.add(scope);
    return scope;
  }

  #forgetIfIdle(scope: Scope): void {
    if (scope.members.size > 0 || scope.inner.size > 0 || scope.cancelled !== null) return;
    this.#scopes.delete(scope.name);
    if (scope.deadlineAtMs !== null) this.#sink.deadline(scope.name, null);
    if (scope.parent !== null || scope.deadlineAtMs !== null) this.#sink.forget(scope.name);
    if (scope.parent === null) return;
    scope.parent.inner.delete(scope);
    this.#forgetIfIdle(scope.parent);
  }
}
