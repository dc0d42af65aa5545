/** Pure but for resolving mounts: a checked task file becomes a run. */
import type { RunSpecInput, TaskInput } from "../../../machines/messages/task.ts";
import { neutraliseLine } from "../text/neutralise.ts";
import type { FieldPath, Problem } from "./problem.ts";
import type { TaskDefaults, TaskEntry, TaskFile } from "./schema.ts";

/** Answers the real path and the name that was written last in it, or throws an Error whose message says why not. */
/** `absolute`: as it is written, links and all; what is only spoken of may be absent, and is then its own path. */
export type ResolveMount = (
  written: string,
  mayBeAbsent?: boolean,
) => { readonly path: string; readonly name: string; readonly absolute: string };

type MountEntry = NonNullable<TaskEntry["mounts"]>[number];
type LimitEntries = NonNullable<TaskEntry["limits"]>;
type PreAnswerInput = NonNullable<RunSpecInput["preAnswers"]>[number];
type MountInput = NonNullable<TaskInput["mounts"]>[number];

const TITLE_CHARS_MAX = 500;

function limitsOf(limits: LimitEntries): NonNullable<TaskInput["limits"]> {
  const { memory, disk, diskKind, tmp, staged, inodes, processes, cpu, openFiles, output, collect, files } = limits;
  return {
    ...(memory !== undefined && { memoryBytes: memory }),
    ...(disk !== undefined && { diskBytes: disk }),
    ...(diskKind !== undefined && { diskKind }),
    ...(tmp !== undefined && { tmpBytes: tmp }),
    ...(staged !== undefined && { stagedBytes: staged }),
    ...(inodes !== undefined && { diskInodes: inodes }),
    ...(processes !== undefined && { pidsMax: processes }),
    ...(cpu !== undefined && { cpuPermille: cpu }),
    ...(openFiles !== undefined && { openFilesMax: openFiles }),
    ...(output !== undefined && { outputBytes: output }),
    ...(collect !== undefined && { outBytes: collect }),
    ...(files !== undefined && { outFiles: files }),
  };
}

function mountsOf(
  entries: readonly { readonly entry: MountEntry; readonly path: FieldPath }[],
  resolve: ResolveMount,
  problems: Problem[],
): MountInput[] {
  const mounts: MountInput[] = [];
  const taken = new Map<string, string>();
  for (const { entry, path } of entries) {
    const written = typeof entry === "string" ? entry : entry.path;
    try {
      const { path: source, name } = resolve(written);
      const as = typeof entry === "string" ? name : (entry.as ?? name);
      const other = taken.get(as);
      if (as === "") problems.push({ path, at: "value", message: "needs a name: {path, as}" });
      else if (other !== undefined && other !== source)
        problems.push({ path, at: "value", message: `~/mnt/${as} is taken by ${other}; give it another name with as` });
      else if (other === undefined) mounts.push({ path: source, as, mode: typeof entry === "string" ? "ro" : entry.mode });
      taken.set(as, source);
    } catch (error) {
      problems.push({
        path: typeof entry === "string" ? path : [...path, "path"],
        at: "value",
        message: error instanceof Error ? error.message : String(error),
      });
    }
  }
  return mounts;
}

/** A no is for both names of a link, and also for what does not exist yet. */
function preAnswersOf(entries: NonNullable<TaskFile["preAnswers"]>, resolve: ResolveMount, problems: Problem[]): PreAnswerInput[] {
  return entries.flatMap(({ path: written, mode, decision, ttl }, at) => {
    try {
      const { path, absolute } = resolve(written, decision === "deny");
      const paths = decision === "deny" ? new Set([absolute, path]) : [path];
      return [...paths].map((one) => ({ path: one, mode, decision, ...(ttl !== undefined && { ttlMs: ttl }) }));
    } catch (error) {
      problems.push({ path: ["preAnswers", at, "path"], at: "value", message: error instanceof Error ? error.message : String(error) });
      return [];
    }
  });
}

function commandOf(entry: TaskEntry, shell: boolean, path: FieldPath, problems: Problem[]): string[] {
  if (typeof entry.command === "string") {
    if (shell) return ["/bin/sh", "-c", entry.command];
    problems.push({ path: [...path, "command"], at: "value", message: "is one string: write a list of words, or add shell: true" });
    return ["true"];
  }
  if (shell) problems.push({ path: [...path, "command"], at: "value", message: "is a list: with shell: true it must be one string" });
  return entry.command;
}

function taskOf(entry: TaskEntry, defaults: TaskDefaults, index: number, mounts: MountInput[], problems: Problem[]): TaskInput {
  const path = ["tasks", index];
  const shell = entry.shell ?? defaults.shell ?? false;
  const command = commandOf(entry, shell, path, problems);
  const stdin = entry.stdin ?? defaults.stdin;
  const cwd = entry.cwd ?? defaults.cwd;
  const network = entry.network ?? defaults.network;
  const timeoutMs = entry.timeout ?? defaults.timeout;
  const stuckAfterMs = entry.stuckAfter ?? defaults.stuckAfter;
  const silentAfterMs = entry.silentAfter ?? defaults.silentAfter;
  const onStuck = entry.onStuck ?? defaults.onStuck;
  const title = neutraliseLine(entry.title ?? (shell ? (command[2] ?? "") : command.join(" ")))
    .trim()
    .slice(0, TITLE_CHARS_MAX);
  return {
    title: title === "" ? "(empty)" : title,
    command,
    env: { ...defaults.env, ...entry.env },
    ...(stdin !== undefined && { stdin }),
    ...(cwd !== undefined && { cwd }),
    mounts,
    ...(network !== undefined && { network }),
    limits: limitsOf({ ...defaults.limits, ...entry.limits }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(stuckAfterMs !== undefined && { stuckAfterMs }),
    ...(silentAfterMs !== undefined && { silentAfterMs }),
    ...(onStuck !== undefined && { onStuck }),
    retries: entry.retries ?? defaults.retries ?? 0,
    idempotent: entry.idempotent ?? defaults.idempotent ?? false,
  };
}

/** Problems of meaning, all of them; the spec is of use only when there is none. */
export function specOf(
  file: TaskFile,
  title: string,
  resolve: ResolveMount,
): { readonly spec: RunSpecInput; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const defaults = file.defaults ?? {};
  const common = (defaults.mounts ?? []).map((entry, at) => ({ entry, path: ["defaults", "mounts", at] }));
  const commonMounts = mountsOf(common, resolve, problems);
  const tasks = file.tasks.map((entry, index) => {
    const own = (entry.mounts ?? []).map((mount, at) => ({ entry: mount, path: ["tasks", index, "mounts", at] }));
    // Problems of the defaults are told once, not once a task.
    const mounts = own.length === 0 ? commonMounts : [...commonMounts, ...mountsOf(own, resolve, problems)];
    const names = new Set<string | undefined>();
    for (const [at, mount] of mounts.entries()) {
      if (at >= commonMounts.length && names.has(mount.as))
        problems.push({
          path: ["tasks", index, "mounts"],
          at: "value",
          message: `~/mnt/${mount.as ?? ""} is taken by a mount of defaults`,
        });
      names.add(mount.as);
    }
    if (mounts.length > 16)
      problems.push({
        path: ["tasks", index, "mounts"],
        at: "value",
        message: `holds at most 16 with those of defaults, not ${mounts.length}`,
      });
    return taskOf(entry, defaults, index, mounts, problems);
  });
  const preAnswers = preAnswersOf(file.preAnswers ?? [], resolve, problems);
  const halt = file.halt === undefined ? undefined : typeof file.halt === "string" ? { when: file.halt } : file.halt;
  return {
    spec: {
      title: neutraliseLine(file.title ?? title).slice(0, TITLE_CHARS_MAX) || "run",
      ...(file.jobs !== undefined && { jobs: file.jobs }),
      ...(file.deadline !== undefined && { deadlineMs: file.deadline }),
      ...(halt !== undefined && { halt }),
      ...(preAnswers.length > 0 && { preAnswers }),
      tasks,
    },
    problems,
  };
}
