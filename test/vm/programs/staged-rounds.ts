/**
 * Runs in a mount namespace of its own: for each round an overlay over BASE/N/lower, random changes in its merged view, and what stands there
 * afterwards as BASE/N/merged.json, the archive of the diff as BASE/N/archive. Arguments: base, driver, rounds, seed.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, closeSync, linkSync, lstatSync, mkdirSync, openSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { directory, file, pathsIn, readTree, symlink, writeTree, type Tree } from "../staged-tree.ts";

const [base = "", driver = "", rounds = "0", seed = "1"] = process.argv.slice(2);
let state = Number(seed) >>> 0 || 1;

function random(below: number): number {
  state ^= state << 13;
  state >>>= 0;
  state ^= state >>> 17;
  state ^= state << 5;
  state >>>= 0;
  return state % below;
}

function pick<T>(list: readonly T[]): T {
  const found = list[random(list.length)];
  if (found === undefined) throw new Error("nothing to pick from");
  return found;
}

const NAMES = ["a", "b", "c", "d"];

function fill(tree: Record<string, Tree[string]>, prefix: string, depth: number): void {
  for (const name of NAMES) {
    const path = prefix + name;
    const what = random(8);
    if (what < 3) tree[path] = file(`lower ${path} ${random(3)}`, pick([0o644, 0o755]));
    else if (what === 3) tree[path] = symlink(pick(["a", "b", "../c"]));
    else if (what < 7 && depth < 3) {
      tree[path] = directory(pick([0o755, 0o700]));
      fill(tree, `${path}/`, depth + 1);
    }
  }
}

/** Any name, there or not. */
function somewhere(root: string): string {
  const directories = ["", ...pathsIn(root).filter((path) => lstatSync(join(root, path)).isDirectory())];
  return join(root, pick(directories), pick(NAMES));
}

function change(root: string): void {
  const existing = pathsIn(root).map((path) => join(root, path));
  const path = existing.length > 0 && random(3) > 0 ? pick(existing) : somewhere(root);
  switch (random(9)) {
    case 0:
      return writeFileSync(path, `upper ${random(5)}`);
    case 1:
      return rmSync(path, { recursive: true });
    case 2:
    case 3:
      return renameSync(path, somewhere(root));
    case 4:
      return mkdirSync(path);
    case 5:
      return symlinkSync(pick(["a", "b"]), path);
    case 6:
      return lstatSync(path).isSymbolicLink() ? undefined : chmodSync(path, pick([0o644, 0o755, 0o700]) | 0o100);
    case 7:
      return linkSync(path, somewhere(root));
    default:
      rmSync(path, { recursive: true });
      return mkdirSync(path);
  }
}

for (let round = 0; round < Number(rounds); round += 1) {
  const here = join(base, String(round));
  const lower = join(here, "lower");
  mkdirSync(lower, { recursive: true });
  const tree: Record<string, Tree[string]> = {};
  fill(tree, "", 0);
  writeTree(lower, tree);
  const layers = join(here, "layers");
  mkdirSync(layers);
  execFileSync("mount", ["-t", "tmpfs", "tmpfs", layers]);
  for (const name of ["upper", "work", "merged"]) mkdirSync(join(layers, name));
  const options = `lowerdir=${lower},upperdir=${layers}/upper,workdir=${layers}/work,redirect_dir=on`;
  execFileSync("mount", ["-t", "overlay", "overlay", "-o", options, join(layers, "merged")]);
  const merged = join(layers, "merged");
  for (let count = random(14); count >= 0; count -= 1) {
    try {
      change(merged);
    } catch (error) {
      // A change that the kernel refuses is none.
      if (!(error instanceof Error) || !("syscall" in error)) throw error;
    }
  }
  writeFileSync(join(here, "merged.json"), JSON.stringify(readTree(merged)));
  const archive = openSync(join(here, "archive"), "w");
  execFileSync(driver, [merged, join(layers, "upper"), lower, "1000000", "10000"], { stdio: ["ignore", archive, "inherit"] });
  closeSync(archive);
  execFileSync("umount", [merged]);
  execFileSync("umount", [layers]);
}
