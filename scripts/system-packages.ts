/** Installs the Debian packages of scripts/debian-packages.txt that are missing: only as root, only with apt-get, only those for the asked use. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

export type PackageUse = "build" | "test" | "bench";

interface DebianPackage {
  readonly name: string;
  readonly use: PackageUse;
  /** A file that the package brings: its presence means that nothing is to be done, on any distribution. */
  readonly brings: string;
  readonly reason: string;
}

const LIST = join(import.meta.dirname, "debian-packages.txt");
const APT_TIMEOUT_MS = 300_000;

function readList(): DebianPackage[] {
  const lines = readFileSync(LIST, "utf8").split("\n");
  return lines.flatMap((line, index) => {
    if (line.trim() === "" || line.startsWith("#")) return [];
    const [name, use, brings, ...reason] = line.trim().split(/\s+/);
    if (name === undefined || brings === undefined || (use !== "build" && use !== "test" && use !== "bench")) {
      throw new Error(`${LIST}:${index + 1}: expected "package use file reason"`);
    }
    return [{ name, use, brings, reason: reason.join(" ") }];
  });
}

function isPresent(wanted: DebianPackage): boolean {
  return wanted.brings.split("|").some((path) => existsSync(path));
}

function apt(args: readonly string[]): boolean {
  const result = spawnSync("apt-get", args, {
    stdio: ["ignore", "ignore", "inherit"],
    timeout: APT_TIMEOUT_MS,
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  return result.status === 0;
}

/** Answers the packages that are still missing afterwards. What needs them says so itself: a test skips with its reason, a bench names the peer. */
export function ensureSystemPackages(uses: readonly PackageUse[]): readonly string[] {
  const missing = readList().filter((wanted) => uses.includes(wanted.use) && !isPresent(wanted));
  if (missing.length === 0) return [];
  const names = missing.map((wanted) => wanted.name);
  const wish = missing.map((wanted) => `${wanted.name} (${wanted.reason})`).join(", ");
  if (process.geteuid?.() !== 0 || !existsSync("/usr/bin/apt-get")) {
    console.error(`Missing: ${wish}. Install once, as root: apt-get install ${names.join(" ")}`);
    return names;
  }
  console.error(`Installing with apt-get: ${wish}`);
  const install = ["install", "-y", "-q", "--no-install-recommends", ...names];
  if (!apt(install) && !(apt(["update", "-q"]) && apt(install))) {
    console.error(`apt-get could not install them (see above). Install by hand: apt-get install ${names.join(" ")}`);
  }
  return missing.filter((wanted) => !isPresent(wanted)).map((wanted) => wanted.name);
}
