import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");

test("a build with nothing to do says nothing and takes a moment", () => {
  const build = (): ReturnType<typeof spawnSync> =>
    spawnSync(process.execPath, ["scripts/build.ts"], { cwd: root, encoding: "utf8", timeout: 60_000 });
  expect(build().status).toBe(0);
  const startedAt = performance.now();
  const second = build();
  const tookMs = performance.now() - startedAt;
  expect({ status: second.status, stdout: second.stdout, stderr: second.stderr }).toEqual({ status: 0, stdout: "", stderr: "" });
  // Some 100 ms on an idle machine; the rest is for a busy one.
  expect(tookMs).toBeLessThan(2000);
});

test("the built command line starts, knows its version and is quick about it", () => {
  const result = spawnSync(process.execPath, [join(root, "dist/cohort.js"), "--version"], { encoding: "utf8", timeout: 10_000 });
  expect(result).toMatchObject({ status: 0, stdout: "0.1.0\n", stderr: "" });
});

test("a project that has Cohort installed sees the types of the SDK, with a compiler that accepts none of our settings", () => {
  const project = mkdtempSync(join(tmpdir(), "cohort-types-"));
  try {
    mkdirSync(join(project, "node_modules"));
    symlinkSync(root, join(project, "node_modules/cohort"));
    symlinkSync(join(root, "node_modules/@types"), join(project, "node_modules/@types"));
    writeFileSync(join(project, "package.json"), '{"type":"module"}');
    const code = (task: string): string =>
      `import { connect } from "cohort";\nawait using cohort = await connect();\nconst run = await cohort.run({ title: "t", tasks: [${task}] });\nfor await (const { status } of run.results()) console.log(status.length);\n`;
    const check = (task: string): string => {
      writeFileSync(join(project, "mine.ts"), code(task));
      const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "esnext", "--types", "node", "--skipLibCheck"];
      return spawnSync(join(root, "node_modules/.bin/tsc"), [...options, "mine.ts"], { cwd: project, encoding: "utf8", timeout: 25_000 })
        .stdout;
    };
    expect(check('{ title: "a", command: ["true"] }')).toBe("");
    expect(check('{ title: "a", comand: ["true"] }')).toContain("'comand' does not exist");
  } finally {
    rmSync(project, { recursive: true, force: true });
  }
});

const PROGRAM = `
import assert from "node:assert/strict";
import { setup } from "xstate";
import { z } from "zod";
import { CohortError } from "cohort";
import { actions, answer, CohortError as SameError, defineActor, isCohortError, openActors, type Heard } from "cohort/actors";
import { testActors } from "cohort/testing";

const events = z.strictObject({ type: z.literal("greet"), whom: z.string() });
const house = setup({ types: { context: {} as object, events: {} as Heard<typeof events>, input: {} as object }, actions });
const machine = house.createMachine({
  context: {},
  on: { greet: { actions: { type: "effect", params: ({ event }) => answer(event, "hello " + event.whom) } } },
});
const greeter = defineActor({ kind: "greeter", version: 1, machine, input: z.strictObject({}), events, answers: { greet: z.string() } });

assert.equal(CohortError, SameError);
const real = await openActors({ directory: "journal", actors: [greeter] });
const one = await real.start(greeter, "g", {});
const said: string = await one.ask({ type: "greet", whom: "you" });
const failure: unknown = await one.send({ type: "greet", WHOM: 3 } as never).catch((error: unknown) => error);
assert.ok(isCohortError(failure, "REQUEST_INVALID"));
await real.stop();
const simulated = await testActors({ actors: [greeter] });
console.log(said, await (await simulated.start(greeter, "g", {})).ask({ type: "greet", whom: "them" }));
await simulated.stop();
`;

test("a project that has Cohort installed runs durable actors, and tests them, with xstate and zod of its own", () => {
  const project = mkdtempSync(join(tmpdir(), "cohort-actors-"));
  try {
    mkdirSync(join(project, "node_modules/@types"), { recursive: true });
    symlinkSync(root, join(project, "node_modules/cohort"));
    for (const name of ["xstate", "zod"])
      cpSync(join(root, "node_modules", name), join(project, "node_modules", name), { recursive: true });
    symlinkSync(join(root, "node_modules/@types/node"), join(project, "node_modules/@types/node"));
    writeFileSync(join(project, "package.json"), '{"type":"module"}');
    writeFileSync(join(project, "mine.ts"), PROGRAM);
    const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "esnext", "--types", "node", "--skipLibCheck"];
    const types = spawnSync(join(root, "node_modules/.bin/tsc"), [...options, "mine.ts"], {
      cwd: project,
      encoding: "utf8",
      timeout: 25_000,
    });
    expect(types.stdout).toBe("");
    const program = spawnSync(process.execPath, ["mine.ts"], { cwd: project, encoding: "utf8", timeout: 20_000 });
    expect(program).toMatchObject({ status: 0, stdout: "hello you hello them\n" });
  } finally {
    rmSync(project, { recursive: true, force: true });
  }
});
