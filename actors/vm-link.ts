/**
 * Owns the connection to the warden: opens it, opens it again when it is lost, and lends it to whoever needs the VM.
 * Does not own sessions (session-table.ts) nor the meaning of events.
 *
 * 1. There is at most one connection; `ready` lends it only after `reconcile` has seen what the warden holds.
 * 2. A call that meets a lost connection is made again on the next one: every call of Vm is idempotent.
 * 3. No call waits longer than its deadline for a connection.
 */
import { setTimeout as delay } from "node:timers/promises";
import { CohortError, isCohortError } from "../runtime/kernel/error.ts";
import type { RuntimeLog } from "../runtime/log/runtime-log.ts";
import type { Vm, VmEvents } from "../vm/backend.ts";

export interface VmLinkPorts {
  connect(events: VmEvents): Promise<Vm>;
  readonly events: Omit<VmEvents, "closed">;
  /** Looks at what the warden holds; a throw gives the connection up. */
  reconcile(vm: Vm): Promise<void>;
  disconnected(): void;
  /** Nobody has listened for ABSENT_MS: the warden is dead, and so is every child. */
  absent(): void;
  readonly log: RuntimeLog;
}

const RECONNECT_MS_MIN = 50;
const RECONNECT_MS_MAX = 2000;
/** Long enough to start a warden by hand; children end with their warden, so nothing runs meanwhile. */
export const ABSENT_MS = 60_000;
/** How long a call waits for a connection. */
const CALL_WAIT_MS = 60_000;

export class VmLink {
  readonly #ports: VmLinkPorts;
  #vm: Vm | null = null;
  #lastError: unknown = null;
  #waiting = new Set<() => void>();
  readonly #stop = new AbortController();
  #loop: Promise<void> | null = null;
  #disconnected = Promise.withResolvers<void>();

  constructor(ports: VmLinkPorts) {
    this.#ports = ports;
  }

  /** The connection as it is now. */
  get current(): Vm | null {
    return this.#vm;
  }

  start(): void {
    this.#loop ??= this.#keepConnected();
  }

  /** Rejects with the reason of the last failed attempt (WARDEN_ABSENT, …) when there is no connection in time. */
  async ready(signal: AbortSignal, waitMs: number): Promise<Vm> {
    const endAtMs = Date.now() + waitMs;
    for (;;) {
      signal.throwIfAborted();
      if (this.#stop.signal.aborted) throw new CohortError("CANCELLED", { on: "the link to the warden is closing" });
      if (this.#vm !== null) return this.#vm;
      const leftMs = endAtMs - Date.now();
      if (leftMs <= 0)
        throw this.#lastError instanceof CohortError ? this.#lastError : new CohortError("WARDEN_ABSENT", { cause: this.#lastError });
      await this.#changed(signal, leftMs);
    }
  }

  async call<T>(signal: AbortSignal, use: (vm: Vm) => Promise<T>): Promise<T> {
    for (;;) {
      const vm = await this.ready(signal, CALL_WAIT_MS);
      try {
        return await use(vm);
      } catch (error) {
        if (!isCohortError(error, "WARDEN_GONE") || vm === this.#vm) throw error;
      }
    }
  }

  /** Children go on. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#vm?.close();
    this.#vm = null;
    this.#disconnected.resolve();
    this.#wake();
    await this.#loop;
  }

  async #keepConnected(): Promise<void> {
    let delayMs = RECONNECT_MS_MIN;
    let aliveAtMs = Date.now();
    let absentTold = false;
    while (!this.#stop.signal.aborted) {
      try {
        await this.#connectOnce();
        delayMs = RECONNECT_MS_MIN;
        absentTold = false;
        await this.#disconnected.promise;
        aliveAtMs = Date.now();
        continue;
      } catch (error) {
        this.#lastError = error;
        if (!isCohortError(error, "WARDEN_ABSENT")) this.#ports.log.warn({ error }, "no connection to the warden");
        if (isCohortError(error, "WARDEN_ABSENT") && !absentTold && Date.now() - aliveAtMs >= ABSENT_MS) {
          absentTold = true;
          this.#ports.absent();
        }
      }
      await delay(delayMs, undefined, { signal: this.#stop.signal }).catch((error: unknown) => {
        if (!this.#stop.signal.aborted) throw error;
      });
      delayMs = Math.min(delayMs * 2, RECONNECT_MS_MAX);
    }
  }

  async #connectOnce(): Promise<void> {
    const disconnected = Promise.withResolvers<void>();
    this.#disconnected = disconnected;
    const closed: Error[] = [];
    const vm = await this.#ports.connect({
      ...this.#ports.events,
      closed: (reason) => {
        closed.push(reason);
        this.#vm = null;
        this.#ports.disconnected();
        this.#ports.log.warn({ error: reason }, "the connection to the warden ended");
        disconnected.resolve();
      },
    });
    if (this.#stop.signal.aborted) return vm.close();
    try {
      await this.#ports.reconcile(vm);
    } catch (error) {
      vm.close();
      throw error;
    }
    for (const reason of closed) throw reason;
    this.#vm = vm;
    this.#wake();
  }

  #changed(signal: AbortSignal, timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      signal.addEventListener("abort", done);
      this.#waiting.add(done);
    });
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}
