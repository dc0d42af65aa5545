/** The program `cohort` as a process: owns one child process of this test, its output, and its end within a deadline. */
import { spawn, type ChildProcess } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

const main = new URL("../../app/cli/main.ts", import.meta.url).pathname;
export const cohortWords: readonly string[] = [process.execPath, "--disable-warning=ExperimentalWarning", main];

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface StartOptions {
  readonly home: string;
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** In place of cohort: the words that start it. */
  readonly words?: readonly string[];
}

const END_DEADLINE_MS = 60_000;

export class CohortProcess {
  stdout = "";
  stderr = "";
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;

  constructor(args: readonly string[], options: StartOptions) {
    const [program = "", ...rest] = [...(options.words ?? cohortWords), ...args];
    this.#child = spawn(program, rest, {
      cwd: options.cwd,
      env: { PATH: process.env["PATH"], HOME: options.home, LANG: "C.UTF-8", ...options.env, COHORT_HOME: options.home },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#child.stdout?.on("data", (bytes: Buffer) => (this.stdout += bytes.toString("latin1")));
    this.#child.stderr?.on("data", (bytes: Buffer) => (this.stderr += bytes.toString()));
    this.#child.stdin?.on("error", () => {});
    this.#child.stdin?.end(options.input ?? "");
    this.#ended = new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#child.kill("SIGKILL");
        reject(new Error(`cohort ${args.join(" ")} did not end\n${this.stdout}\n${this.stderr}`));
      }, END_DEADLINE_MS);
      this.#child.once("close", (status) => {
        clearTimeout(timer);
        resolve(status);
      });
    });
    this.#ended.catch(() => {});
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** What `cohort … | head` does. */
  stopReading(): void {
    this.#child.stdout?.destroy();
  }

  async ended(): Promise<Ended> {
    const status = await this.#ended;
    return { status, stdout: this.stdout, stderr: this.stderr };
  }
}

/** Processes of this machine whose command line has these words in a row. */
export function processesOf(words: readonly string[]): readonly number[] {
  const wanted = `${words.join("\0")}\0`;
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8") === wanted;
      } catch {
        return false; // It ended meanwhile.
      }
    });
}
