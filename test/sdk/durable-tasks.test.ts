import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { confinedTasks, openActors, type Actors } from "../../sdk/actors.ts";
import type { Cohort } from "../../sdk/index.ts";
import { eventually, OwnHome, ownHomeUnavailable } from "../daemon/own-home.ts";
import { pipeline } from "./programs/pipeline.ts";

vi.setConfig({ testTimeout: 90_000 });

let home: OwnHome;
let cohort: Cohort;
const processes: ChildProcess[] = [];
const directories: string[] = [];
const opened: Actors[] = [];

beforeAll(async () => {
  if (ownHomeUnavailable !== null) return;
  process.env["COHORT_LEASE_FREEZE_MS"] = "20000";
  home = OwnHome.make();
  cohort = await home.connect();
});

beforeEach(({ skip }) => skip(ownHomeUnavailable !== null, ownHomeUnavailable ?? ""));

afterEach(async () => {
  for (const child of processes.splice(0)) child.kill("SIGKILL");
  for (const actors of opened.splice(0)) await actors.stop();
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

afterAll(async () => {
  if (ownHomeUnavailable === null) await home.end();
});

function place(): string {
  const directory = mkdtempSync(join(tmpdir(), "durable-tasks-"));
  directories.push(directory);
  return join(directory, "journal");
}

async function open(directory = place()): Promise<Actors> {
  const actors = await openActors({ directory, actors: [pipeline], effects: confinedTasks(cohort) });
  opened.push(actors);
  return actors;
}

function ledger(shared: string): string[] {
  const path = join(shared, "ledger");
  return existsSync(path) ? readFileSync(path, "utf8").trim().split("\n") : [];
}

const NAMES = ["a", "b", "c", "d"];
const STEPS = NAMES.flatMap((name) => [0, 1, 2, 3].map((step) => `${name} ${step}`));

test("kill -9 of the program and of cohortd, again and again: each workflow ends, each task was run once", async () => {
  const directory = place();
  const shared = home.personDirectory();
  const start = (): { readonly child: ChildProcess; readonly said: () => string } => {
    const program = fileURLToPath(new URL("./programs/pipelines-process.ts", import.meta.url));
    const child = spawn(process.execPath, [program, directory, shared, NAMES.join(",")], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, COHORT_HOME: home.directory },
    });
    processes.push(child);
    let said = "";
    child.stdout.on("data", (bytes: Buffer) => (said += bytes.toString()));
    return { child, said: () => said };
  };
  for (const [round, lines] of [2, 5, 8, 11].entries()) {
    const { child } = start();
    await eventually(() => ledger(shared).length >= lines, `${lines} tasks have run`, 30_000);
    if (round % 2 === 1) for (const pid of home.daemons()) process.kill(pid, "SIGKILL");
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  const { child, said } = start();
  await eventually(() => ledger(shared).length >= 13, "the last ones run", 30_000);
  for (const pid of home.daemons()) process.kill(pid, "SIGKILL");
  expect(await once(child, "close")).toEqual([0, null]);
  expect(JSON.parse(said())).toEqual(NAMES.map((name) => [name, "ended", ["succeeded", "succeeded", "succeeded", "succeeded"]]));
  expect(ledger(shared).toSorted()).toEqual(STEPS.toSorted());
  expect((await cohort.runs({ limit: 1000 })).filter(({ title }) => STEPS.includes(title))).toHaveLength(STEPS.length);
});

test("a task that is cancelled ends with grace, and its actor hears it", async () => {
  const actors = await open();
  const one = await actors.start(pipeline, "patient", { name: "patient", steps: 1, script: "sleep 1000", shared: home.personDirectory() });
  await eventually(async () => (await cohort.children()).some(({ title }) => title === "patient 0"), "it runs");
  await one.cancel("enough");
  expect((await one.ended()).context.statuses).toEqual(["cancelled"]);
  expect(await cohort.children()).toEqual([]);
});

test("an actor that ends can cancel its task as a farewell", async () => {
  const actors = await open();
  const one = await actors.start(pipeline, "left", {
    name: "left",
    steps: 1,
    script: "trap 'exit 0' TERM; while :; do sleep 0.05; done",
    shared: home.personDirectory(),
  });
  await eventually(async () => (await cohort.children()).some(({ title }) => title === "left 0"), "it runs");
  await one.send({ type: "abandon" });
  expect((await one.ended()).value).toBe("abandoned");
  await eventually(async () => (await cohort.children()).length === 0, "nothing of it runs");
});

test("what cohortd refuses is told as a failed effect, and runs of two journals do not share their names", async () => {
  const actors = await open();
  // Only root may look into it.
  const secret = dirname(place());
  const refused = await actors.start(pipeline, "refused", { name: "refused", steps: 1, script: "true", shared: secret });
  expect((await refused.ended()).value).toBe("failed");
  expect((await actors.start(pipeline, "same", { name: "same", steps: 1, script: "true", shared: home.personDirectory() })).created).toBe(
    true,
  );
  const other = await open();
  const same = await other.start(pipeline, "same", { name: "same", steps: 1, script: "exit 3", shared: home.personDirectory() });
  expect((await same.ended()).context.statuses).toEqual(["failed"]);
  expect((await actors.of(pipeline, "same").ended()).context.statuses).toEqual(["succeeded"]);
});

test("a program in a confined child has durable actors of its own, with the journal in its home", async () => {
  const bundle = home.personDirectory();
  const programs = fileURLToPath(new URL("./programs", import.meta.url));
  await build({
    entryPoints: {
      program: join(programs, "self-killing.ts"),
      "journal-worker": join(programs, "../../../runtime/journal/journal-worker.ts"),
    },
    outdir: bundle,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node24",
    external: ["msgpackr-extract"],
    banner: { js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);' },
    logLevel: "silent",
  });
  const run = await cohort.run({
    title: "durable in a child",
    tasks: [
      {
        title: "twice",
        command: ["sh", "-c", "mnt/node mnt/bundle/program.js; echo $?; mnt/node mnt/bundle/program.js; ls -la journal"],
        mounts: [
          { path: process.execPath, as: "node" },
          { path: bundle, as: "bundle" },
        ],
      },
    ],
  });
  let output = "";
  for await (const { status, stdout, stderr } of run.results()) output = `${status} ${stdout.preview}${stderr.preview}`;
  const [killed, said = "{}"] = output.split("\n");
  expect(killed, output).toBe("succeeded 137");
  // Of an effect that runs once at most, nobody says that it did not run.
  expect(JSON.parse(said), output).toEqual({ created: false, value: "third", notes: "first\nsecond\nunknown\n" });
});
