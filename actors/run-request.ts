/** What zod cannot see of a request: rules between fields, and what one frame to the warden can carry. Throws REQUEST_INVALID naming the field. */
import { CohortError } from "../runtime/kernel/error.ts";
import type { RunSpec, Task } from "../machines/messages/task.ts";
import { mountTarget } from "./engines/command.ts";

/** A frame has 1 MiB; the session's own environment and the framing need a little of it. */
const ARGUMENTS_BYTES_MAX = 1_000_000;
/** One component of a path, with room for what the warden may add. */
const TARGET = /^(?!\.\.?$)[^/\0]{1,127}$/;
const TASKS_PER_TURN = 500;

function invalid(field: string, why: string): never {
  throw new CohortError("REQUEST_INVALID", { on: `${field}: ${why}` });
}

function checkMounts(task: Task, field: string): void {
  const targets = new Map<string, number>();
  for (const [at, mount] of task.mounts.entries()) {
    const here = `${field}.mounts[${at}]`;
    if (mount.path.includes("\0")) invalid(`${here}.path`, "contains a NUL");
    if (mount.path.split("/").includes("..")) invalid(`${here}.path`, "contains ..");
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

/** Yields to the event loop between turns, so that a large run holds nobody up. */
export async function checkRunSpec(spec: RunSpec): Promise<void> {
  if (spec.resumes !== undefined && spec.resumes.indexes.length !== spec.tasks.length)
    invalid("resumes.indexes", `has ${spec.resumes.indexes.length} entries for ${spec.tasks.length} tasks`);
  for (const [index, task] of spec.tasks.entries()) {
    checkMounts(task, `tasks[${index}]`);
    checkCommand(task, `tasks[${index}]`);
    if (index % TASKS_PER_TURN === TASKS_PER_TURN - 1) await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
