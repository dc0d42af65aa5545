/**
 * Runs a command where the user that Cohort drops root to can read this checkout.
 * Started as root, cohortd becomes SUDO_UID or the user `cohort`, who cannot reach a checkout below /root or in a 0700 directory: then the checkout
 * is bind-mounted at /run/cohort-checkout.<hash>/<name> for as long as the command runs.
 *
 * Owns: that directory, the mounts in it and users/<pid> beside it. Does not own: the checkout; it changes no mode in it.
 * 1. Nothing is mounted unless the kernel says, asked as that user, that the checkout cannot be read.
 * 2. Entering and leaving hold a lock; the last one that leaves unmounts. What a killed one left is used, then removed, by the next.
 * 3. Nothing is deleted below a mount: files go only when no mount is left in the directory.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, delimiter, dirname, join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { runProgram } from "./process.ts";

const root = dirname(import.meta.dirname);
const place = `/run/cohort-checkout.${createHash("sha256").update(root).digest("hex").slice(0, 8)}`;
const target = join(place, basename(root));
const users = join(place, "users");
const STEP_TIMEOUT_MS = 20_000;
/** Written while the command runs, so they must be in the checkout and not in the directory of mounts. */
const WRITTEN = ["dist", "build"];

function succeeds(command: string, args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: "ignore", timeout: STEP_TIMEOUT_MS }).status === 0;
}

function must(command: string, args: readonly string[]): void {
  const result = spawnSync(command, args, { stdio: ["ignore", "ignore", "pipe"], encoding: "utf8", timeout: STEP_TIMEOUT_MS });
  if (result.status !== 0) throw new Error(`${command} ${args.join(" ")}: ${result.error?.message ?? result.stderr.trim()}`);
}

/** The user that root is dropped to, for setpriv; nobody stands for `cohort` until it exists. */
function droppedUser(): string {
  const sudoUid = process.env["SUDO_UID"];
  if (sudoUid !== undefined && /^[1-9]\d*$/.test(sudoUid)) return sudoUid;
  return /^cohort:/m.test(readFileSync("/etc/passwd", "utf8")) ? "cohort" : "nobody";
}

function isReadable(directory: string): boolean {
  const user = droppedUser();
  const groups = spawnSync("id", ["-g", user], { encoding: "utf8", timeout: STEP_TIMEOUT_MS }).stdout.trim();
  const question =
    'cd "$1" && test -r . && test -r package.json && test -r runtime/contract.ts && test -r node_modules && { test ! -e dist || test -r dist; }';
  return succeeds("setpriv", [
    `--reuid=${user}`,
    `--regid=${groups === "" ? "65534" : groups}`,
    "--clear-groups",
    "sh",
    "-c",
    question,
    "sh",
    directory,
  ]);
}

function mountsInside(): string[] {
  const points = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "");
  return points.filter((point) => point === place || point.startsWith(`${place}/`)).toReversed();
}

function unmountAll(): void {
  for (const point of mountsInside()) {
    // A cohortd that has not ended yet holds its files: it keeps them, the name goes.
    if (!succeeds("umount", [point])) must("umount", ["--lazy", point]);
  }
}

function isSameInode(one: string, other: string): boolean {
  const [a, b] = [statSync(one), statSync(other)];
  return a.dev === b.dev && a.ino === b.ino;
}

/** One mount, unless the checkout's own directory is closed too (as mkdtemp makes it): its mode would come along, so its entries are mounted one by one. */
function mountCheckout(): void {
  const closed = (statSync(root).mode & 0o005) !== 0o005;
  mkdirSync(target, { recursive: true });
  if (!closed) {
    if (!mountsInside().includes(target)) must("mount", ["--bind", root, target]);
    return;
  }
  chmodSync(target, 0o755);
  for (const name of new Set([...readdirSync(root), ...WRITTEN])) {
    const [from, to] = [join(root, name), join(target, name)];
    if (!existsSync(from)) mkdirSync(from);
    if (mountsInside().includes(to)) continue;
    if (statSync(from).isDirectory()) mkdirSync(to, { recursive: true });
    else writeFileSync(to, "");
    must("mount", ["--bind", from, to]);
  }
}

/** A zombie has no command line, and a reused pid has another one. */
function isLiving(pid: string): boolean {
  const commandLine = `/proc/${pid}/cmdline`;
  return existsSync(commandLine) && readFileSync(commandLine, "utf8").includes(basename(import.meta.filename));
}

function livingUsers(): string[] {
  if (!existsSync(users)) return [];
  for (const pid of readdirSync(users)) if (!isLiving(pid)) rmSync(join(users, pid));
  return readdirSync(users);
}

function enter(pid: string): void {
  process.umask(0o022);
  if (livingUsers().length === 0) {
    // A checkout that was deleted and cloned again has the same path and other inodes.
    const probe = join(target, "package.json");
    if (existsSync(place) && !(existsSync(probe) && isSameInode(probe, join(root, "package.json")))) leave(pid);
  }
  mkdirSync(users, { recursive: true });
  chmodSync(place, 0o755);
  writeFileSync(join(users, pid), "");
  mountCheckout();
}

function leave(pid: string): void {
  rmSync(join(users, pid), { force: true });
  if (livingUsers().length > 0) return;
  unmountAll();
  const left = mountsInside();
  if (left.length > 0) throw new Error(`still mounted: ${left.join(", ")}`);
  rmSync(place, { recursive: true, force: true });
}

/** A step of its own process, so that util-linux's flock can hold the lock around it. */
function underLock(step: "--enter" | "--leave"): void {
  must("flock", ["--timeout", "15", "/run", process.execPath, import.meta.filename, step, String(process.pid)]);
}

function environmentThere(): NodeJS.ProcessEnv {
  const moved = (value: string): string =>
    value
      .split(delimiter)
      .map((part) => (part === root || part.startsWith(`${root}/`) ? target + part.slice(root.length) : part))
      .join(delimiter);
  return Object.fromEntries(
    Object.entries(process.env).map(([name, value]) => [
      name,
      /^(PATH|PWD|INIT_CWD|npm_.*)$/.test(name) && value !== undefined ? moved(value) : value,
    ]),
  );
}

async function runMounted(command: string, args: readonly string[]): Promise<number> {
  let interrupted = 0;
  const note = (_: NodeJS.Signals, number: number): void => {
    interrupted = 128 + number;
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, note);
  try {
    underLock("--enter");
    // A signal that came while the mount was made is delivered by now.
    await setImmediate();
    if (interrupted > 0) return interrupted;
    if (isReadable(target)) return await runProgram(command, args, { cwd: target, env: environmentThere() });
    console.error(
      `cohort: files in ${root} are not readable by other users (made under umask 077?). Run: chmod -R o+rX '${root}'   or run as an ordinary user.`,
    );
    return 1;
  } finally {
    underLock("--leave");
    for (const signal of signals) process.off(signal, note);
  }
}

async function runThere(command: string, args: readonly string[]): Promise<number> {
  const user = droppedUser();
  console.error(
    `cohort: ${root} cannot be read by the user that root is dropped to (${user}); it is mounted at ${target} while this runs.`,
  );
  try {
    return await runMounted(command, args);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    console.error(`cohort: ${reason}\nMove the checkout to where every user can read it (for example /srv), or run as an ordinary user.`);
    return 1;
  }
}

const [first, ...rest] = process.argv.slice(2);
if (first === undefined) throw new Error("usage: with-reachable-checkout.ts COMMAND [argument…]");
if (first === "--enter") enter(rest[0] ?? "");
else if (first === "--leave") leave(rest[0] ?? "");
else if (process.geteuid?.() !== 0 || isReadable(root)) process.exitCode = await runProgram(first, rest, { cwd: root });
else process.exitCode = await runThere(first, rest);
