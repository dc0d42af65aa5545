/** Stands in for node:timers/promises in what is simulated. */
import { computer } from "../machine/computer.ts";

interface DelayOptions {
  readonly signal?: AbortSignal;
  readonly ref?: boolean;
}

class AbortError extends Error {
  override readonly name = "AbortError";
  readonly code = "ABORT_ERR";
}

export function setTimeout<T>(delayMs?: number, value?: T, { signal }: DelayOptions = {}): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => {
      cancel();
      reject(new AbortError("The operation was aborted", { cause: signal?.reason }));
    };
    if (signal?.aborted === true) {
      reject(new AbortError("The operation was aborted", { cause: signal.reason }));
      return;
    }
    const cancel = computer().life.after(delayMs ?? 1, () => {
      signal?.removeEventListener("abort", aborted);
      resolve(value);
    });
    signal?.addEventListener("abort", aborted, { once: true });
  });
}

export function setImmediate(): Promise<void> {
  return new Promise((resolve) => computer().life.defer(resolve));
}
