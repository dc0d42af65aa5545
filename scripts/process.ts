/** Starts the programs that the scripts of this folder are made of: inherits the terminal, passes signals on, answers the exit status as a shell would. */
import { spawn, type SpawnOptions } from "node:child_process";
import { constants } from "node:os";

const PASSED_ON = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Waits without a deadline of its own: the person (or the CI) at the terminal is the deadline, and their signals are passed on. */
export async function runProgram(command: string, args: readonly string[], options: SpawnOptions = {}): Promise<number> {
  const child = spawn(command, args, { stdio: "inherit", ...options });
  const passOn = (signal: NodeJS.Signals): void => {
    child.kill(signal);
  };
  for (const signal of PASSED_ON) process.on(signal, passOn);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => {
        resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
      });
    });
  } finally {
    for (const signal of PASSED_ON) process.off(signal, passOn);
  }
}
