/** `cohort learn`: runs a command with as little as possible, or reads what a run said, and proposes the least profile as a task file. */
import { lstatSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import type { TaskResult } from "../../../machines/messages/result.ts";
import type { RunSpecInput } from "../../../machines/messages/task.ts";
import type { Run } from "../../../sdk/index.ts";
import { CohortError } from "../../../runtime/kernel/error.ts";
import { namedPaths } from "../learn/evidence.ts";
import { Interrupts } from "../follow/interrupts.ts";
import { profileOf, type Profile } from "../learn/profile.ts";
import { chooseMounts, type MountChoice } from "../map/mounts.ts";
import { writeNow } from "../report.ts";
import { findRun, splitTarget, withCohort } from "../session.ts";
import { neutraliseLine } from "../text/neutralise.ts";
import { refusalText } from "../view/refusals.ts";
import { resultsByNow } from "./list.ts";

export interface LearnOptions {
  /** commander's name of --no-cwd. */
  readonly cwd: boolean;
}

const OUTPUT_BYTES_MAX = 4 * 1024 ** 2;

interface Learned {
  readonly title: string;
  /** Null: a run does not tell it. */
  readonly command: readonly string[] | null;
  readonly results: readonly TaskResult[];
  readonly profile: Profile;
  readonly choice: MountChoice;
}

function look(file: string): "file" | "directory" | null {
  try {
    const status = lstatSync(file);
    return status.isDirectory() ? "directory" : status.isFile() ? "file" : null;
  } catch (error) {
    if (error instanceof Error && "code" in error) return null;
    throw error;
  }
}

/** The beginning of what it wrote; paths of the child's own mounts as they are on this machine. */
async function outputOf(run: Run, { index, attempt, child }: TaskResult, choice: MountChoice): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const item of run.logs(index, { attempt })) {
    parts.push(Buffer.from(item.bytes));
    bytes += item.bytes.length;
    if (bytes >= OUTPUT_BYTES_MAX) break;
  }
  let text = Buffer.concat(parts).toString();
  for (const mount of choice.mounts) text = text.replaceAll(`/sessions/${child}/mnt/${mount.as}`, mount.path);
  return text;
}

/** YAML that a task file's reader accepts: JSON strings are YAML strings. */
function taskFile({ title, command, results, profile, choice }: Learned): string {
  const staged = profile.mounts.filter(({ mode }) => mode === "staged");
  const own = choice.mounts.map(({ path: source, as, mode }) => ({
    path: source,
    as,
    mode: staged.some((one) => one.path === source || one.path.startsWith(`${source}/`)) ? "staged" : mode,
  }));
  const further = profile.mounts.filter(({ path: one }) => !own.some((mount) => one === mount.path || one.startsWith(`${mount.path}/`)));
  const mounts = [...own, ...further.map((one) => ({ path: one.path, as: path.basename(one.path), mode: one.mode }))];
  const names = new Map<string, number>();
  const lines = mounts.map((mount) => {
    const used = names.get(mount.as) ?? 0;
    names.set(mount.as, used + 1);
    const as = used === 0 ? mount.as : `${mount.as}-${used + 1}`;
    return `      - { path: ${JSON.stringify(mount.path)}, as: ${JSON.stringify(as)}, mode: ${mount.mode} }`;
  });
  const denied = results.flatMap((result) => result.denied.map(refusalText));
  const text = [
    "# Proposed from what the command named. In the task each path stands at ~/mnt/<as>: where the command names it otherwise, change that.",
    ...profile.withheld.map((one) => `# not proposed (${one.why}): ${neutraliseLine(one.path)}`),
    ...(denied.length === 0 ? [] : ["# refused system calls, which no mount allows:", ...denied.map((line) => `#   ${line}`)]),
    "tasks:",
    `  - title: ${JSON.stringify(title)}`,
    ...(command === null ? ["    # the run does not tell its command: put it here"] : []),
    `    command: ${JSON.stringify(command ?? ["true"])}`,
    ...(choice.cwd === undefined ? [] : [`    cwd: ${JSON.stringify(choice.cwd)}`]),
    ...(lines.length === 0 ? [] : ["    mounts:", ...lines]),
  ];
  return `${text.join("\n")}\n`;
}

async function learnedFrom(run: Run, title: string, command: readonly string[] | null, choice: MountChoice): Promise<Learned> {
  const results: TaskResult[] = [];
  let output = "";
  for await (const result of resultsByNow(run)) {
    results.push(result);
    output += `\n${await outputOf(run, result, choice)}`;
    if (output.length > OUTPUT_BYTES_MAX) break;
  }
  const profile = profileOf(namedPaths(command ?? [], output), { home: homedir(), look });
  return { title, command, results, profile, choice };
}

/** One word without `--` that names a run is a run. */
export async function learnCommand(words: readonly string[], options: LearnOptions, isCommand: boolean): Promise<number> {
  const interrupts = new Interrupts((text) => writeNow(2, `cohort: ${text}\n`));
  try {
    return await learnInterruptibly(words, options, isCommand ? interrupts : null);
  } catch (error) {
    // Ctrl-C on a terminal reaches the starting cohortd, too: that it did not start is then no news.
    if (interrupts.exitStatus !== null) return interrupts.exitStatus;
    throw error;
  } finally {
    interrupts.close();
  }
}

/** Null: nothing is run. */
function learnInterruptibly(words: readonly string[], options: LearnOptions, interrupts: Interrupts | null): Promise<number> {
  const [first] = words;
  if (first === undefined)
    throw new CohortError("USAGE", { on: "nothing to learn from", hint: "cohort learn -- COMMAND, or cohort learn RUN" });
  return withCohort(async (cohort) => {
    if (interrupts === null) {
      const summary = await findRun(cohort, splitTarget(first).run);
      const nothing: MountChoice = { mounts: [], cwd: undefined };
      writeNow(1, taskFile(await learnedFrom(cohort.attach(summary.run), summary.title, null, nothing)));
      return 0;
    }
    const choice = chooseMounts({ workingDirectory: options.cwd ? process.cwd() : null, readOnly: [], writable: [] });
    const title = words.join(" ").slice(0, 200);
    const task = { title, command: [...words], mounts: [...choice.mounts], ...(choice.cwd === undefined ? {} : { cwd: choice.cwd }) };
    const spec: RunSpecInput = { title: `learn: ${title}`, tasks: [task] };
    const run = await cohort.run(spec);
    interrupts.attach(run);
    await run.finished();
    if (interrupts.exitStatus !== null) {
      writeNow(
        2,
        `cohort: it was cancelled, and nothing of it runs any more; cohort learn ${run.id.slice(0, 8)} proposes from what it wrote\n`,
      );
      return interrupts.exitStatus;
    }
    const learned = await learnedFrom(run, title, words, choice);
    const [result] = learned.results;
    writeNow(2, `cohort: it ended as ${result?.status ?? "unknown"}; cohort logs ${run.id.slice(0, 8)}/0 shows what it wrote\n`);
    writeNow(1, taskFile(learned));
    return 0;
  });
}
