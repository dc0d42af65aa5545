/** Asks the kernel, before a run is accepted, whether this process's user may see what its tasks are to see. Changes nothing. */
import { access, constants } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { userInfo } from "node:os";
import { CohortError } from "../runtime/kernel/error.ts";
import type { Mount, Task } from "../machines/messages/task.ts";

/** A run of many tasks mounts few directories; what is not looked at here the warden looks at, task by task. */
const PATHS_MAX = 64;
/** A file system that hangs is no reason to refuse: the warden has a deadline of its own for it. */
const ANSWER_MS_MAX = 1000;
const TASKS_MAX = 1000;

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `of uid ${process.getuid?.() ?? 0}`;
  }
}

async function refusalOf({ path, mode }: Mount): Promise<CohortError | null> {
  try {
    await access(path, mode === "rw" ? constants.R_OK | constants.W_OK : constants.R_OK);
    return null;
  } catch (cause) {
    // What is not there yet, an earlier task of the run may make.
    if (!(cause instanceof Error) || !("code" in cause) || (cause.code !== "EACCES" && cause.code !== "EROFS")) return null;
    const user = userName();
    return new CohortError("MOUNT_REFUSED", {
      on: `the user ${user} may not ${mode === "rw" ? "write to" : "read"} ${path}`,
      hint: `cohortd runs as ${user}: give that user access, or do not mount it (cohort map mounts the working directory, unless --no-cwd)`,
      cause,
    });
  }
}

/** MOUNT_REFUSED for the first mount that is closed to this user, or null. */
export async function mountRefusal(tasks: readonly Task[]): Promise<CohortError | null> {
  const mounts = new Map<string, Mount>();
  for (const { mounts: wanted } of tasks.slice(0, TASKS_MAX))
    for (const mount of wanted) if (mounts.size < PATHS_MAX) mounts.set(`${mount.mode}${mount.path}`, mount);
  if (mounts.size === 0) return null;
  const late = new AbortController();
  const asked = Promise.all([...mounts.values()].map(refusalOf));
  const refusals = await Promise.race([asked, delay(ANSWER_MS_MAX, [], { signal: late.signal }).catch(() => [])]);
  late.abort();
  return refusals.find((refusal) => refusal !== null) ?? null;
}
