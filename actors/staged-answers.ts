/** Entries of a staged diff and of an apply's report, as clients see them. Pure. */
import { PROTECTED_NAMES } from "../runtime/kernel/protected-names.ts";
import type { AppliedEntry, DiffEntry, GrantApplied } from "../machines/messages/grant.ts";
import type { ApplyReason, ApplyReport } from "../vm/apply-process.ts";
import type { StagedEntry } from "../vm/staged-archive.ts";

/** Of those that were not applied. */
const REST_MAX = 1000;
/** As many as a diff shows. */
const PLANNED_MAX = 5000;
const protectedNames = new Set(PROTECTED_NAMES);

const reasonTexts: Readonly<Record<ApplyReason, string>> = {
  "-": "",
  protected: "a protected name: accept it by name to apply it",
  "not-applicable": "only files, directories and links are applied",
  "link-escapes": "the link leads out of the directory",
  parent: "the directory that it stands in was not applied",
  "not-empty": "the directory holds something that the child did not see",
  "changed-before": "the source changed after the child had taken it up",
  changed: "the source is not what the child changed any more",
  unwritable: "it may not be written",
  kept: "something in the directory was not applied",
};

export function isProtectedPath(path: string): boolean {
  // ASCII only, as the C program compares.
  return path.split("/").some((name) => protectedNames.has(name.replace(/[A-Z]/g, (letter) => letter.toLowerCase())));
}

/** At this path, or in it. */
export function isBelow(path: string, above: string): boolean {
  const trimmed = above.replace(/^\.?\/+|\/+$/g, "");
  return trimmed === "" || path === trimmed || path.startsWith(`${trimmed}/`);
}

function typeOf({ record, before }: StagedEntry): DiffEntry["type"] {
  switch (record) {
    case "file":
    case "directory":
    case "symlink":
      return record;
    case "mode":
      return "file";
    case "deleted":
      return before.kind === "absent" ? "other" : before.kind;
    case "refused":
      return "other";
    default:
      return record satisfies never;
  }
}

const octal = (mode: number): string => mode.toString(8).padStart(4, "0");

function detailOf({ record, before, mode, link, refusal, moved }: StagedEntry): string {
  if (record === "refused") return refusal;
  if (record === "symlink") return `leads to ${link}`;
  const parts: string[] = [];
  const replaced = record !== "deleted" && before.kind !== "absent" && before.kind !== (record === "mode" ? "file" : record);
  if (replaced) parts.push(`replaces a ${before.kind}`);
  else if (record !== "deleted" && before.kind !== "absent" && before.mode !== mode)
    parts.push(`mode ${octal(before.mode)} to ${octal(mode)}`);
  if (moved) parts.push("came with a renamed directory");
  return parts.join("; ");
}

export function diffEntry(entry: StagedEntry, waived: boolean): DiffEntry {
  const { path, record, before, sizeBytes } = entry;
  const change = record === "deleted" ? "deleted" : before.kind === "absent" ? "added" : "modified";
  return {
    path,
    change,
    type: typeOf(entry),
    bytes: record === "deleted" || record === "mode" ? before.sizeBytes : sizeBytes,
    conflict: entry.conflict && !waived,
    isProtected: isProtectedPath(path),
    detail: detailOf(entry),
  };
}

function outcomeOf(entry: StagedEntry, report: ApplyReport): AppliedEntry | null {
  const { status, reason } = report.entries.get(entry.number) ?? { status: "failed", reason: "-" };
  const detail = entry.refusal === "" ? reasonTexts[reason] : entry.refusal;
  switch (status) {
    case "applied":
    case "held":
    case "planned":
    case "unselected":
      return null;
    case "refused":
      return { path: entry.path, outcome: reason === "protected" ? "protected" : "refused", detail };
    case "conflict":
    case "failed":
      return { path: entry.path, outcome: status, detail };
    default:
      return status satisfies never;
  }
}

export function appliedOf(grant: string, entries: readonly StagedEntry[], report: ApplyReport): GrantApplied {
  const rest = entries.flatMap((entry) => outcomeOf(entry, report) ?? []);
  const statuses = [...report.entries.values()];
  const count = (wanted: string): number => statuses.filter(({ status }) => status === wanted).length;
  const planned = entries.flatMap(({ number, path }) => (report.entries.get(number)?.status === "planned" ? [path] : []));
  return { grant, applied: count("applied"), held: count("held"), rest: rest.slice(0, REST_MAX), planned: planned.slice(0, PLANNED_MAX) };
}
