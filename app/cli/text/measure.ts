/** Pure: sizes, durations and core counts as people write them, both ways. */

const SIZE = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(i?b)?$/i;
const POWERS: Readonly<Record<string, number>> = { "": 0, k: 1, m: 2, g: 3, t: 4 };

/** `4096`, `512MiB`, `1.5G` (as MiB, GiB), `100MB` (decimal). Null when it is none of these. */
export function parseSize(text: string): number | null {
  const match = SIZE.exec(text.trim());
  if (match === null) return null;
  const [, digits = "", letter = "", suffix = ""] = match;
  const base = letter !== "" && suffix.toLowerCase() === "b" ? 1000 : 1024;
  const bytes = Number(digits) * base ** (POWERS[letter.toLowerCase()] ?? 0);
  if (letter === "" && (suffix.toLowerCase() === "ib" || digits.includes("."))) return null;
  return Math.round(bytes);
}

const DURATION =
  /^(?:(\d+(?:\.\d+)?)\s*d)?\s*(?:(\d+(?:\.\d+)?)\s*h)?\s*(?:(\d+(?:\.\d+)?)\s*m(?:in)?)?\s*(?:(\d+(?:\.\d+)?)\s*s)?\s*(?:(\d+(?:\.\d+)?)\s*ms)?$/i;

/** Milliseconds of `30` (seconds), `30s`, `500ms`, `2m`, `1h30m`, `1d`. Null when it is none of these. */
export function parseDuration(text: string): number | null {
  const trimmed = text.trim();
  if (/^\d+(\.\d+)?$/.test(trimmed)) return Math.round(Number(trimmed) * 1000);
  const match = trimmed === "" ? null : DURATION.exec(trimmed);
  if (match === null) return null;
  const [, days = "0", hours = "0", minutes = "0", seconds = "0", milliseconds = "0"] = match;
  return Math.round(
    Number(days) * 86_400_000 + Number(hours) * 3_600_000 + Number(minutes) * 60_000 + Number(seconds) * 1000 + Number(milliseconds),
  );
}

/** Thousandths of a core of `2`, `0.5`, `2 cores`. Null when it is none of these. */
export function parseCores(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*(?:cores?)?$/i.exec(text.trim());
  return match === null ? null : Math.round(Number(match[1]) * 1000);
}

export function formatSize(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? ""}`;
}

/** A length that somebody chose: `30m`, `1h`, `1h30m`. */
export function formatSpan(durationMs: number): string {
  return formatDuration(durationMs)
    .replace(/([mhd])00[smh]$/, "$1")
    .replace(/\.0s$/, "s");
}

/** `45ms`, `0.4s`, `12.3s`, `2m05s`, `1h02m`, `3d04h`. */
export function formatDuration(durationMs: number): string {
  const ms = Math.max(0, durationMs);
  if (ms < 99.5) return `${Math.round(ms)}ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)}s`;
  const two = (value: number): string => String(value).padStart(2, "0");
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${two(seconds % 60)}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)}h${two(minutes % 60)}m`;
  const hours = Math.floor(minutes / 60);
  return `${Math.floor(hours / 24)}d${two(hours % 24)}h`;
}
