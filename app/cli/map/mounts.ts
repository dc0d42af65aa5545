/** Which directories a task of `cohort map` sees: looks at the file system, changes nothing. */
import { realpathSync } from "node:fs";
import path from "node:path";
import { CohortError } from "../../../runtime/kernel/error.ts";

export interface MountRequest {
  /** Null: the working directory is not mounted. */
  readonly workingDirectory: string | null;
  /** `DIR` or `DIR:NAME`. */
  readonly readOnly: readonly string[];
  readonly writable: readonly string[];
  readonly staged?: readonly string[];
}

export interface NamedMount {
  readonly path: string;
  /** It appears as ~/mnt/<as>. */
  readonly as: string;
  readonly mode: "ro" | "staged" | "rw";
}

export interface MountChoice {
  readonly mounts: readonly NamedMount[];
  /** Relative to the home of the task. */
  readonly cwd: string | undefined;
}

const NAME = /^(?!\.\.?$)[^/\0]{1,127}$/;

/** The path that a person wrote, without symbolic links: the warden follows none. */
export function realDirectory(written: string, base: string, onProblem: (reason: string) => never): string {
  if (written === "") return onProblem("the path is empty");
  const absolute = path.resolve(base, written.startsWith("~/") ? path.join(process.env["HOME"] ?? "~", written.slice(2)) : written);
  try {
    return realpathSync(absolute);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    return onProblem(
      code === "ENOENT"
        ? `${absolute} does not exist`
        : code === "EACCES"
          ? `${absolute} cannot be reached: permission denied`
          : `${absolute}: ${code}`,
    );
  }
}

function requested(option: string, mode: NamedMount["mode"], request: string, base: string): NamedMount {
  const colon = request.lastIndexOf(":");
  const named = colon > 0 && NAME.test(request.slice(colon + 1));
  const written = named ? request.slice(0, colon) : request;
  const refuse = (reason: string): never => {
    throw new CohortError("USAGE", { on: `${option} ${request}: ${reason}`, hint: "DIR or DIR:NAME; it appears as ~/mnt/NAME" });
  };
  const source = realDirectory(written, base, refuse);
  const as = named ? request.slice(colon + 1) : path.basename(path.resolve(base, written));
  if (!NAME.test(as)) refuse("it needs a name");
  return { path: source, as, mode };
}

/** Later requests for one name replace nothing: two different sources under one name are an error. */
export function chooseMounts(request: MountRequest): MountChoice {
  const base = request.workingDirectory ?? process.cwd();
  const wanted = [
    ...request.writable.map((one) => requested("--write", "rw", one, base)),
    ...(request.staged ?? []).map((one) => requested("--staged", "staged", one, base)),
    ...request.readOnly.map((one) => requested("--in", "ro", one, base)),
  ];
  let cwd: string | undefined;
  if (request.workingDirectory !== null) {
    const own = realpathSync(request.workingDirectory);
    const chosen = wanted.find((mount) => mount.path === own);
    if (chosen === undefined && !NAME.test(path.basename(own))) {
      throw new CohortError("USAGE", {
        on: `the working directory ${own} cannot be mounted by default`,
        hint: "go into a directory, or use --no-cwd with --in DIR:NAME",
      });
    }
    const mount = chosen ?? { path: own, as: path.basename(own), mode: "ro" as const };
    if (chosen === undefined) wanted.push(mount);
    cwd = `mnt/${mount.as}`;
  }
  const names = new Map<string, string>();
  for (const mount of wanted) {
    const other = names.get(mount.as);
    if (other !== undefined) {
      throw new CohortError("USAGE", {
        on: `~/mnt/${mount.as} is wanted twice: for ${other} and ${mount.path}`,
        hint: "give one of them another name: DIR:NAME",
      });
    }
    names.set(mount.as, mount.path);
  }
  return { mounts: wanted, cwd };
}
