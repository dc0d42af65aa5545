/**
 * One directory per audited package, with exactly its closure in the places where it is installed. A child has at most 16 mounts and some
 * closures have sixty packages, so they are assembled of hard links (a second name for the same file: no bytes, no time) and mounted as one.
 */
import { copyFileSync, linkSync, lstatSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { InstalledPackage } from "./installed-packages.ts";

function place(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    // Another file system, or a file of somebody else: then the bytes have to be copied.
    if (!(error instanceof Error && "code" in error && (error.code === "EXDEV" || error.code === "EPERM" || error.code === "EMLINK")))
      throw error;
    copyFileSync(from, to);
  }
}

function linkTree(from: string, to: string): void {
  mkdirSync(to, { recursive: true, mode: 0o755 });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    // Nested packages come on their own, if the closure has them. Symbolic links are left out: they could lead anywhere.
    if (entry.name === "node_modules") continue;
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) linkTree(source, target);
    else if (entry.isFile() && lstatSync(source).nlink < 60_000) place(source, target);
  }
}

export function assemble(root: string, closure: readonly InstalledPackage[], directory: string): void {
  for (const { path } of closure) linkTree(join(root, path), join(directory, path));
}
