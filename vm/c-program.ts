/**
 * Owns build/: the C programs of Cohort, and that each was compiled from the sources that stand here.
 * Does not own starting them.
 *
 * 1. A binary is replaced by rename: whoever executes it sees an old one or a new one, whole.
 * 2. It is compiled again exactly when a source, a header, the flags or the compiler's name changed.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { CohortError } from "../runtime/kernel/error.ts";

const COMPILE_TIMEOUT_MS = 300_000;
const COMPILER_OUTPUT_BYTES_MAX = 4 * 1024 * 1024;
/** Enough to see the first error. */
const COMPILER_OUTPUT_SHOWN = 2000;

export interface CProgram {
  /** Below build/. */
  readonly binary: string;
  /** Below the package's root; every .c of it is compiled, with the flags of vm/warden/cflags.txt. */
  readonly directory: string;
  /** Of vm/warden: sources that it shares with the warden, and the headers that they need. */
  readonly shared: readonly string[];
  readonly flags?: readonly string[];
}

/** The package's root: this file stands in vm/, or bundled in dist/. */
function packageRoot(): string {
  for (let directory = import.meta.dirname; ; directory = dirname(directory)) {
    if (existsSync(join(directory, "vm/warden/cflags.txt"))) return directory;
    if (directory === dirname(directory))
      throw new CohortError("WARDEN_BUILD", { on: "vm/warden is missing", hint: "install Cohort again" });
  }
}

/** Where buildProgram puts it; it may not exist yet. */
export function programPath({ binary }: CProgram): string {
  return join(packageRoot(), "build", binary);
}

/** Compiles the program unless it is up to date, and answers its path. Throws WARDEN_BUILD: no compiler, no static libc, or broken sources. */
export async function buildProgram(program: CProgram): Promise<string> {
  const root = packageRoot();
  const sources = join(root, program.directory);
  const binary = programPath(program);
  const stamp = `${binary}.sources`;
  const compiler = process.env["CC"] ?? "cc";
  const flags = readFileSync(join(root, "vm/warden/cflags.txt"), "utf8")
    .split(/\s+/)
    .filter((flag) => flag !== "")
    .concat(program.flags ?? []);
  const own = readdirSync(sources)
    .filter((file) => /\.[ch]$/.test(file))
    .sort();
  const files = [...own.map((file) => join(sources, file)), ...program.shared.map((file) => join(root, "vm/warden", file))];
  const hash = hashOf([compiler, ...flags], files);
  if (existsSync(binary) && existsSync(stamp) && readFileSync(stamp, "utf8") === hash) return binary;
  mkdirSync(dirname(binary), { recursive: true });
  const temporary = `${binary}.${process.pid}`;
  try {
    await compile(compiler, [...flags, "-o", temporary, ...files.filter((file) => file.endsWith(".c"))], sources);
    renameSync(temporary, binary);
    writeFileSync(`${stamp}.${process.pid}`, hash);
    renameSync(`${stamp}.${process.pid}`, stamp);
  } finally {
    rmSync(temporary, { force: true });
  }
  return binary;
}

function hashOf(words: readonly string[], files: readonly string[]): string {
  const hash = createHash("sha256").update(JSON.stringify(words));
  for (const file of files) hash.update(`\0${file}\0`).update(readFileSync(file));
  return hash.digest("hex");
}

function compile(compiler: string, args: readonly string[], directory: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = { cwd: directory, timeout: COMPILE_TIMEOUT_MS, maxBuffer: COMPILER_OUTPUT_BYTES_MAX };
    execFile(compiler, args, options, (error, _stdout, stderr) => {
      if (error === null) return resolve();
      if ("code" in error && error.code === "ENOENT")
        return reject(new CohortError("WARDEN_BUILD", { on: `there is no ${compiler}`, cause: error }));
      const output = stderr.slice(0, COMPILER_OUTPUT_SHOWN) || error.message;
      // Without libc's headers or its static archive a person can help; an error in a source is ours.
      const missing = /cannot find -l|No such file or directory|unrecognized command-line option/.test(stderr);
      reject(
        new CohortError("WARDEN_BUILD", {
          on: output,
          cause: error,
          ...(missing ? {} : { hint: "report it with the compiler's version" }),
        }),
      );
    });
  });
}
