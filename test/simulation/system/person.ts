/**
 * Owns the one person who looks on: answers what children ask for, gives directories to them unasked, takes them back.
 * Does not own: runs. What is refused may be refused; what is acknowledged must be true at once.
 */
import type { System } from "../../../actors/contract.ts";
import type { GrantSummary } from "../../../machines/messages/grant.ts";
import { isCohortError } from "../../../runtime/kernel/error.ts";
import type { SeededRandom } from "../../../runtime/simulated/seeded-random.ts";
import type { Origin } from "../../../runtime/contract.ts";
import type { Computer } from "../machine/computer.ts";
import type { SimulatedWarden } from "../warden/simulated-warden.ts";
import type { Daemon } from "./daemon.ts";
import { GIVEN } from "./scenario.ts";

const ORIGIN: Origin = { surface: "test", device: "simulated person" };
const PATIENCE_MS = 20_000;
const LIST_MAX = 100;

export class Person {
  readonly #computer: Computer;
  readonly #daemon: Daemon;
  readonly #warden: SimulatedWarden;
  readonly #random: SeededRandom;

  constructor(computer: Computer, daemon: Daemon, warden: SimulatedWarden) {
    this.#computer = computer;
    this.#daemon = daemon;
    this.#warden = warden;
    this.#random = computer.random.fork("person");
  }

  /** Until nobody asks any more. */
  async answer(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      await this.#sleep(this.#random.next() * this.#random.pick([40, 400, 4000]));
      const system = await this.#daemon.up();
      await this.#look(system);
      if (this.#random.chance(0.1)) await this.#give(system);
      if (this.#random.chance(0.1)) await this.#takeBack(system);
    }
  }

  async #look(system: System): Promise<void> {
    const asked = await this.#ask("approvals", () => system.approvals.list({ answered: false, limit: LIST_MAX }));
    for (const { approval, mode } of asked ?? []) {
      const decision = this.#random.pick(["approve", "approve", "deny"] as const);
      const lesser = this.#random.chance(0.2) ? ({ mode: "ro" } as const) : {};
      const answer = { approval, decision, reason: "simulated", acceptUnprotected: mode === "rw", acceptHome: false, ...lesser };
      const ttl = this.#random.chance(0.3) ? { ttlMs: this.#random.between(1000, 5000) } : {};
      await this.#ask(`answer ${decision}`, () => system.approvals.answer({ ...answer, ...ttl }, ORIGIN));
    }
  }

  async #give(system: System): Promise<void> {
    const [child] = (await this.#ask("children", () => system.children())) ?? [];
    if (child === undefined || child.child === "") return;
    const request = {
      child: child.child,
      path: this.#random.pick(GIVEN),
      mode: "ro",
      ttlMs: 60_000,
      uses: 1,
      reason: "simulated",
    } as const;
    await this.#ask("grant", () => system.grants.create({ ...request, acceptUnprotected: false, acceptHome: false }, ORIGIN));
  }

  async #takeBack(system: System): Promise<void> {
    const grants = (await this.#ask("grants", () => system.grants.list({ ended: false, limit: LIST_MAX }))) ?? [];
    if (grants.length === 0) return;
    const { grant } = this.#random.pick(grants);
    const revoked = await this.#ask("revoke", () => system.grants.revoke(grant, this.#random.chance(0.5), ORIGIN));
    if (revoked !== null) this.#checkRevoked(revoked);
  }

  /** It was said that nobody has it any more. */
  #checkRevoked({ grant, child, as, state }: GrantSummary): void {
    if (state !== "ended") return;
    const sandbox = this.#warden.sandboxes.get(child);
    if (sandbox === undefined || sandbox.state === "dead") return;
    for (const { plan, end } of sandbox.grants.values())
      if (plan.target === as && end === null) this.#computer.violate(`${grant} of ${child} is revoked, and still attached`);
  }

  /** Null: refused, or not answered. */
  async #ask<T>(what: string, act: () => Promise<T>): Promise<T | null> {
    this.#computer.trace.add("person", what);
    try {
      const answered = await Promise.race([this.#daemon.raced(act()), this.#sleep(PATIENCE_MS).then(() => "gone" as const)]);
      return answered === "gone" ? null : answered;
    } catch (error) {
      if (!isCohortError(error) || error.code === "INTERNAL") this.#computer.violate(`${what}: ${String(error)}`);
      this.#computer.trace.add("person refused", `${what} ${isCohortError(error) ? error.code : ""}`);
      return null;
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.#computer.environment.after(ms, resolve));
  }
}
