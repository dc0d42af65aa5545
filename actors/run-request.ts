/** What zod cannot see of a request: rules between fields, and what one frame to the warden can carry. Throws REQUEST_INVALID naming the field. */
import { CohortError } from "../runtime/kernel/error.ts";
import type { Mount, RunSpec, Task } from "../machines/messages/task.ts";
import { mountTarget } from "./engines/command.ts";

/** A frame has 1 MiB; the session's own environment and the framing need a little of it. */
const ARGUMENTS_BYTES_MAX = 1_000_000;
/** One component of a path, with room for what the warden may add. */
const TARGET = /^(?!\.\.?$)[^/\0]{1,127}$/;
/** Below the state directory: content/RUN/out/INDEX, as a result names it. */
const COLLECTED = /^\/content\/[^/]+\/out\/\d+(\/|$)/;
const TASKS_PER_TURN = 500;

function invalid(field: string, why: string): never {
  throw new CohortError("REQUEST_INVALID", { on: `${field}: ${why}` });
}

export function isBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory.endsWith("/") ? directory : `${directory}/`);
}

/** Collected files may be given to a later task; nothing else of the state directory: there lie the token, what other children wrote, and code that cohortd runs. */
export function showsState(mount: Pick<Mount, "path" | "mode">, stateDirectory: string): boolean {
  const path = mount.path
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .join("/");
  const absolute = `/${path}`;
  if (isBelow(stateDirectory, absolute)) return true;
  if (!isBelow(absolute, stateDirectory)) return false;
  return mount.mode !== "ro" || !COLLECTED.test(absolute.slice(stateDirectory.length));
}

function checkMounts(task: Task, field: string, stateDirectory: string): void {
  const targets = new Map<string, number>();
  for (const [at, mount] of task.mounts.entries()) {
    const here = `${field}.mounts[${at}]`;
    if (mount.path.includes("\0")) invalid(`${here}.path`, "contains a NUL");
    if (mount.path.split("/").includes("..")) invalid(`${here}.path`, "contains ..");
    if (showsState(mount, stateDirectory))
      throw new CohortError("REQUEST_INVALID", {
        on: `${here}.path: ${mount.path} shows the task ${stateDirectory}, where cohort keeps its state and what other tasks wrote`,
        hint: "mount a directory beside or below it (cohort map: --no-cwd and --in DIR), or set COHORT_HOME to another place",
      });
    const target = mountTarget(mount);
    if (!TARGET.test(target)) invalid(`${here}.as`, `${JSON.stringify(target)} cannot be the name of a mount; give one`);
    const other = targets.get(target);
    if (other !== undefined) invalid(`${here}.as`, `${JSON.stringify(target)} is already the name of mounts[${other}]; give another`);
    targets.set(target, at);
  }
}

function checkCommand(task: Task, field: string): void {
  let bytes = 0;
  for (const [at, argument] of task.command.entries()) {
    if (argument.includes("\0")) invalid(`${field}.command[${at}]`, "contains a NUL");
    bytes += Buffer.byteLength(argument) + 8;
  }
  if (task.command[0] === "") invalid(`${field}.command[0]`, "is empty");
  for (const [name, value] of Object.entries(task.env)) {
    if (value.includes("\0")) invalid(`${field}.env.${name}`, "contains a NUL");
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value) + 8;
  }
  if (bytes > ARGUMENTS_BYTES_MAX)
    invalid(`${field}.command`, `with env it has ${bytes} bytes, more than ${ARGUMENTS_BYTES_MAX}; give large input as stdin`);
  if (task.cwd?.includes("\0")) invalid(`${field}.cwd`, "contains a NUL");
  if (task.cwd?.split("/").includes("..")) invalid(`${field}.cwd`, "contains ..");
}

/** `stateDirectory` has no symbolic link in it. Yields to the event loop between turns, so that a large run holds nobody up. */
export async function checkRunSpec(spec: RunSpec, stateDirectory: string): Promise<void> {
  if (spec.resumes !== undefined && spec.resumes.indexes.length !== spec.tasks.length)
    invalid("resumes.indexes", `has ${spec.resumes.indexes.length} entries for ${spec.tasks.length} tasks`);
  for (const [index, task] of spec.tasks.entries()) {
    checkMounts(task, `tasks[${index}]`, stateDirectory);
    checkCommand(task, `tasks[${index}]`);
    if (index % TASKS_PER_TURN === TASKS_PER_TURN - 1) await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
