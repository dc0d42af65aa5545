/**
 * Owns the requests that wait for their one OK or ERROR, and their deadlines.
 * Does not own the connection.
 *
 * 1. Each request settles exactly once: answered, refused, late, or gone with the connection.
 * 2. A seq is not used again while a request with it waits.
 */
import { CohortError } from "../../runtime/kernel/error.ts";

const SEQ_MAX = 0xffff_ffff;
/** More than any supervisor asks at once (4,000 children, a few requests each). */
const PENDING_MAX = 65_536;

interface Pending {
  readonly resolve: (values: readonly unknown[]) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

export class PendingRequests {
  readonly #pending = new Map<number, Pending>();
  #seq = 0;
  #gone: Error | null = null;

  /**
   * `send` gets the seq and may throw; then nothing was asked.
   * Rejects with DEADLINE after deadlineMs, naming `what`.
   */
  ask(what: string, deadlineMs: number, send: (seq: number) => void): Promise<readonly unknown[]> {
    return new Promise((resolve, reject) => {
      if (this.#gone !== null) throw this.#gone;
      if (this.#pending.size >= PENDING_MAX) throw new CohortError("WARDEN_REFUSED", { on: `${PENDING_MAX} requests wait already` });
      const seq = this.#nextSeq();
      send(seq);
      const timer = setTimeout(() => {
        this.#pending.delete(seq);
        reject(new CohortError("DEADLINE", { on: `the warden did not answer ${what} within ${deadlineMs} ms` }));
      }, deadlineMs);
      this.#pending.set(seq, { resolve, reject, timer });
    });
  }

  /** False when nobody waits for this seq: its deadline passed. */
  answer(seq: number, values: readonly unknown[]): boolean {
    const pending = this.#take(seq);
    pending?.resolve(values);
    return pending !== undefined;
  }

  refuse(seq: number, error: Error): boolean {
    const pending = this.#take(seq);
    pending?.reject(error);
    return pending !== undefined;
  }

  /** Rejects all that wait, and all that come. */
  end(reason: Error): void {
    this.#gone ??= reason;
    for (const seq of this.#pending.keys()) this.refuse(seq, reason);
  }

  #take(seq: number): Pending | undefined {
    const pending = this.#pending.get(seq);
    if (pending === undefined) return undefined;
    clearTimeout(pending.timer);
    this.#pending.delete(seq);
    return pending;
  }

  #nextSeq(): number {
    do {
      this.#seq = this.#seq === SEQ_MAX ? 1 : this.#seq + 1;
    } while (this.#pending.has(this.#seq));
    return this.#seq;
  }
}
