/** `npm run build`: bundles what starts often into dist/, writes the types of the SDK beside it, and compiles the warden. A call with nothing to do costs a few stat calls. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import type { BuildOptions } from "esbuild";
import { isCohortError } from "../runtime/kernel/error.ts";

const root = dirname(import.meta.dirname);
const dist = join(root, "dist");
const stampFile = join(dist, "build.json");
const types = join(dist, "types");
const TYPES_TIMEOUT_MS = 120_000;
/** Those of tsconfig.json that matter for declarations: with files on its command line tsc reads no configuration. */
const DECLARATION_OPTIONS = [
  "--target es2024 --lib es2024,esnext.disposable --module nodenext --types node --strict --exactOptionalPropertyTypes",
  "--rewriteRelativeImportExtensions --skipLibCheck",
].flatMap((line) => line.split(" "));

/** Modification time and size of each file that went into the bundles. */
type Stamp = Readonly<Record<string, readonly [number, number]>>;

interface Bundle {
  readonly entry: string;
  readonly output: string;
  /** Bundles of one family share their chunks, so what they have in common is there once: a class, say, of which each asks whether something is one. */
  readonly family: "cli" | "sdk" | "alone";
}

function bundles(): readonly Bundle[] {
  const workers = ["runtime", "vm"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith("-worker.ts"))
      .map((path) => join(folder, path)),
  );
  return [
    { entry: "app/cli/main.ts", output: "cohort", family: "cli" },
    { entry: "app/daemon/main.ts", output: "cohortd", family: "alone" },
    { entry: "sdk/index.ts", output: "sdk", family: "sdk" },
    { entry: "sdk/machines.ts", output: "machines", family: "sdk" },
    { entry: "sdk/actors.ts", output: "actors", family: "sdk" },
    { entry: "sdk/testing.ts", output: "testing", family: "sdk" },
    ...workers.map((path) => ({ entry: path, output: basename(path, ".ts"), family: "alone" as const })),
  ];
}

function stampOf(paths: Iterable<string>): Stamp {
  return Object.fromEntries(
    [...paths].map((path) => {
      const found = statSync(join(root, path), { throwIfNoEntry: false });
      return [path, [found?.mtimeMs ?? 0, found?.size ?? 0]] as const;
    }),
  );
}

function isUpToDate(wanted: readonly Bundle[]): boolean {
  if (
    !existsSync(stampFile) ||
    wanted.some(({ entry, family }) => family === "sdk" && !existsSync(join(types, entry.replace(/\.ts$/, ".d.ts")))) ||
    wanted.some(({ output }) => !existsSync(join(dist, `${output}.js`)))
  )
    return false;
  const before = JSON.parse(readFileSync(stampFile, "utf8")) as Stamp;
  return JSON.stringify(stampOf(Object.keys(before))) === JSON.stringify(before);
}

/** Chunks of the SDK lie beside its bundles, because what is in them looks for the journal's worker and for cohortd beside itself. */
const CHUNKS = { cli: "chunks/[name]-[hash]", sdk: "[name]-[hash]", alone: undefined } as const;

function optionsFor(wanted: readonly Bundle[], family: Bundle["family"]): BuildOptions & { write: false; metafile: true } {
  const chunkNames = CHUNKS[family];
  return {
    absWorkingDir: root,
    entryPoints: wanted.filter((bundle) => bundle.family === family).map(({ entry, output }) => ({ in: entry, out: output })),
    outdir: dist,
    bundle: true,
    write: false,
    metafile: true,
    splitting: chunkNames !== undefined,
    ...(chunkNames === undefined ? {} : { chunkNames }),
    platform: "node",
    target: "node24",
    format: "esm",
    sourcemap: "external",
    legalComments: "none",
    logLevel: "warning",
    // Native and optional; and a pool that starts a file of its own.
    external: ["msgpackr-extract", "piscina"],
    banner: { js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);' },
  };
}

/** Readers see the old file or the new one, whole: two builds may run at once. */
function replaceFile(path: string, bytes: Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, bytes);
  renameSync(temporary, path);
}

/** Answers the sources. For users of the SDK: their compiler need not accept ours. */
function declareTypes(entries: readonly string[]): readonly string[] {
  const emit = ["--declaration", "--emitDeclarationOnly", "--rootDir", root, "--outDir", types];
  const options = ["--ignoreConfig", ...emit, ...DECLARATION_OPTIONS];
  const tsc = spawnSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), ...options, ...entries], {
    cwd: root,
    encoding: "utf8",
    timeout: TYPES_TIMEOUT_MS,
  });
  if (tsc.status !== 0) throw new Error(`the types of the SDK could not be written: ${tsc.stdout}${tsc.stderr}`);
  return readdirSync(types, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".d.ts"))
    .map((path) => path.replace(/\.d\.ts$/, ".ts"));
}

async function bundle(wanted: readonly Bundle[]): Promise<void> {
  const { build } = await import("esbuild");
  // A daemon has no chunks: it would look for one after a rebuild, and find it gone.
  const families = ["cli", "sdk", "alone"] as const;
  const results = await Promise.all(families.map((family) => build(optionsFor(wanted, family))));
  const files = results.flatMap((result) => result.outputFiles);
  for (const file of files) replaceFile(file.path, file.contents);
  const kept = new Set(files.map((file) => relative(dist, file.path)));
  for (const path of readdirSync(dist, { recursive: true, encoding: "utf8" })) {
    if (/\.js(\.map)?$/.test(path) && !kept.has(path)) rmSync(join(dist, path), { force: true });
  }
  rmSync(types, { recursive: true, force: true });
  const inputs = new Set([
    "scripts/build.ts",
    "package-lock.json",
    ...declareTypes(wanted.filter(({ family }) => family === "sdk").map(({ entry }) => entry)),
    ...results.flatMap((result) => Object.keys(result.metafile.inputs)),
  ]);
  replaceFile(stampFile, Buffer.from(JSON.stringify(stampOf(inputs))));
}

async function main(): Promise<void> {
  process.umask(0o022);
  const wanted = bundles();
  if (!isUpToDate(wanted)) {
    const startedAt = performance.now();
    await bundle(wanted);
    console.error(`built ${wanted.map(({ output }) => `dist/${output}.js`).join(" ")} in ${Math.round(performance.now() - startedAt)} ms`);
  }
  const [{ buildWarden }, { buildApply }] = await Promise.all([import("../vm/warden-binary.ts"), import("../vm/apply-binary.ts")]);
  await buildWarden();
  await buildApply();
}

try {
  await main();
} catch (error) {
  if (!isCohortError(error)) throw error;
  console.error(`${error.code}: ${error.message}\n${error.hint}`);
  process.exitCode = 1;
}
