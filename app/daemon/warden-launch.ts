/**
 * Starts and ends the warden of one account. As root.
 *
 * Owns nothing: the warden goes into the background once its socket listens, and lives on.
 *
 * W1 one warden per socket: whoever calls holds the launch lock.
 * W2 a warden started on demand ends when it is idle; one started by `vm up` stays.
 */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { CohortError, isCohortError } from "../../runtime/kernel/error.ts";
import type { Account } from "../../sdk/account.ts";
import { isListening } from "../../sdk/listening.ts";
import { buildApply } from "../../vm/apply-binary.ts";
import { buildWarden } from "../../vm/warden-binary.ts";
import { connectWarden } from "../../vm/host/warden-connection.ts";
import { groupsOf } from "./system-user.ts";

export const LAUNCH_DIRECTORY = "/run/cohort";
export const LAUNCH_LOCK = `${LAUNCH_DIRECTORY}/launch.lock`;
const START_TIMEOUT_MS = 10_000;
const END_TIMEOUT_MS = 30_000;
const END_POLL_MS = 50;
const IDLE_EXIT_MS = 60_000;
const ERRORS_CHARS_MAX = 4000;
/** vm/warden/listener.c */
const ANOTHER_SERVES = "another warden serves";

export function makeLaunchDirectory(): void {
  mkdirSync(LAUNCH_DIRECTORY, { recursive: true, mode: 0o755 });
}

/** Rejects with WARDEN_BUILD, WARDEN_REFUSED, CGROUP_UNAVAILABLE. */
export async function ensureWarden(account: Account, socket: string, stays: "while-used" | "until-ended"): Promise<void> {
  if (await isListening(socket)) return;
  const binary = await buildWarden();
  // Also as root: cohortd, which runs it, may not be able to write here.
  await buildApply();
  const args = ["--user", String(account.uid), "--gid", String(account.gid), "--groups", groupsOf(account).join(","), "--socket", socket];
  if (stays === "while-used") args.push("--exit-when-idle-ms", String(IDLE_EXIT_MS));
  const deadline = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    const ended = await runToBackground(binary, args);
    if (ended.code === 0 && (await isListening(socket))) return;
    const said = ended.errors.trim() || `it ended with ${ended.code === null ? "a signal" : `status ${ended.code}`}`;
    // The one before it listens no more and is still removing its sandboxes.
    if (!said.includes(ANOTHER_SERVES) || performance.now() > deadline)
      throw new CohortError(/cgroup/i.test(said) ? "CGROUP_UNAVAILABLE" : "WARDEN_REFUSED", { on: said });
    await sleep(END_POLL_MS);
    if (await isListening(socket)) return;
  }
}

/** As the account itself: the warden serves nobody else. Every child ends with it. */
export async function endWarden(socket: string): Promise<void> {
  const deadline = performance.now() + END_TIMEOUT_MS;
  let reason: unknown = null;
  while (await isListening(socket)) {
    if (performance.now() > deadline) throw new CohortError("DEADLINE", { on: `the warden still listens at ${socket}`, cause: reason });
    try {
      await askToEnd(socket);
    } catch (error) {
      // A cohortd that lost the warden to this connection takes it back at once, sometimes before the request was heard.
      if (!isCohortError(error, "WARDEN_GONE") && !isCohortError(error, "WARDEN_ABSENT")) throw error;
      reason = error;
    }
    await sleep(END_POLL_MS);
  }
}

async function askToEnd(socket: string): Promise<void> {
  const ignored = (): void => undefined;
  const vm = await connectWarden(
    socket,
    { supervisorId: `vm-down-${process.pid}`, freezeAfterMs: END_TIMEOUT_MS, killAfterMs: END_TIMEOUT_MS },
    {
      output: ignored,
      stdinAcked: ignored,
      exit: ignored,
      died: ignored,
      grantEnded: ignored,
      denied: ignored,
      notice: ignored,
      closed: ignored,
    },
  );
  try {
    await vm.shutdown();
  } finally {
    vm.close();
  }
}

function runToBackground(binary: string, args: readonly string[]): Promise<{ readonly code: number | null; readonly errors: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(binary, args, {
      cwd: "/",
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
      stdio: ["ignore", "ignore", "pipe"],
      detached: true,
    });
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors = (errors + text).slice(0, ERRORS_CHARS_MAX)));
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      finish(() => reject(new CohortError("WARDEN_REFUSED", { on: `it did not listen within ${START_TIMEOUT_MS} ms ${errors.trim()}` })));
    }, START_TIMEOUT_MS);
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      child.stderr.destroy();
      settle();
    };
    child.once("error", (cause) => finish(() => reject(new CohortError("WARDEN_REFUSED", { on: cause.message, cause }))));
    // "exit", not "close": the warden in the background may keep the pipe. What it said before its parent ended is read in the next turn.
    child.once("exit", (code) => setImmediate(() => finish(() => resolve({ code, errors }))));
  });
}
