/** The engine without a model: from a task to the sandbox it needs and the process that runs in it. Pure. */
import type { ExecPlan, MountPlan, SandboxPlan } from "../../vm/backend.ts";
import type { Mount, Task } from "../../machines/messages/task.ts";
import type { SessionId } from "../session.ts";

/** Of stdout and of stderr each: what a child may be ahead of the transcript. */
const WINDOW_BYTES = 256 * 1024;
/** The warden's relay, inside the sandbox. */
const PROXY = "http://127.0.0.1:3128";
const NO_PROXY = "localhost,127.0.0.1,::1";
const PATH = "/run/cohort/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export function mountTarget(mount: Mount): string {
  return mount.as ?? mount.path.replace(/\/+$/, "").replace(/^.*\//, "");
}

/** `endpoint`: where a proxied task's network leads; null for one without a network. */
export function sandboxPlan(task: Task, name: string, endpoint: string | null): SandboxPlan {
  const { memoryBytes, diskBytes, diskInodes, diskKind, tmpBytes, pidsMax, cpuPermille, openFilesMax } = task.limits;
  return {
    name,
    timeoutMs: task.timeoutMs ?? 0,
    limits: { memoryBytes, diskBytes, diskInodes, diskKind, tmpBytes, pidsMax, cpuPermille, openFilesMax },
    network: endpoint === null ? "none" : { type: "proxied", endpoint },
    mounts: task.mounts.map((mount) => mountPlan(mount, task.limits.stagedBytes)),
  };
}

function mountPlan(mount: Mount, stagedBytes: number): MountPlan {
  const place = { source: withoutTrailingSlash(mount.path), target: mountTarget(mount) };
  return mount.mode === "staged" ? { ...place, mode: "staged", stagedBytes } : { ...place, mode: mount.mode };
}

/** Both spellings, as programs differ; Node's own clients ask for the last. */
const proxyEnvironment: Readonly<Record<string, string>> = {
  HTTP_PROXY: PROXY,
  HTTPS_PROXY: PROXY,
  NO_PROXY,
  http_proxy: PROXY,
  https_proxy: PROXY,
  no_proxy: NO_PROXY,
  NODE_USE_ENV_PROXY: "1",
};

/** What every process in the sandbox of a task is given, before the task's own. */
export function sessionEnvironment({ run, index, name }: Omit<SessionId, "attempt">, network: Task["network"]): Record<string, string> {
  const home = `/sessions/${name}`;
  return {
    PATH,
    HOME: home,
    USER: name,
    LOGNAME: name,
    TMPDIR: "/tmp",
    LANG: "C.UTF-8",
    COHORT_OUT: `${home}/out`,
    COHORT_RUN: run,
    COHORT_TASK: String(index),
    COHORT_CHILD: name,
    ...(network === "proxied" ? proxyEnvironment : {}),
  };
}

export function commandPlan(task: Task, id: SessionId, execId: number): ExecPlan {
  const home = `/sessions/${id.name}`;
  return {
    execId,
    kind: "command",
    argv: task.command,
    env: { ...sessionEnvironment(id, task.network), ...task.env },
    cwd: task.cwd === undefined ? home : task.cwd.startsWith("/") ? task.cwd : `${home}/${task.cwd.replace(/^~\/?/, "")}`,
    pty: null,
    stdin: task.stdin === undefined ? "none" : "stream",
    tools: "stream",
    windowBytes: WINDOW_BYTES,
  };
}

export function collectPlan(task: Task, name: string, execId: number): ExecPlan {
  const { outBytes, outFiles } = task.limits;
  return {
    execId,
    kind: "collect",
    argv: [String(outBytes), String(outFiles)],
    env: {},
    cwd: `/sessions/${name}`,
    pty: null,
    stdin: "none",
    windowBytes: 1024 * 1024,
  };
}

function withoutTrailingSlash(path: string): string {
  const trimmed = path.replace(/\/+$/, "");
  return trimmed === "" ? "/" : trimmed;
}
