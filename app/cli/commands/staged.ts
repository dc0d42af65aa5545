/** `cohort diff`, `apply`, `discard` and `undo`: what children changed, and whether it counts. */
import type { AppliedEntry, DiffEntry, GrantApplied, GrantDiff, GrantSummary } from "../../../machines/messages/grant.ts";
import { CohortError } from "../../../runtime/kernel/error.ts";
import type { Cohort } from "../../../sdk/index.ts";
import { writeNow } from "../report.ts";
import { findRun, withCohort } from "../session.ts";
import { describeTerminal } from "../terminal.ts";
import { formatSize } from "../text/measure.ts";
import { jsonLine, neutraliseLine, neutraliseText } from "../text/neutralise.ts";
import type { Style } from "../view/style.ts";
import type { JsonOption } from "./machine.ts";

export interface DiffOptions extends JsonOption {
  readonly patch?: boolean;
}

export interface ApplyOptions extends JsonOption {
  readonly only?: readonly string[];
  readonly acceptProtected?: readonly string[];
  readonly dryRun?: boolean;
}

const LISTED_MAX = 1000;
const GRANT = /^(g[1-9]\d*|[a-z][a-z0-9-]*\.[1-9]\d?)$/;

function countsOf(entries: readonly DiffEntry[]): string {
  const count = (change: DiffEntry["change"]): number => entries.filter((entry) => entry.change === change).length;
  const words = (["added", "modified", "deleted"] as const).map((change) => [count(change), change] as const);
  return (
    words
      .filter(([number]) => number > 0)
      .map(([number, change]) => `${number} ${change}`)
      .join(", ") || "nothing changed"
  );
}

function entryLine(entry: DiffEntry, style: Style): string {
  const sign = { added: style.green("+"), modified: style.yellow("~"), deleted: style.red("-") }[entry.change];
  const size = entry.type === "directory" || entry.change === "deleted" ? "" : formatSize(entry.bytes);
  const marks = [
    ...(entry.detail === "" ? [] : [neutraliseLine(entry.detail)]),
    ...(entry.isProtected ? [style.yellow("protected")] : []),
    ...(entry.conflict ? [style.red("conflict: it changed underneath")] : []),
  ];
  const path = `${neutraliseLine(entry.path)}${entry.type === "directory" ? "/" : ""}`;
  return `  ${sign} ${size.padStart(9)}  ${path}${marks.length === 0 ? "" : `  (${marks.join("; ")})`}`;
}

function diffText(diff: GrantDiff, style: Style): string {
  const { entries } = diff;
  const isProtected = entries.filter((entry) => entry.isProtected).length;
  const conflicts = entries.filter((entry) => entry.conflict).length;
  const notes = [
    ...(diff.isIncomplete
      ? [`  ${style.red("it is not all of it")}: there is more than a diff can hold, so none of it can be applied`]
      : []),
    ...(diff.entriesMore > 0 ? [`  … and ${diff.entriesMore} more`] : []),
    ...(isProtected > 0
      ? [`  ${isProtected} protected: applied only with --accept-protected NAME, as programs of yours read such files`]
      : []),
    ...(conflicts > 0 ? [`  ${conflicts} changed here, too: nothing is applied before that is settled, or left out with --only`] : []),
  ];
  const head = `${style.bold(diff.grant)}  ${neutraliseLine(diff.path)}: ${countsOf(entries)}`;
  const patch = diff.patch === "" ? [] : [neutraliseText(diff.patch.trimEnd())];
  return `${[head, ...entries.map((entry) => entryLine(entry, style)), ...notes, ...patch].join("\n")}\n`;
}

/** A grant's id as it is; else a run, of which every staged grant is meant. */
async function stagedOf(cohort: Cohort, written: string): Promise<readonly string[]> {
  if (GRANT.test(written)) return [written];
  const { run } = await findRun(cohort, written);
  const grants = await cohort.grants.list({ run, ended: true, limit: LISTED_MAX });
  const staged = grants.filter((grant) => grant.staged === "live" || grant.staged === "held").toReversed();
  if (staged.length === 0)
    throw new CohortError("GRANT_UNKNOWN", { on: `run ${written} holds no staged changes`, hint: "cohort grants --all lists its grants" });
  return staged.map(({ grant }) => grant);
}

export function diffCommand(written: string, options: DiffOptions): Promise<number> {
  return withCohort(async (cohort) => {
    const style = describeTerminal(process.env).stdoutStyle;
    for (const [at, grant] of (await stagedOf(cohort, written)).entries()) {
      const diff = await cohort.grants.diff(grant, { patch: options.patch === true });
      writeNow(1, options.json === true ? jsonLine(diff) : `${at === 0 ? "" : "\n"}${diffText(diff, style)}`);
    }
    return 0;
  });
}

function restLines(rest: readonly AppliedEntry[], style: Style): string {
  return rest
    .map(
      ({ path, outcome, detail }) =>
        `  ${style.red("✗")} ${neutraliseLine(path)}: ${outcome}${detail === "" ? "" : `: ${neutraliseLine(detail)}`}\n`,
    )
    .join("");
}

const changes = (count: number): string => (count === 1 ? "1 change" : `${count} changes`);

/** `applied`: with what it says of the place. */
function reportApplied({ grant, applied, held, rest }: GrantApplied, verb: string, where: string): number {
  const style = describeTerminal(process.env).stderrStyle;
  const done = applied === 0 && rest.length > 0 ? "nothing" : changes(applied);
  const heldBack = held > 0 ? `, and ${changes(held)} held back by ${rest.length === 1 ? "it" : "them"}` : "";
  const left = rest.length === 0 ? "" : `; ${changes(rest.length)} left out${heldBack}:`;
  writeNow(2, `cohort: ${grant}: ${done} ${verb} ${where}${left}\n${restLines(rest, style)}`);
  return statusOf(rest);
}

const statusOf = (rest: readonly AppliedEntry[]): number => (rest.length === 0 ? 0 : 1);

/** What apply would do, decided by what decides it then; nothing is written. */
async function dryRun(cohort: Cohort, grant: string, asked: Asked, json: boolean): Promise<number> {
  const diff = await cohort.grants.diff(grant);
  const checked = await cohort.grants.apply(grant, { ...asked(diff.path), check: true });
  const planned = new Set(checked.planned);
  const wouldApply = diff.entries.filter(({ path }) => planned.has(path));
  if (json) {
    writeNow(1, jsonLine({ grant, dryRun: true, wouldApply, held: checked.held, rest: checked.rest }));
    return statusOf(checked.rest);
  }
  const style = describeTerminal(process.env).stdoutStyle;
  writeNow(1, wouldApply.map((entry) => `${entryLine(entry, style)}\n`).join(""));
  const more = checked.planned.length - wouldApply.length;
  if (more > 0) writeNow(1, `  … and ${more} more\n`);
  return reportApplied(
    { ...checked, applied: checked.planned.length },
    "would be applied to",
    `${neutraliseLine(diff.path)} (nothing was written)`,
  );
}

type Asked = (source: string) => { accept?: string[]; only?: string[] };

/** `--only` may name a path as it stands in the diff, or where it would be written. */
function askedOf({ acceptProtected, only }: ApplyOptions): Asked {
  return (source) => ({
    ...(acceptProtected === undefined ? {} : { accept: [...acceptProtected] }),
    ...(only === undefined ? {} : { only: only.map((one) => (one.startsWith(`${source}/`) ? one.slice(source.length + 1) : one)) }),
  });
}

/** 0 all of it · 1 something was not applied, or would not be. */
export function applyCommand(written: string, options: ApplyOptions): Promise<number> {
  return withCohort(async (cohort) => {
    let status = 0;
    const asked = askedOf(options);
    for (const grant of await stagedOf(cohort, written)) {
      if (options.dryRun === true) {
        status = Math.max(status, await dryRun(cohort, grant, asked, options.json === true));
        continue;
      }
      // Not looked at anew: of a child that lives what was shown last is applied, and nothing that it did since.
      const source = (await grantOf(cohort, grant))?.path ?? "";
      const path = neutraliseLine(source);
      if (options.json !== true) writeNow(2, `cohort: ${grant}: writing to ${path}, as you, what cohort diff showed\n`);
      const applied = await cohort.grants.apply(grant, asked(source));
      if (options.json === true) writeNow(1, jsonLine(applied));
      status = Math.max(status, options.json === true ? statusOf(applied.rest) : reportApplied(applied, "applied to", path));
    }
    return status;
  });
}

async function grantOf(cohort: Cohort, id: string): Promise<GrantSummary | undefined> {
  return (await cohort.grants.list({ ended: true, limit: LISTED_MAX })).find(({ grant }) => grant === id);
}

export function discardCommand(grant: string, options: JsonOption): Promise<number> {
  return withCohort(async (cohort) => {
    if (options.json !== true) {
      const { entries, entriesMore, path } = await cohort.grants.diff(grant);
      const living = (await grantOf(cohort, grant))?.state === "active" ? ", and the directory is taken back" : "";
      const changes = entriesMore > 0 ? `${entries.length + entriesMore} changes` : countsOf(entries);
      writeNow(2, `cohort: ${grant}: throwing away what the child changed (${changes})${living}; ${neutraliseLine(path)} stays as it is\n`);
    }
    const discarded = await cohort.grants.discard(grant);
    if (options.json === true) writeNow(1, jsonLine(discarded));
    else writeNow(2, `cohort: ${grant}: discarded\n`);
    return 0;
  });
}

/** 0 all of it · 1 something could not be brought back. */
export function undoCommand(grant: string, options: JsonOption): Promise<number> {
  return withCohort(async (cohort) => {
    const path = neutraliseLine((await grantOf(cohort, grant))?.path ?? "its directory");
    if (options.json !== true) writeNow(2, `cohort: ${grant}: bringing back what stood in ${path} before; what was added stays\n`);
    const undone = await cohort.grants.undo(grant);
    if (options.json !== true) return reportApplied(undone, "brought back in", path);
    writeNow(1, jsonLine(undone));
    return statusOf(undone.rest);
  });
}
