import { chmodSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { OwnHome, ownHomeUnavailable } from "./own-home.ts";

let home: OwnHome;

vi.setConfig({ testTimeout: 90_000 });

beforeEach(({ skip }) => skip(ownHomeUnavailable !== null, ownHomeUnavailable ?? ""));
beforeAll(() => {
  if (ownHomeUnavailable === null) home = OwnHome.make();
});
afterAll(async () => {
  if (ownHomeUnavailable === null) await home.end();
});

const seeing = (path: string, mode: "ro" | "rw" = "ro") => ({
  title: "mounts",
  tasks: [1, 2].map((number) => ({ title: `task ${number}`, command: ["/bin/true"], mounts: [{ path, as: "data", mode }] })),
});

test("a run that mounts what cohortd's user may not read is refused whole, with that user's name", async () => {
  const cohort = await home.connect();
  await expect(cohort.run(seeing("/root"))).rejects.toMatchObject({
    code: "MOUNT_REFUSED",
    message: `a directory cannot be mounted: the user ${home.account.name} may not read /root`,
    hint: expect.stringContaining(`cohortd runs as ${home.account.name}`),
  });
  await expect(cohort.run(seeing("/usr", "rw"))).rejects.toMatchObject({
    code: "MOUNT_REFUSED",
    message: expect.stringMatching(/may not write to \/usr$/),
  });
  expect(await cohort.runs()).toEqual([]);
});

test("a key answers its run, also when a directory of it was closed meanwhile", async () => {
  const cohort = await home.connect();
  const directory = home.personDirectory();
  const first = await cohort.run(seeing(directory), { key: "closed meanwhile" });
  expect((await first.finished()).status).toBe("completed");
  chmodSync(directory, 0);
  const second = await cohort.run(seeing(directory), { key: "closed meanwhile" });
  expect(second).toMatchObject({ id: first.id, created: false });
});

test("what is not there yet is refused task by task: an earlier task may make it", async () => {
  const run = await (await home.connect()).run(seeing("/no/such/directory"));
  expect((await run.finished()).counts).toMatchObject({ failed: 2 });
});
