/** The audit as a table for a person, and as JSON for a program. Whatever came from a package is shown as plain characters only. */
import type { Audit } from "./audit-run.ts";
import type { TaskResult } from "../../sdk/index.ts";
import { parseLoot, parseReport, type Loot, type PackageReport } from "./report.ts";

export interface AuditRow {
  readonly name: string;
  readonly version: string;
  readonly path: string;
  readonly visiblePackages: number;
  readonly status: string;
  readonly wallMs: number;
  readonly report: PackageReport | null;
  /** What its child was refused: `2 × socket(AF_INET, SOCK_STREAM) by node`. */
  readonly tried: readonly string[];
}

export interface AuditReport {
  readonly packages: readonly AuditRow[];
  readonly planted: { readonly status: string; readonly tried: readonly string[]; readonly loot: Loot | null; readonly callsHome: number };
  readonly wallMs: number;
}

export function auditReport(audit: Audit): AuditReport {
  const packages = audit.audited.map(({ installed, visible, result }) => ({
    name: installed.name,
    version: installed.version,
    path: installed.path,
    visiblePackages: visible,
    status: result.status,
    wallMs: result.wallMs,
    report: result.status === "succeeded" ? parseReport(result.stdout.preview) : null,
    tried: triedBy(result),
  }));
  const printed = parseReport(audit.planted.stdout.preview)?.printed ?? audit.planted.stdout.preview;
  return {
    packages,
    planted: { status: audit.planted.status, tried: triedBy(audit.planted), loot: parseLoot(printed), callsHome: audit.callsHome },
    wallMs: audit.wallMs,
  };
}

/** System calls only: what is not in a child's world is not there to be refused. */
function triedBy({ denied }: TaskResult): readonly string[] {
  return denied.map(({ program, call, detail, times }) => `${times} × ${call}(${detail})${program === "" ? "" : ` by ${program}`}`);
}

function plain(text: string): string {
  return text.replace(/×/g, "x").replace(/[^\x20-\x7e]/g, "?");
}

function megabytes(bytes: number | null): string {
  return bytes === null ? "" : `${(bytes / 1e6).toFixed(1)} MB`;
}

function cells(row: AuditRow): readonly string[] {
  const { report } = row;
  if (report === null) return [row.name, row.version, `no report: ${row.status}`, "", "", "", "", "", "", row.tried.join(", ")];
  return [
    row.name,
    row.version,
    report.loads,
    report.loadMs === null ? "" : `${Math.round(report.loadMs)} ms`,
    megabytes(report.memoryBytes),
    megabytes(report.sizeBytes),
    report.licence,
    report.installScripts.join(" "),
    report.native.length === 0 ? "" : `${report.native.length}`,
    row.tried.join(", "),
  ];
}

const HEAD = ["package", "version", "loads", "time", "memory", "size", "licence", "install scripts", "native", "tried"];
const RIGHT = new Set([3, 4, 5, 8]);
const CELL_CHARS_MAX = 44;

function drawTable(rows: readonly (readonly string[])[]): string {
  const shown = [HEAD, ...rows].map((row) => row.map((cell) => plain(cell).slice(0, CELL_CHARS_MAX)));
  const widths = HEAD.map((_, column) => Math.max(...shown.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (RIGHT.has(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join("  ")
      .trimEnd();
  const [head = [], ...body] = shown;
  return [line(head), widths.map((width) => "-".repeat(width)).join("  "), ...body.map(line)].join("\n");
}

function drawLoot(planted: AuditReport["planted"]): string {
  const { loot, callsHome } = planted;
  if (loot === null) return `  it did not live to tell (${planted.status}); ${callsHome} calls reached its home`;
  return [
    `  read ~/.ssh            ${loot.sshFiles} files`,
    `  read other secrets     ${loot.secretsRead}`,
    `  phone home             ${loot.connected || callsHome > 0 ? "CONNECTED" : "no connection"}, ${loot.namesResolved ? "NAMES RESOLVED" : "no name resolved"}, ${callsHome} calls arrived`,
    `  change its own files   ${loot.ownFilesChanged ? "CHANGED" : "refused"}`,
    `  fill the disk          ${megabytes(loot.bytesWritten)} of its own disposable disk, then no space`,
    `  fork without end       ${loot.processes} times, then refused`,
    `  of that, told by its sandbox: ${planted.tried.length === 0 ? "nothing" : plain(planted.tried.join(", "))}`,
  ].join("\n");
}

export function drawReport(report: AuditReport): string {
  const loaded = report.packages.filter((row) => row.report?.loads === "yes").length;
  const nothing = report.packages.filter((row) => row.report?.loads === "nothing to load").length;
  const scripts = report.packages.filter((row) => (row.report?.installScripts.length ?? 0) > 0).length;
  const native = report.packages.filter((row) => (row.report?.native.length ?? 0) > 0).length;
  return [
    drawTable(report.packages.map(cells)),
    "",
    `${report.packages.length} packages, each alone in a confined child, in ${(report.wallMs / 1000).toFixed(1)} s: ${loaded} load, ${nothing} have nothing to load, ` +
      `${report.packages.length - loaded - nothing} do not load; ${scripts} with install scripts, ${native} with machine code.`,
    "",
    "The planted hostile package, in the same run, with the same limits, tried and got:",
    drawLoot(report.planted),
  ].join("\n");
}
