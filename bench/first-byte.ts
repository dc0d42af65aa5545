/** Times a program from the call that starts it to the first byte of its output, then waits for its end. */
import { spawn } from "node:child_process";

const TIMEOUT_MS = 20_000;

export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

/** Milliseconds. Rejects when it printed nothing or failed: a peer that does not work must not count as fast. */
export async function firstByteMs(program: Program, startedAt = performance.now()): Promise<number> {
  const child = spawn(program.command, program.args, {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: TIMEOUT_MS,
    killSignal: "SIGKILL",
    ...(program.env === undefined ? {} : { env: program.env }),
    ...(program.cwd === undefined ? {} : { cwd: program.cwd }),
  });
  let firstAt = Number.NaN;
  let errors = "";
  child.stdout.on("data", () => {
    if (Number.isNaN(firstAt)) firstAt = performance.now();
  });
  child.stderr.on("data", (bytes: Buffer) => (errors = `${errors}${bytes.toString()}`.slice(-2000)));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code !== 0 || Number.isNaN(firstAt)) throw new Error(`${program.command} ended with ${String(code)}: ${errors}`);
  return firstAt - startedAt;
}
