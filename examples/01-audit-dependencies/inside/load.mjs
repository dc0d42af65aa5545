// Runs in the child, in a Node of its own: loads one package as its users would and writes how that went to descriptor 3.
import { writeSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [, , packages = "", name = "", path = ""] = process.argv;
/** A file that would stand beside the package, so that Node resolves the name from there. */
const beside = join(packages, path.slice(0, path.lastIndexOf("node_modules")), "audit.mjs");
const NO_ENTRY = new Set(["ERR_MODULE_NOT_FOUND", "MODULE_NOT_FOUND", "ERR_PACKAGE_PATH_NOT_EXPORTED", "ERR_UNSUPPORTED_DIR_IMPORT"]);

function codeOf(error) {
  return typeof error?.code === "string" ? error.code : "";
}

/** The package itself has no entry, as opposed to a dependency that it misses. */
function isMissingEntry(error) {
  const text = error instanceof Error ? error.message : "";
  const own = [`'${name}'`, `/${name}/`, `/${name}'`, 'No "exports" main'];
  return NO_ENTRY.has(codeOf(error)) && own.some((part) => text.includes(part));
}

function answer(loads, figures) {
  writeSync(3, `${JSON.stringify({ loads, loadMs: figures?.loadMs ?? null, memoryBytes: figures?.memoryBytes ?? null })}\n`);
}

/** As an ES module would import it; what can only be required is loaded that way. */
function resolveEntry() {
  try {
    return import.meta.resolve(name, pathToFileURL(beside));
  } catch (error) {
    if (!isMissingEntry(error)) throw error;
    return pathToFileURL(createRequire(beside).resolve(name)).href;
  }
}

const before = process.memoryUsage.rss();
const startedAt = performance.now();
try {
  await import(resolveEntry());
  answer("yes", {
    loadMs: Math.round((performance.now() - startedAt) * 10) / 10,
    memoryBytes: Math.max(0, process.memoryUsage.rss() - before),
  });
} catch (error) {
  const first = (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";
  answer(isMissingEntry(error) ? "nothing to load" : `no: ${codeOf(error)} ${first}`.slice(0, 200), null);
}
process.exit(0);
