// Runs in the child: looks at a package without running it, then has a fresh Node load it, and prints one line of JSON (PackageReport in report.ts).
// Plain JavaScript: to strip types takes Node three times as long as to start, and it starts twice for each package.
import { spawn } from "node:child_process";
import { closeSync, lstatSync, openSync, readFileSync, readSync, readdirSync } from "node:fs";
import { join, resolve as resolvePath } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const [, , relative = "", path = "", name = ""] = process.argv;
const packages = resolvePath(relative);
const directory = join(packages, path);
const LOAD_TIMEOUT_MS = 40_000;
const LAST_WORDS_MS = 20;
/** The report has to fit into the preview that a result carries. */
const NOTE_BYTES_MAX = 800;
const NATIVE_LISTED_MAX = 8;
/** First bytes of ELF, WebAssembly, PE and Mach-O files. */
const MACHINE_CODE = ["7f454c46", "0061736d", "4d5a9000", "cffaedfe", "cafebabe"];

/** @returns {Generator<string>} */
function* filesOf(from, below = "") {
  for (const entry of readdirSync(join(from, below), { withFileTypes: true })) {
    const at = join(below, entry.name);
    if (entry.isDirectory() && entry.name !== "node_modules") yield* filesOf(from, at);
    else if (entry.isFile()) yield at;
  }
}

function isMachineCode(file) {
  const head = Buffer.alloc(4);
  const descriptor = openSync(file, "r");
  readSync(descriptor, head, 0, 4, 0);
  closeSync(descriptor);
  return MACHINE_CODE.includes(head.toString("hex"));
}

/** The loader answers on descriptor 3; what the package prints is kept apart. */
async function load() {
  const loader = spawn(
    process.execPath,
    ["--experimental-import-meta-resolve", join(import.meta.dirname, "load.mjs"), packages, name, path],
    {
      stdio: ["ignore", "pipe", "ignore", "pipe"],
      timeout: LOAD_TIMEOUT_MS,
      killSignal: "SIGKILL",
    },
  );
  let [note, printed] = ["", ""];
  loader.stdio[3].on("data", (bytes) => (note = `${note}${bytes}`.slice(0, NOTE_BYTES_MAX)));
  loader.stdout.on("data", (bytes) => (printed = `${printed}${bytes}`.slice(0, NOTE_BYTES_MAX)));
  const ended = await new Promise((resolve, reject) => {
    loader.once("error", reject);
    loader.once("exit", (code, signal) => resolve(signal ?? `exit ${code}`));
  });
  // Not until the pipes close: what the package left running may hold them for ever.
  await sleep(LAST_WORDS_MS);
  const line = note.split("\n")[0];
  if (line === "") return { loads: `no: ${ended}`, loadMs: null, memoryBytes: null, printed };
  return { ...JSON.parse(line), printed };
}

const manifest = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
const files = [...filesOf(directory)];
const report = {
  name,
  version: manifest.version ?? "0.0.0",
  sizeBytes: files.reduce((sum, file) => sum + lstatSync(join(directory, file)).size, 0),
  files: files.length,
  licence: typeof manifest.license === "string" ? manifest.license : (manifest.license?.type ?? "none stated"),
  installScripts: ["preinstall", "install", "postinstall"].filter((script) => manifest.scripts?.[script] !== undefined),
  native: files.filter((file) => isMachineCode(join(directory, file))).slice(0, NATIVE_LISTED_MAX),
};
process.stdout.write(`${JSON.stringify({ ...report, ...(await load()) })}\n`);
// What the package left running must not keep the task alive: the end of the sandbox ends it.
process.exit(0);
