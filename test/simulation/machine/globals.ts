/** Time and chance that a program finds in its globals: those of the simulated computer while one runs, else the real ones. */
import { computer, isSimulated } from "./computer.ts";

type Work = (...values: readonly unknown[]) => void;

/** What setTimeout answers, as far as it is used. */
class SimulatedTimer {
  readonly #delayMs: number;
  readonly #work: () => void;
  readonly #repeats: boolean;
  #cancel: () => void = () => {};

  constructor(delayMs: number, work: () => void, repeats: boolean) {
    this.#delayMs = Math.max(delayMs, 1);
    this.#work = work;
    this.#repeats = repeats;
    this.refresh();
  }

  refresh(): this {
    this.#cancel();
    this.#cancel = computer().life.after(this.#delayMs, () => {
      if (this.#repeats) this.refresh();
      this.#work();
    });
    return this;
  }

  stop(): void {
    this.#cancel();
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}

function timer(real: (work: Work, delayMs?: number, ...values: readonly unknown[]) => unknown, repeats: boolean) {
  return (work: Work, delayMs = 0, ...values: readonly unknown[]): unknown =>
    isSimulated() ? new SimulatedTimer(delayMs, () => work(...values), repeats) : real(work, delayMs, ...values);
}

function stopper(real: (timer: never) => void) {
  return (running: unknown): void => {
    if (running instanceof SimulatedTimer) running.stop();
    else real(running as never);
  };
}

function late(delayMs: number): AbortSignal {
  const controller = new AbortController();
  computer().life.after(delayMs, () => controller.abort(new DOMException("The operation was aborted due to timeout", "TimeoutError")));
  return controller.signal;
}

/** Once, before what is simulated is loaded. */
export function replaceGlobals(): void {
  const { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval } = globalThis;
  const dateNow = Date.now.bind(Date);
  const performanceNow = performance.now.bind(performance);
  const random = Math.random.bind(Math);
  const timeout = AbortSignal.timeout.bind(AbortSignal);
  Object.assign(globalThis, {
    setTimeout: timer(setTimeout as never, false),
    setInterval: timer(setInterval as never, true),
    setImmediate: (work: Work, ...values: readonly unknown[]) =>
      isSimulated() ? computer().life.defer(() => work(...values)) : setImmediate(work, ...values),
    clearTimeout: stopper(clearTimeout as never),
    clearInterval: stopper(clearInterval as never),
  });
  Date.now = () => (isSimulated() ? computer().life.now() : dateNow());
  performance.now = () => (isSimulated() ? computer().life.monotonicMs() : performanceNow());
  Math.random = () => (isSimulated() ? computer().life.random() : random());
  AbortSignal.timeout = (delayMs) => (isSimulated() ? late(delayMs) : timeout(delayMs));
}
