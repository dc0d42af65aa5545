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

function reportApplied(applied: GrantApplied, verb: string, where: string, json: boolean): number {
  const style = describeTerminal(process.env).stderrStyle;
  if (json) writeNow(1, jsonLine(applied));
  else {
    const held = applied.held > 0 ? `, ${applied.held} held back with them` : "";
    const left = applied.rest.length === 0 ? "" : `, ${applied.rest.length} not${held}:`;
    writeNow(2, `cohort: ${applied.grant}: ${applied.applied} ${verb} ${where}${left}\n${restLines(applied.rest, style)}`);
  }
  return applied.rest.length === 0 ? 0 : 1;
}

const isChosen = (path: string, only: readonly string[]): boolean =>
  only.length === 0 || only.some((one) => path === one || path.startsWith(`${one.replace(/\/+$/, "")}/`));

/** What apply would do, from the diff: it writes nothing. */
function dryRun(diff: GrantDiff, options: ApplyOptions): number {
  const accepted = options.acceptProtected ?? [];
  const chosen = diff.entries.filter(({ path }) => isChosen(path, options.only ?? []));
  const isHeldBack = (entry: DiffEntry): boolean => entry.isProtected && !entry.path.split("/").some((part) => accepted.includes(part));
  const conflicts = chosen.filter((entry) => entry.conflict && !isHeldBack(entry));
  const applied = conflicts.length > 0 ? [] : chosen.filter((entry) => !isHeldBack(entry));
  if (options.json === true) {
    const heldBack = chosen.filter(isHeldBack);
    writeNow(1, jsonLine({ grant: diff.grant, dryRun: true, wouldApply: applied, conflicts, protected: heldBack }));
    return 0;
  }
  const style = describeTerminal(process.env).stdoutStyle;
  const shown = conflicts.length > 0 ? conflicts : applied;
  writeNow(1, shown.map((entry) => `${entryLine(entry, style)}\n`).join(""));
  writeNow(
    2,
    conflicts.length > 0
      ? `cohort: ${diff.grant}: nothing would be applied: ${conflicts.length} changed here, too\n`
      : `cohort: ${diff.grant}: ${countsOf(applied)} would be applied to ${neutraliseLine(diff.path)}; nothing was written\n`,
  );
  return 0;
}

/** 0 all of it · 1 something was not applied. */
export function applyCommand(written: string, options: ApplyOptions): Promise<number> {
  return withCohort(async (cohort) => {
    let status = 0;
    for (const grant of await stagedOf(cohort, written)) {
      if (options.dryRun === true) {
        status = Math.max(status, dryRun(await cohort.grants.diff(grant), options));
        continue;
      }
      // Not looked at anew: of a child that lives what was shown last is applied, and nothing that it did since.
      const path = neutraliseLine((await grantOf(cohort, grant))?.path ?? "");
      if (options.json !== true) writeNow(2, `cohort: ${grant}: writing to ${path}, as you, what cohort diff showed\n`);
      const applied = await cohort.grants.apply(grant, {
        ...(options.acceptProtected === undefined ? {} : { accept: [...options.acceptProtected] }),
        ...(options.only === undefined ? {} : { only: [...options.only] }),
      });
      status = Math.max(status, reportApplied(applied, "applied to", path, options.json === true));
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
    return reportApplied(await cohort.grants.undo(grant), "brought back in", path, options.json === true);
  });
}
