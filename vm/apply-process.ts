/**
 * Runs cohort-apply (vm/apply), as this process's user, and reads what it reports. Owns one call at a time, nothing between calls.
 *
 * 1. What was begun is finished or taken back: after a failed call, `recover` answers how it went.
 * 2. Names never cross: entries are numbers of the archive.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
import { CohortError } from "../runtime/kernel/error.ts";
import { applyBinaryPath, buildApply } from "./apply-binary.ts";

/** 100,000 files on a slow disk. */
const APPLY_DEADLINE_MS = 10 * 60_000;
/** A line for each of 200,000 entries. */
const REPORT_BYTES_MAX = 16 * 1024 * 1024;
const ERRORS_CHARS_MAX = 2000;

const statuses = ["planned", "applied", "held", "unselected", "refused", "conflict", "failed"] as const;
const reasons = [
  "-",
  "protected",
  "not-applicable",
  "link-escapes",
  "parent",
  "not-empty",
  "changed-before",
  "changed",
  "unwritable",
  "kept",
] as const;
const results = [
  "applied",
  "partly",
  "conflict",
  "checked",
  "nothing",
  "incomplete",
  "target-gone",
  "none",
  "rolled-back",
  "copied",
  "too-large",
  "compared",
  "broken",
] as const;

export type ApplyStatus = (typeof statuses)[number];
export type ApplyReason = (typeof reasons)[number];
export type ApplyResult = (typeof results)[number];

export interface ApplyReport {
  readonly result: ApplyResult;
  /** By number of the entry. */
  readonly entries: ReadonlyMap<number, { readonly status: ApplyStatus; readonly reason: ApplyReason }>;
  /** Of a copy: files and directories that could not be read. */
  readonly skipped: number;
}

export interface ApplyRequest {
  /** Absolute, without symbolic links. */
  readonly target: string;
  readonly archive: string;
  /** Absolute; its directory exists. It stays until `forget`. */
  readonly journal: string;
  /** Protected names that are applied all the same. */
  readonly accept: readonly string[];
  /** Numbers of entries; null: all. */
  readonly only: readonly number[] | null;
  /** Entries whose mark of a conflict is known to come from an earlier apply. */
  readonly waive: readonly number[];
  /** all-or-nothing: nothing is applied while anything conflicts. */
  readonly conflicts: "all-or-nothing" | "skip";
  readonly check: boolean;
}

/** Where the program stands; tests run one that ends itself. */
export interface ApplyProgram {
  readonly path: string;
  readonly env?: Readonly<Record<string, string>>;
}

export async function installedApply(): Promise<ApplyProgram> {
  const path = applyBinaryPath();
  return { path: existsSync(path) ? path : await buildApply() };
}

/** Rejects with APPLY_FAILED; then ask `recoverApply`. */
export async function runApply(program: ApplyProgram, request: ApplyRequest): Promise<ApplyReport> {
  const { target, archive, journal, accept, only, waive, conflicts, check } = request;
  const args = ["apply", "--target", target, "--journal", journal, ...accept.flatMap((name) => ["--accept", name])];
  if (conflicts === "skip") args.push("--partial");
  if (check) args.push("--check");
  if (only !== null) args.push("--selected");
  const lines = [...(only ?? []).map((number) => `only ${number}\n`), ...waive.map((number) => `waive ${number}\n`)];
  return withFile(archive, "r", (descriptor) => run(program, args, lines.join(""), descriptor));
}

/** Finishes or takes back what an earlier call began. `none`: there was nothing. Rejects with APPLY_FAILED. */
export function recoverApply(program: ApplyProgram, journal: string): Promise<ApplyReport> {
  return run(program, ["recover", "--journal", journal], "", "ignore");
}

export interface CopyRequest {
  readonly target: string;
  /** The directory of the copy. */
  readonly copy: string;
  readonly bytesMax: number;
  readonly filesMax: number;
}

function copyArgs(command: string, { target, copy, bytesMax, filesMax }: CopyRequest): readonly string[] {
  return [command, "--target", target, "--copy", copy, "--bytes", String(bytesMax), "--files", String(filesMax)];
}

/** `copied` or `too-large`; then what was copied is for the caller to remove. */
export function runCopy(program: ApplyProgram, request: CopyRequest): Promise<ApplyReport> {
  return run(program, copyArgs("copy", request), "", "ignore");
}

/** Writes how the target differs from its copy, as an archive whose application restores it. */
export function runCompare(program: ApplyProgram, request: CopyRequest & { readonly archive: string }): Promise<ApplyReport> {
  return withFile(request.archive, "w", (descriptor) => run(program, copyArgs("compare", request), "", descriptor));
}

async function withFile(path: string, flags: "r" | "w", use: (descriptor: number) => Promise<ApplyReport>): Promise<ApplyReport> {
  const file = await open(path, flags, 0o600);
  try {
    const report = await use(file.fd);
    if (flags === "w") await file.sync();
    return report;
  } finally {
    await file.close();
  }
}

function run(program: ApplyProgram, args: readonly string[], input: string, archive: number | "ignore"): Promise<ApplyReport> {
  return new Promise((resolve, reject) => {
    const child = spawn(program.path, args, {
      stdio: ["pipe", "pipe", "pipe", archive],
      env: { ...program.env },
      cwd: "/",
      detached: true,
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), APPLY_DEADLINE_MS);
    let output = "";
    let errors = "";
    child.stdout?.setEncoding("latin1").on("data", (text: string) => {
      output += text;
      if (output.length > REPORT_BYTES_MAX) child.kill("SIGKILL");
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (errors = (errors + text).slice(0, ERRORS_CHARS_MAX)));
    child.on("error", (cause) => {
      clearTimeout(timer);
      reject(new CohortError("APPLY_FAILED", { on: "cohort-apply cannot be started", cause }));
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (code !== 0)
        return reject(new CohortError("APPLY_FAILED", { on: errors.trim() || `it ended with ${signal ?? code ?? "nothing"}` }));
      try {
        resolve(readReport(output));
      } catch (error) {
        reject(error instanceof Error ? error : new CohortError("APPLY_FAILED", { cause: error }));
      }
    });
    // It may end before it reads: that is told by its status.
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);
  });
}

function memberOf<T extends string>(words: readonly T[], word: string | undefined): T {
  const found = words.find((known) => known === word);
  if (found === undefined) throw new CohortError("APPLY_FAILED", { on: `cohort-apply reports ${JSON.stringify(word)}` });
  return found;
}

function readReport(output: string): ApplyReport {
  const entries = new Map<number, { readonly status: ApplyStatus; readonly reason: ApplyReason }>();
  let result: ApplyResult | null = null;
  let skipped = 0;
  for (const line of output.split("\n")) {
    const [what, first, second, third] = line.split(" ");
    if (what === "entry") entries.set(Number(first), { status: memberOf(statuses, second), reason: memberOf(reasons, third) });
    else if (what === "skipped") skipped = Number(first);
    else if (what === "result") result = memberOf(results, first);
  }
  if (result === null) throw new CohortError("APPLY_FAILED", { on: "cohort-apply did not say how it went" });
  return { result, entries, skipped };
}
