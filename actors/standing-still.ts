/** Freezing and thawing a child, as the warden takes it: not in the moment in which something starts in it, or is collected from it. */
import { setTimeout as delay } from "node:timers/promises";
import { isCohortError } from "../runtime/kernel/error.ts";
import type { Session } from "./session.ts";
import type { VmLink } from "./vm-link.ts";

/** Starts and most collections take less; a person who waits longer wants to know why. */
const BUSY_MS_MAX = 5000;
const BUSY_RETRY_MS = 20;

export async function freeze(session: Session, link: Pick<VmLink, "call">, signal: AbortSignal): Promise<void> {
  const { name } = session.id;
  const untilMs = performance.now() + BUSY_MS_MAX;
  for (;;) {
    try {
      await link.call(signal, (vm) => vm.freeze(name));
      break;
    } catch (error) {
      if (!isCohortError(error, "CHILD_BUSY") || performance.now() >= untilMs) throw error;
      await delay(BUSY_RETRY_MS, undefined, { signal });
    }
  }
  session.signs.frozen(true);
}

export async function thaw(session: Session, link: Pick<VmLink, "call">, signal: AbortSignal): Promise<void> {
  await link.call(signal, (vm) => vm.thaw(session.id.name));
  session.signs.frozen(false);
}
