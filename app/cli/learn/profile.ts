/** Pure but for the look that it is given: from paths that a command named to the least that it should be shown. */
import path from "node:path";
import type { NamedPath } from "./evidence.ts";

export interface LearnedMount {
  readonly path: string;
  readonly mode: "ro" | "staged";
}

export interface Profile {
  readonly mounts: readonly LearnedMount[];
  /** With why they are not proposed. */
  readonly withheld: readonly { readonly path: string; readonly why: "secret" | "system" | "too much" }[];
}

export interface Machine {
  readonly home: string;
  /** What stands there on this machine, for the person who asks. */
  look(path: string): "file" | "directory" | null;
}

const MOUNTS_MAX = 16;
/** So many neighbours are shown as the directory that they lie in. */
const NEIGHBOURS_MAX = 3;
const SECRETS =
  /(?:^|\/)(?:\.ssh|\.aws|\.gnupg|\.kube|\.docker|\.azure|\.config\/(?:gh|gcloud|cohort)|\.local\/(?:share|state)\/(?:cohort|keyrings)|\.password-store|\.mozilla|\.netrc|\.npmrc|\.pypirc|\.git-credentials|\.vault-token|\.env(?:\.[^/]*)?|id_(?:rsa|dsa|ecdsa|ed25519)[^/]*|[^/]*\.(?:pem|key|p12|pfx|kdbx)|[^/]*(?:secret|credential|token)[^/]*)(?:\/|$)/iu;
const SYSTEM = /^\/(?:usr|bin|sbin|lib\d*|etc|proc|sys|dev|run|boot|var|sessions)(?:\/|$)/u;

function isWithin(inner: string, outer: string): boolean {
  return inner === outer || inner.startsWith(outer === "/" ? "/" : `${outer}/`);
}

/** A directory where it lies; the file itself where that would be the home directory, or more. */
function placeOf(file: string, kind: "file" | "directory", home: string): string {
  if (kind === "directory") return file;
  const directory = path.dirname(file);
  return isWithin(home, directory) ? file : directory;
}

function withoutNested(mounts: readonly LearnedMount[]): LearnedMount[] {
  const kept: LearnedMount[] = [];
  for (const mount of mounts.toSorted((one, other) => one.path.length - other.path.length)) {
    const outer = kept.findIndex((one) => isWithin(mount.path, one.path));
    const found = kept[outer];
    if (found === undefined) kept.push(mount);
    else if (mount.mode === "staged") kept[outer] = { ...found, mode: "staged" };
  }
  return kept;
}

function withNeighboursTogether(mounts: readonly LearnedMount[], home: string): LearnedMount[] {
  const parents = Map.groupBy(mounts, ({ path: one }) => path.dirname(one));
  return [...parents].flatMap(([parent, children]) =>
    children.length > NEIGHBOURS_MAX && !isWithin(home, parent) && path.dirname(parent) !== "/"
      ? [{ path: parent, mode: children.some(({ mode }) => mode === "staged") ? ("staged" as const) : ("ro" as const) }]
      : children,
  );
}

export function profileOf(named: readonly NamedPath[], machine: Machine): Profile {
  const mounts: LearnedMount[] = [];
  const withheld: Profile["withheld"][number][] = [];
  for (const { path: written, access } of named) {
    const file = path.normalize(written).replace(/(?<=.)\/+$/u, "");
    const kind = machine.look(file);
    if (kind === null) continue;
    const place = placeOf(file, kind, machine.home);
    if (SECRETS.test(file)) withheld.push({ path: file, why: "secret" });
    else if (SYSTEM.test(file)) withheld.push({ path: file, why: "system" });
    else if (isWithin(machine.home, place)) withheld.push({ path: place, why: "too much" });
    else mounts.push({ path: place, mode: access === "write" ? "staged" : "ro" });
  }
  const together = withoutNested(withNeighboursTogether(withoutNested(mounts), machine.home));
  return { mounts: together.toSorted((one, other) => (one.path < other.path ? -1 : 1)).slice(0, MOUNTS_MAX), withheld };
}
