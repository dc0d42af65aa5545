/** Owns a build of the warden's root half with a driver in the codec's place, and the wardens started from it. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { absentLayersLinkFlags, absentLayersSource } from "./absent-layers.ts";

const run = promisify(execFile);
const COMPILE_TIMEOUT_MS = 120_000;
const RUN_TIMEOUT_MS = 50_000;
const END_TIMEOUT_MS = 10_000;
const sources = join(import.meta.dirname, "../../vm/warden");

type Environment = Readonly<Record<string, string>>;

export interface Finished {
  readonly status: number | null;
  readonly output: string;
}

export class RootHalf {
  /** Root's alone to change, as the warden demands of its socket's directory. */
  readonly directory = mkdtempSync(join(tmpdir(), "root-half-"));
  readonly #objects = new Map<string, string>();
  readonly #flags = [`@${join(sources, "cflags.txt")}`, `-I${sources}`];
  readonly #started: ReturnType<typeof spawn>[] = [];
  #runs = 0;

  async build(): Promise<void> {
    mkdirSync(join(this.directory, "objects"));
    const files = readFileSync(join(import.meta.dirname, "root-half-files.txt"), "utf8")
      .trim()
      .split(/\s+/u);
    const paths = [...files.map((file) => join(sources, file)), join(import.meta.dirname, "root-half-driver.c"), absentLayersSource];
    for (const path of paths) this.#objects.set(basename(path), await this.#compile(path, "objects"));
    await this.#link("driver", this.#objects);
  }

  /** A warden in which one piece of source was replaced: what the truth check must notice. Answers the program's name. */
  async mutate(file: string, original: string, replacement: string): Promise<string> {
    const text = readFileSync(join(sources, file), "utf8");
    if (!text.includes(original)) throw new Error(`${file} no longer contains: ${original}`);
    const name = `mutant-${(this.#runs += 1)}`;
    mkdirSync(join(this.directory, name));
    const path = join(this.directory, name, file);
    writeFileSync(path, text.replace(original, replacement));
    await this.#link(`${name}/driver`, new Map(this.#objects).set(file, await this.#compile(path, name)));
    return `${name}/driver`;
  }

  async #compile(path: string, folder: string): Promise<string> {
    const object = join(this.directory, folder, `${basename(path, ".c")}.o`);
    // A mutant may leave a function unused.
    await run(process.env["CC"] ?? "cc", [...this.#flags, "-Wno-error", "-w", "-c", path, "-o", object], { timeout: COMPILE_TIMEOUT_MS });
    return object;
  }

  async #link(name: string, objects: ReadonlyMap<string, string>): Promise<void> {
    const output = join(this.directory, name);
    const words = [...this.#flags, ...objects.values(), ...absentLayersLinkFlags(), "-o", output];
    await run(process.env["CC"] ?? "cc", words, { timeout: COMPILE_TIMEOUT_MS });
  }

  arguments(socket = `socket-${(this.#runs += 1)}`): readonly string[] {
    const uidFile = join(this.directory, "uids", "next");
    return ["--user", "1000", "--gid", "1000", "--socket", join(this.directory, socket), "--uid-file", uidFile, "--foreground"];
  }

  start(
    scenario: string,
    options: { readonly mount?: string; readonly program?: string; readonly socket?: string; readonly env?: Environment } = {},
  ): ReturnType<typeof spawn> {
    const env = { ...options.env, COHORT_DRIVER: scenario, COHORT_DRIVER_MOUNT: options.mount ?? "" };
    const warden = spawn(join(this.directory, options.program ?? "driver"), [...this.arguments(options.socket)], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#started.push(warden);
    return warden;
  }

  /** After each test, however it went: a driver that still runs is ended, and sweeps what it made; one that does not listen is killed. */
  async endAll(): Promise<void> {
    const living = this.#started.splice(0).filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
    await Promise.all(
      living.map(async (warden) => {
        const closed = once(warden, "close");
        warden.kill("SIGTERM");
        const timer = setTimeout(() => warden.kill("SIGKILL"), END_TIMEOUT_MS);
        await closed;
        clearTimeout(timer);
      }),
    );
  }

  async run(
    scenario: string,
    options: { readonly mount?: string; readonly program?: string; readonly env?: Environment } = {},
  ): Promise<Finished> {
    const warden = this.start(scenario, options);
    let output = "";
    warden.stdout?.on("data", (chunk: Buffer) => (output += chunk.toString()));
    warden.stderr?.on("data", (chunk: Buffer) => (output += chunk.toString()));
    try {
      await once(warden, "close", { signal: AbortSignal.timeout(RUN_TIMEOUT_MS) });
    } finally {
      warden.kill("SIGTERM");
    }
    return { status: warden.exitCode, output };
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
