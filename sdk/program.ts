/**
 * Runs one step of the program cohortd (start, vm-up, vm-down, journal) as a process of its own and hears how it ended.
 *
 * A process of its own, because as root that step drops its privileges for good before it touches what belongs to the user: the caller's
 * process cannot, and need not.
 *
 * Owns the process until it ends or its deadline passes. The daemon and the warden that it leaves behind are not its children.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { CohortError } from "../runtime/kernel/error.ts";
import { errorFromRemote } from "../runtime/transport/remote-error.ts";
import type { Environment } from "./account.ts";

export type ProgramStep = "start" | "vm-up" | "vm-down" | "journal";

const NODE_MAJOR_MIN = 24;
const ERRORS_CHARS_MAX = 64 * 1024;
/** Pages of a journal come this way, too. */
const OUTPUT_CHARS_MAX = 64 * 1024 ** 2;
/** The step has deadlines of its own (20 s for the daemon, 10 s for the warden, 5 minutes for its first build); this one is for a step that hangs. */
const STEP_TIMEOUT_MS = 360_000;
/** What the step may know of our environment. */
const PASSED_PATHS = ["COHORT_HOME", "COHORT_WARDEN_SOCKET", "XDG_STATE_HOME"] as const;
const PASSED = [
  "COHORT_IDLE_EXIT_MS",
  "COHORT_LEASE_FREEZE_MS",
  "COHORT_LEASE_KILL_MS",
  "COHORT_RETENTION_DAYS",
  "COHORT_RETENTION_GIB",
  "SUDO_UID",
  "SUDO_GID",
  "HOME",
  "LANG",
  "TZ",
] as const;

/** Resolves with what the step answers. Rejects with its CohortError. */
export async function runProgram(step: ProgramStep, args: readonly string[], environment: Environment): Promise<unknown> {
  const child = spawn(nodeBinary(), ["--disable-warning=ExperimentalWarning", programFile(), step, ...args], {
    cwd: "/",
    env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ...passed(environment) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [output, errors] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output = (output + text).slice(-OUTPUT_CHARS_MAX)));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors = (errors + text).slice(-ERRORS_CHARS_MAX)));
  const ended = await new Promise<string>((settle, reject) => {
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(
        new CohortError("DAEMON_UNREACHABLE", {
          on: `starting took more than ${STEP_TIMEOUT_MS} ms`,
          hint: "see cohortd.log in the state directory",
        }),
      );
    }, STEP_TIMEOUT_MS);
    child.once("error", (error) => {
      clearTimeout(timer);
      reject(new CohortError("DAEMON_UNREACHABLE", { on: error.message, cause: error }));
    });
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      settle(signal ?? `exit status ${String(code)}`);
    });
  });
  const answer = parseAnswer(output);
  if (answer === null) throw new CohortError("DAEMON_UNREACHABLE", { on: `${step} ended with ${ended}: ${errors.trim().slice(-2000)}` });
  if (answer.error !== undefined) throw errorFromRemote(answer.error);
  return answer.answer;
}

interface StepAnswer {
  readonly answer?: unknown;
  readonly error?: { readonly code: string; readonly message: string; readonly hint: string };
}

/** The last line of the step's output, if it is the JSON that each step ends with. */
function parseAnswer(output: string): StepAnswer | null {
  const line = output.trim().split("\n").at(-1) ?? "";
  if (!line.startsWith("{")) return null;
  try {
    return JSON.parse(line) as StepAnswer;
  } catch {
    return null; // A torn line is no answer: the caller reports the exit status and stderr.
  }
}

function passed(environment: Environment): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of PASSED) {
    const value = environment[name];
    if (value !== undefined) kept[name] = value;
  }
  // The step runs in /, so a relative path would mean another place there.
  for (const name of PASSED_PATHS) {
    const value = environment[name];
    if (value !== undefined && value !== "") kept[name] = resolve(value);
  }
  return kept;
}

/** From source the program is source too; a bundle has it beside itself. */
function programFile(): string {
  const here = fileURLToPath(import.meta.url);
  const folder = dirname(here);
  const candidates = here.endsWith(".ts")
    ? [join(folder, "../app/daemon/main.ts")]
    : ["cohortd.js", "../cohortd.js", "../dist/cohortd.js"].map((path) => join(folder, path));
  const found = candidates.find((path) => existsSync(path));
  if (found === undefined)
    throw new CohortError("DAEMON_UNREACHABLE", {
      on: `the program is not installed: ${candidates.join(", ")}`,
      hint: "install Cohort again",
    });
  return found;
}

/** This process's Node if it is new enough, else the one that comes with Cohort. */
function nodeBinary(): string {
  if (Number(process.versions.node.split(".")[0]) >= NODE_MAJOR_MIN) return process.execPath;
  try {
    const manifest = createRequire(import.meta.url).resolve(`node-linux-${process.arch}/package.json`);
    return join(dirname(manifest), "bin", "node");
  } catch (cause) {
    throw new CohortError("DAEMON_UNREACHABLE", {
      on: `Node ${process.versions.node} is too old`,
      hint: "install Node 24 or later",
      cause,
    });
  }
}
