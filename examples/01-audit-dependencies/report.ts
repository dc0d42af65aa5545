/** What the inspector in a child reports about one package: one line of JSON on its standard output. */

export interface PackageReport {
  readonly name: string;
  readonly version: string;
  /** yes, or why not; "nothing to load" for packages of types, binaries or data. */
  readonly loads: string;
  /** Wall time of the import in a fresh Node, and the growth of its resident memory; null when it did not load. */
  readonly loadMs: number | null;
  readonly memoryBytes: number | null;
  readonly sizeBytes: number;
  readonly files: number;
  readonly licence: string;
  readonly installScripts: readonly string[];
  /** Files of machine code; at most eight are listed. */
  readonly native: readonly string[];
  /** The beginning of what it printed while it was loaded. */
  readonly printed: string;
}

/** What the planted package says it got. */
export interface Loot {
  readonly sshFiles: number;
  readonly secretsRead: number;
  readonly connected: boolean;
  readonly namesResolved: boolean;
  readonly ownFilesChanged: boolean;
  readonly processes: number;
  readonly bytesWritten: number;
}

function isPackageReport(value: unknown): value is PackageReport {
  return typeof value === "object" && value !== null && "loads" in value && "sizeBytes" in value && "licence" in value;
}

function isLoot(value: unknown): value is Loot {
  return typeof value === "object" && value !== null && "sshFiles" in value && "bytesWritten" in value && "processes" in value;
}

/** Null when the child said something else. */
export function parseReport(stdout: string): PackageReport | null {
  const value = parseJson(stdout);
  return isPackageReport(value) ? value : null;
}

export function parseLoot(printed: string): Loot | null {
  const line = printed.split("\n").find((text) => text.startsWith("LOOT ")) ?? "";
  const value = parseJson(line.slice("LOOT ".length));
  return isLoot(value) ? value : null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // What a child prints is data; no report is one of its possible values.
  }
}
