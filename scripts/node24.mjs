// Runs a script of this folder with the pinned Node 24, whichever node was on PATH. Must itself run on Node 18 and later: no TypeScript, no new API.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [script, ...args] = process.argv.slice(2);
const modules = join(root, "node_modules");

function stop(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

function pinnedNode() {
  const platformPackage = `node-linux-${process.arch}`;
  const binary = join(modules, platformPackage, "bin", "node");
  if (existsSync(binary)) return binary;
  stop(
    existsSync(modules)
      ? `Node ${process.versions.node} is too old, and ${platformPackage}, an optional dependency, is not installed. Run \`npm ci\` without --omit=optional on Linux x64 or arm64, or put Node 24 on PATH.`
      : "The dependencies are not installed. Run `npm ci` first.",
  );
}

if (script === undefined) stop("usage: node scripts/node24.mjs SCRIPT.ts [argument…]");
if (process.platform !== "linux") stop(`Cohort runs on Linux; this is ${process.platform}.`);
const path = resolve(root, script);
process.env.PATH = [
  join(modules, ".bin"),
  ...(process.env.PATH ?? "").split(delimiter).filter((entry) => entry !== join(modules, ".bin")),
].join(delimiter);

if (Number(process.versions.node.split(".")[0]) >= 24) {
  process.argv = [process.argv[0], path, ...args];
  await import(pathToFileURL(path).href);
} else {
  const result = spawnSync(pinnedNode(), [path, ...args], { stdio: "inherit" });
  if (result.error) stop(`Node 24 did not start: ${result.error.message}`);
  process.exit(result.status ?? 128 + (constants.signals[result.signal] ?? 0));
}
