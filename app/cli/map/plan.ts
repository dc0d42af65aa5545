/** Pure but for looking up mounts: the options of `cohort map` and the items become a run. */
import type { RunSpecInput, TaskInput } from "../../../machines/messages/task.ts";
import { CohortError } from "../../../runtime/kernel/error.ts";
import { parseCores, parseDuration, parseSize } from "../text/measure.ts";
import { neutraliseLine } from "../text/neutralise.ts";
import { chooseEnvironment } from "./environment.ts";
import { parseHalt, parseJobs } from "./halt.ts";
import { chooseMounts } from "./mounts.ts";
import { fillCommand, fillShellLine, shellQuote } from "./template.ts";

/** As commander hands them over. */
export interface MapOptions {
  readonly jobs?: string;
  readonly halt?: string;
  readonly timeout?: string;
  readonly deadline?: string;
  readonly stuckAfter?: string;
  readonly silentAfter?: string;
  readonly onStuck?: string;
  readonly retries?: string;
  readonly env?: readonly string[];
  readonly memory?: string;
  readonly disk?: string;
  readonly cpu?: string;
  readonly in?: readonly string[];
  readonly write?: readonly string[];
  readonly staged?: readonly string[];
  readonly network?: string;
  readonly cwd: boolean;
  readonly shell?: boolean;
  readonly idempotent?: boolean;
  readonly title?: string;
}

export interface Surroundings {
  readonly workingDirectory: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly cores: number;
}

function measured(option: string, text: string | undefined, parse: (text: string) => number | null, examples: string): number | undefined {
  if (text === undefined) return undefined;
  const value = parse(text);
  if (value === null || value <= 0) throw new CohortError("USAGE", { on: `${option} ${text}`, hint: `for example ${examples}` });
  return value;
}

function count(option: string, text: string | undefined, countMax: number): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text) || Number(text) > countMax)
    throw new CohortError("USAGE", { on: `${option} ${text}`, hint: `a number from 0 to ${countMax}` });
  return Number(text);
}

function present<T extends object>(fields: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [Key in keyof T]?: Exclude<T[Key], undefined>;
  };
}

function networkOf(text: string | undefined): "none" | "proxied" | undefined {
  if (text === undefined || text === "none" || text === "proxied") return text;
  throw new CohortError("USAGE", { on: `--network ${text}`, hint: "none, or proxied" });
}

function onStuckOf(text: string | undefined): "tell" | "cancel" | undefined {
  if (text === undefined || text === "tell" || text === "cancel") return text;
  throw new CohortError("USAGE", { on: `--on-stuck ${text}`, hint: "tell, or cancel" });
}

const TITLE_CHARS_MAX = 500;

export function titleOf(text: string): string {
  const line = neutraliseLine(text).trim();
  return line === "" ? "(empty)" : line.slice(0, TITLE_CHARS_MAX);
}

/** One task a row of items. */
export function planMap(
  options: MapOptions,
  command: readonly string[],
  rows: readonly (readonly string[])[],
  around: Surroundings,
): RunSpecInput {
  const [program = ""] = command;
  if (options.shell !== true && command.length === 1 && /\s/.test(program)) {
    throw new CohortError("USAGE", {
      on: `the command is one word with spaces in it: ${program}`,
      hint: "write its words apart, or add --shell to have /bin/sh read it",
    });
  }
  const { mounts, cwd } = chooseMounts({
    workingDirectory: options.cwd ? around.workingDirectory : null,
    readOnly: options.in ?? [],
    writable: options.write ?? [],
    staged: options.staged ?? [],
  });
  const shared = present({
    env: chooseEnvironment(options.env ?? [], around.environment),
    cwd,
    mounts: [...mounts],
    network: networkOf(options.network),
    limits: present({
      memoryBytes: measured("--memory", options.memory, parseSize, "512MiB, 2G"),
      diskBytes: measured("--disk", options.disk, parseSize, "256MiB, 1G"),
      cpuPermille: measured("--cpu", options.cpu, parseCores, "0.5, 2"),
    }),
    timeoutMs: measured("--timeout", options.timeout, parseDuration, "30s, 5m"),
    stuckAfterMs: measured("--stuck-after", options.stuckAfter, parseDuration, "30s, 5m"),
    silentAfterMs: measured("--silent-after", options.silentAfter, parseDuration, "30s, 5m"),
    onStuck: onStuckOf(options.onStuck),
    retries: count("--retries", options.retries, 100),
    idempotent: options.idempotent,
  });
  const tasks = rows.map((items, at): TaskInput => ({
    ...shared,
    title: titleOf(items.join(" ")),
    command: options.shell === true ? ["/bin/sh", "-c", fillShellLine(command, items, at + 1)] : [...fillCommand(command, items, at + 1)],
  }));
  return {
    ...present({
      jobs: options.jobs === undefined ? undefined : parseJobs(options.jobs, around.cores),
      deadlineMs: measured("--deadline", options.deadline, parseDuration, "10m, 2h"),
    }),
    title: titleOf(
      options.title ?? command.map((word) => (options.shell === true ? word : shellQuote(word).replace(/^'(\{[^']*\})'$/, "$1"))).join(" "),
    ),
    halt: parseHalt(options.halt ?? "never", rows.length),
    tasks,
  };
}
