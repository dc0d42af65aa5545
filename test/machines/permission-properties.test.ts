/** Grants and approvals against a warden in the head: whatever happens in whatever order, nothing stays attached and every end is told once. */
import fc from "fast-check";
import { initialTransition, transition, type AnyMachineSnapshot, type AnyStateMachine } from "xstate";
import { describe, expect, it } from "vitest";
import { approvalMachine } from "../../machines/approval.ts";
import { grantMachine } from "../../machines/grant.ts";
import type { ApprovalInput, Decision } from "../../machines/messages/approval-events.ts";
import type { RunLogRow } from "../../machines/messages/facts.ts";
import type { GrantInput } from "../../machines/messages/grant-events.ts";
import type { ActorEvent, Json } from "../../runtime/kernel/actions.ts";
import { acts, type Act } from "./pure-host.ts";

interface Effect {
  readonly name: string;
  readonly key: string;
  readonly params: Record<string, Json>;
}

/** One actor with its effects and timers, as the runtime keeps them: what no state takes is undone. */
class Alone {
  readonly #machine: AnyStateMachine;
  #snapshot: AnyMachineSnapshot;
  readonly effects: Effect[] = [];
  readonly timers = new Set<string>();
  readonly rows: RunLogRow[] = [];
  readonly sent: ActorEvent[] = [];
  readonly spawned: string[] = [];
  readonly keys = new Set<string>();
  readonly projected = new Map<string, Json>();
  now = 1000;

  constructor(machine: AnyStateMachine, input: Json) {
    this.#machine = machine;
    const [snapshot, actions] = initialTransition(machine, input);
    this.#snapshot = snapshot;
    this.#apply(acts(actions));
  }

  get done(): boolean {
    return this.#snapshot.status !== "active";
  }

  get state(): string {
    return String(this.#snapshot.value);
  }

  /** False when no state takes it. */
  give(event: ActorEvent): boolean {
    this.now += 1;
    if (this.done) return false;
    const heard = { at: this.now, ...event };
    if (this.#machine.getTransitionData(this.#snapshot, heard).length === 0) return false;
    const [snapshot, actions] = transition(this.#machine, this.#snapshot, heard);
    if (snapshot.status === "error") throw snapshot.error;
    const { value, context, status } = snapshot;
    this.#snapshot = this.#machine.resolveState(JSON.parse(JSON.stringify({ value, context, status })));
    this.#apply(acts(actions));
    return true;
  }

  #apply(actions: readonly Act[]): void {
    for (const { type, params } of actions) {
      if (type === "effect") {
        const key = String(params["key"]);
        if (this.keys.has(key)) throw new Error(`key used twice: ${key}`);
        this.keys.add(key);
        this.effects.push({ name: String(params["name"]), key, params: params["params"] as Record<string, Json> });
      } else if (type === "startTimer") this.timers.add(String(params["name"]));
      else if (type === "stopTimer") this.timers.delete(String(params["name"]));
      else if (type === "append") this.rows.push(params["value"] as RunLogRow);
      else if (type === "send") this.sent.push(params["event"] as ActorEvent);
      else if (type === "spawn") this.spawned.push(String(params["ref"]));
      else if (type === "project") this.projected.set(`${String(params["collection"])}/${String(params["key"])}`, params["value"] ?? null);
      else throw new Error(`a machine used ${type}`);
    }
  }

  ofType<T extends RunLogRow["type"]>(type: T): Extract<RunLogRow, { type: T }>[] {
    return this.rows.filter((row): row is Extract<RunLogRow, { type: T }> => row.type === type);
  }
}

const grantInput: GrantInput = {
  grant: "g1",
  wireId: 17,
  run: "r1",
  index: 0,
  attempt: 1,
  child: "calm-quiet-bohr",
  mode: "ro",
  ttlMs: 5000,
  usesLeft: 0,
  by: "person",
  approval: null,
  born: false,
  atMs: 1000,
};

/** Attached or not, as the warden would say; a number of a grant is used once. */
class Warden {
  attached = false;
  ended = false;
  sandbox = true;

  grant(): ActorEvent {
    if (!this.sandbox || this.ended) return { type: "refused" };
    this.attached = true;
    return { type: "attached", isCopy: false, isProtectionPartial: false, undo: "none" };
  }

  revoke(): { processesKilled: number; childKilled: boolean } {
    const held = this.attached;
    this.attached = false;
    // Of one that never was nothing is remembered: an attachment that comes later is made.
    this.ended ||= held;
    return { processesKilled: held ? 2 : 0, childKilled: false };
  }
}

class GrantWorld {
  readonly grant: Alone;
  readonly warden = new Warden();
  readonly #numbers: readonly number[];
  #at = 0;

  constructor(input: GrantInput, numbers: readonly number[]) {
    this.grant = new Alone(grantMachine, input);
    this.warden.attached = input.born;
    this.#numbers = numbers;
  }

  #next(below: number): number {
    this.#at += 1;
    return (this.#numbers[this.#at % this.#numbers.length] ?? 0) % Math.max(1, below);
  }

  /** Everything that is under way comes to its end, in whatever order. */
  drain(): void {
    for (let step = 0; step < 100 && (!this.grant.done || this.grant.effects.length > 0); step += 1) {
      this.#effect(this.#next(this.grant.effects.length), false);
      this.#timer();
    }
  }

  /** One thing happens. */
  step(): void {
    const { grant, warden } = this;
    const choice = this.#next(8);
    if (choice <= 1) return this.#effect(this.#next(grant.effects.length + 1), this.#next(5) === 0);
    if (choice === 2) return this.#timer();
    if (choice === 3) grant.give({ type: "revoke", discard: this.#next(2) === 0 });
    else if (choice === 4) grant.give({ type: "cancel", mode: "grace", reason: "" });
    else if (choice === 5 && warden.attached) grant.give({ type: "wardenEnded", ...warden.revoke() });
    else if (choice === 6 && this.#next(4) === 0) this.childEnds();
  }

  childEnds(): void {
    this.warden.sandbox = false;
    this.warden.attached = false;
    this.grant.give({ type: "childEnded", staged: "none" });
  }

  /** In any order; it may fail, and may have had its effect all the same; after a crash it is run twice. */
  #effect(at: number, fails: boolean): void {
    const { effects } = this.grant;
    const effect = effects[at];
    if (effect === undefined) return;
    effects.splice(at, 1);
    const crashes = this.#next(4) === 0;
    if (effect.name === "grant.told") return;
    for (let times = crashes ? 2 : 1; times > 0; times -= 1) {
      const outcome = effect.name === "grant.attach" ? this.warden.grant() : { type: "revoked", ...this.warden.revoke(), staged: "none" };
      if (times > 1) continue;
      const event = fails ? { type: "effectFailed", name: effect.name, key: effect.key } : outcome;
      if (!this.grant.give(event) && effect.name === "grant.attach") this.warden.revoke();
    }
  }

  #timer(): void {
    for (const name of this.grant.timers) {
      this.grant.timers.delete(name);
      this.grant.give({ type: "timer", name });
      return;
    }
  }
}

describe("a grant, whatever happens in whatever order", () => {
  it("leaves nothing attached, ends once, and tells both once", () => {
    fc.assert(
      fc.property(
        fc.record({
          numbers: fc.array(fc.nat({ max: 999 }), { minLength: 30, maxLength: 120 }),
          steps: fc.integer({ min: 0, max: 40 }),
          mode: fc.constantFrom("ro", "staged", "rw"),
          born: fc.boolean(),
          ttlMs: fc.constantFrom(0, 5000),
          childEnds: fc.boolean(),
        }),
        ({ numbers, steps, mode, born, ttlMs, childEnds }) => {
          const world = new GrantWorld({ ...grantInput, mode, born, ttlMs: born ? 0 : ttlMs }, numbers);
          for (let step = 0; step < steps; step += 1) world.step();
          // A child that lives on proves that nothing was left in it.
          if (childEnds) world.childEnds();
          else world.grant.give({ type: "revoke", discard: true });
          world.drain();
          const { grant, warden } = world;
          expect(grant.done).toBe(true);
          expect(warden.attached).toBe(false);
          expect(grant.ofType("grant-ended")).toHaveLength(1);
          expect(grant.ofType("grant-attached").length).toBeLessThanOrEqual(1);
          expect(grant.rows.at(-1)?.type).toBe("grant-ended");
          expect(grant.projected.get("grants/g1")).toBe(null);
          expect(grant.projected.get("grantsEnded/g1")).toMatchObject({ state: "ended", end: grant.ofType("grant-ended")[0]?.end });
        },
      ),
      { numRuns: 800 },
    );
  });

  it("is revoked in each of its states, without its child's end, and is told why", () => {
    for (const [mode, born] of [
      ["ro", false],
      ["staged", false],
      ["staged", true],
    ] as const) {
      for (const attachedFirst of [false, true]) {
        const { grant, warden } = new GrantWorld({ ...grantInput, mode, born, ttlMs: 0 }, [0]);
        if (attachedFirst && !born) grant.give(warden.grant());
        grant.give({ type: "revoke", discard: false });
        expect(grant.state).toBe("revoking");
        expect(grant.effects.at(-1)).toMatchObject({
          name: "grant.revoke",
          params: { staged: mode === "staged" && (attachedFirst || born) ? "collect" : "none" },
        });
        grant.give({ type: "revoked", ...warden.revoke(), staged: "none" });
        expect(grant.ofType("grant-ended")).toMatchObject([{ end: "revoked" }]);
      }
    }
  });

  it("goes on revoking until there is proof, and gives up what was staged rather than leave it attached", () => {
    const grant = new Alone(grantMachine, { ...grantInput, mode: "staged", ttlMs: 0 });
    grant.give({ type: "attached", isCopy: false, isProtectionPartial: false, undo: "none" });
    grant.give({ type: "revoke", discard: false });
    const plans: unknown[] = [];
    for (let attempt = 0; attempt < 6; attempt += 1) {
      const effect = grant.effects.pop();
      plans.push(effect?.params["staged"]);
      grant.give({ type: "effectFailed", name: "grant.revoke", key: effect?.key ?? "" });
      grant.give({ type: "timer", name: "revoke" });
    }
    expect(plans).toEqual(["collect", "collect", "collect", "collect", "give-up", "give-up"]);
    expect(grant.state).toBe("revoking");
  });
});

const approvalInput: ApprovalInput = {
  approval: "a1",
  run: "r1",
  index: 0,
  attempt: 1,
  child: "calm-quiet-bohr",
  mode: "staged",
  grantNumber: 5,
  preAnswer: null,
  atMs: 1000,
};

const decision = fc.record({
  decision: fc.constantFrom("approve", "deny"),
  mode: fc.constantFrom("ro", "staged", "rw"),
  ttlMs: fc.constant(60_000),
  uses: fc.integer({ min: 1, max: 3 }),
}) as fc.Arbitrary<Decision>;

describe("an approval, whoever answers first", () => {
  it("is decided once, makes at most one grant, never of more than was asked for, and lets the clock go on", () => {
    const event = fc.oneof(
      decision.map((answer) => ({ type: "answer", ...answer })),
      fc.constantFrom(
        { type: "repeated" },
        { type: "childEnded" },
        { type: "timer", name: "expiry" },
        { type: "cancel", mode: "grace", reason: "" },
      ),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 8 }), fc.option(decision), (events, preAnswer) => {
        const approval = new Alone(approvalMachine, { ...approvalInput, preAnswer });
        for (const one of events) approval.give(one);
        approval.give({ type: "timer", name: "expiry" });
        expect(approval.done).toBe(true);
        const decided = approval.ofType("approval-answered");
        expect(decided).toHaveLength(1);
        expect(approval.ofType("approval-requested")).toHaveLength(preAnswer === null ? 1 : 0);
        expect(approval.spawned).toEqual(decided[0]?.decision === "approved" ? ["grant:g5"] : []);
        expect(approval.sent.map(({ type }) => type)).toEqual(preAnswer === null ? ["askOpened", "askClosed"] : []);
        expect(approval.projected.get("approvals/a1") ?? null).toBe(null);
        expect(approval.projected.get("approvalsAnswered/a1")).toMatchObject({ state: decided[0]?.decision });
        if (preAnswer === null && decided[0]?.decision === "approved") expect(["ro", "staged"]).toContain(decided[0].mode);
      }),
      { numRuns: 500 },
    );
  });
});
