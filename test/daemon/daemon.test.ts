import { execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync, existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { RpcClient } from "../../runtime/transport/client.ts";
import { API_VERSION } from "../../machines/messages/api.ts";
import { connect, wardenDown, wardenUp } from "../../sdk/index.ts";
import { eventually, modesBelow, OwnHome, ownHomeUnavailable, uidsOf } from "./own-home.ts";

const root = dirname(dirname(import.meta.dirname));
const program = join(root, "app/daemon/main.ts");
const origin = { surface: "test", device: "test" };
let home: OwnHome;

vi.setConfig({ testTimeout: 90_000 });

beforeEach(({ skip }) => skip(ownHomeUnavailable !== null, ownHomeUnavailable ?? ""));

function makeHome(): void {
  process.env["COHORT_IDLE_EXIT_MS"] = "60000";
  if (ownHomeUnavailable === null) home = OwnHome.make();
}

async function endHome(): Promise<void> {
  delete process.env["COHORT_IDLE_EXIT_MS"];
  if (ownHomeUnavailable === null) await home.end();
}

describe("one that stays", () => {
  beforeAll(makeHome);
  afterAll(endHome);

  test("six clients that start at once have one cohortd, which is not root and has no group of root's", async () => {
    const clients = await Promise.all(Array.from({ length: 6 }, () => home.connect()));
    const pids = new Set(clients.map((client) => client.daemon.pid));
    expect(home.daemons()).toEqual([...pids]);
    const [pid = 0] = pids;
    expect(uidsOf(pid)).toEqual([1, 2, 3, 4].map(() => home.account.uid));
    const groups = /^Groups:\s+(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]?.split(/\s+/) ?? [];
    expect(groups).not.toContain("0");
  });

  test("all state is 0600 in 0700, but for the directory that the relay passes through below it", async () => {
    await home.connect();
    const modes = modesBelow(home.directory);
    expect(modes).toMatchObject({ "cohortd.sock": "600", token: "600", "cohortd.log": "600", "start.lock": "600" });
    expect(Object.entries(modes).filter(([, mode]) => mode !== "600" && mode !== "700")).toEqual([["net", "711"]]);
    expect((statSync(home.directory).mode & 0o777).toString(8)).toBe("700");
  });

  test("a wrong token is refused and its connection closed; before hello nothing is answered", async () => {
    await home.connect();
    const rpc = await RpcClient.connect(home.paths.socket, 2000);
    await expect(rpc.call("run.list", {})).rejects.toMatchObject({ code: "NOT_AUTHORIZED" });
    await expect(rpc.call("daemon.stop", {})).rejects.toMatchObject({ code: "NOT_AUTHORIZED" });
    await expect(rpc.call("hello", { version: API_VERSION, token: "0".repeat(64), origin })).rejects.toMatchObject({
      code: "NOT_AUTHORIZED",
    });
    await eventually(() => rpc.isClosed, "the connection is closed");
  });

  test("requests that are not valid are refused with the field, and unknown ones by name", async () => {
    const cohort = await home.connect();
    await expect(cohort.run({ title: "t", tasks: [{ title: "a", command: [] }] })).rejects.toMatchObject({
      code: "REQUEST_INVALID",
      message: expect.stringContaining("spec.tasks.0.command"),
    });
    await expect(cohort.attach("abcdefgh").summary()).rejects.toMatchObject({ code: "RUN_UNKNOWN" });
    await expect(cohort.attach("../../etc").summary()).rejects.toMatchObject({ code: "REQUEST_INVALID" });
    await expect(cohort.doctor("no-such-child")).rejects.toMatchObject({ code: "CHILD_UNKNOWN" });
    expect(await cohort.runs()).toEqual([]);
  });

  test("the doctor tells whose cohortd it is, its state, its lease and its warden, beside the machine", async () => {
    const { rows, wardenSha256 } = await (await home.connect()).doctor();
    const detail = (area: string, check: string): string =>
      rows.find((row) => row.area === area && row.check === check)?.detail ?? "absent";
    expect(detail("cohortd", "user")).toContain(`${home.account.name} (uid ${home.account.uid})`);
    expect(detail("cohortd", "state")).toBe(home.directory);
    expect(detail("cohortd", "lease")).toBe("without it children freeze after 30 s, and end after 600 s");
    expect(detail("cohortd", "warden socket")).toBe(home.paths.wardenSocket);
    expect(detail("warden", "connected")).toMatch(/^instance [0-9a-f]{32}$/);
    expect(detail("machine", "cgroup memory")).toMatch(/^v[12] at \//);
    expect(rows.filter(({ status }) => status === "missing")).toEqual([]);
    expect(wardenSha256).toMatch(/^[0-9a-f]{64}$/);
  });

  test("a directory that a group may write is refused before any token is sent", async () => {
    await home.connect();
    chmodSync(home.directory, 0o770);
    await expect(home.connect()).rejects.toMatchObject({ code: "DAEMON_UNTRUSTED", hint: `chmod 700 '${home.directory}'` });
    chmodSync(home.directory, 0o700);
  });

  test("it refuses to run as root, and a second one of the same directory finds the journal locked", async () => {
    await home.connect();
    const serve = [program, "serve", home.directory, home.paths.wardenSocket];
    const asRoot = spawnSync(process.execPath, serve, { encoding: "utf8" });
    expect(asRoot.status).toBe(77);
    expect(asRoot.stderr).toContain('{"fatal":{"code":"NOT_AUTHORIZED"');
    const second = spawnSync(process.execPath, serve, {
      encoding: "utf8",
      uid: home.account.uid,
      gid: home.account.gid,
      cwd: "/",
      timeout: 20_000,
    });
    expect(second.status).toBe(75);
    expect(second.stderr).toContain('{"fatal":{"code":"JOURNAL_LOCKED"');
    expect(home.daemons()).toHaveLength(1);
  });

  test("one connection that never says hello is closed, others do not notice", async () => {
    await home.connect();
    const silent = spawn(
      process.execPath,
      ["-e", `require("net").connect(${JSON.stringify(home.paths.socket)}).on("close", () => process.exit(7))`],
      { stdio: "ignore" },
    );
    const [code] = (await once(silent, "exit", { signal: AbortSignal.timeout(20_000) })) as [number];
    expect(code).toBe(7);
    expect(await (await connect({ home: home.directory, start: false })).children()).toEqual([]);
  });
});

describe("one that ends, or does not start", () => {
  beforeEach(makeHome);
  afterEach(endHome);

  test("a client of another version hears so, and may still end the daemon", async () => {
    await home.connect();
    const token = readFileSync(home.paths.token, "utf8").trim();
    const rpc = await RpcClient.connect(home.paths.socket, 2000);
    await expect(rpc.call("hello", { version: API_VERSION + 1, token, origin })).rejects.toMatchObject({ code: "DAEMON_VERSION" });
    await expect(rpc.call("run.list", {})).rejects.toMatchObject({ code: "NOT_AUTHORIZED" });
    await rpc.call("daemon.stop", {});
    await eventually(() => home.daemons().length === 0, "it ends");
  });

  test("nobody needs it: it ends, and the next client starts another", async () => {
    process.env["COHORT_IDLE_EXIT_MS"] = "300";
    const first = await home.connect();
    const { pid } = first.daemon;
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(home.daemons()).toEqual([pid]);
    first.close();
    await eventually(() => home.daemons().length === 0, "the idle daemon ends");
    expect(existsSync(home.paths.socket)).toBe(false);
    const second = await home.connect();
    expect(second.daemon.pid).not.toBe(pid);
  });

  test("SIGTERM ends it in order; a stale socket after kill -9 is no hindrance", async () => {
    const first = await home.connect();
    process.kill(first.daemon.pid, "SIGTERM");
    await eventually(() => home.daemons().length === 0, "it ends");
    expect(readFileSync(home.paths.log, "utf8")).toContain('"ended"');
    expect(existsSync(home.paths.socket)).toBe(false);
    expect(await first.runs()).toEqual([]);
    process.kill(first.daemon.pid, "SIGKILL");
    await eventually(() => home.daemons().length === 0, "it is dead");
    expect(existsSync(home.paths.socket)).toBe(true);
    expect(await first.runs()).toEqual([]);
  });

  test("start: false starts nothing", async () => {
    await expect(home.connect({ start: false })).rejects.toMatchObject({ code: "DAEMON_UNREACHABLE" });
    expect(home.daemons()).toEqual([]);
  });

  test("a journal that it cannot open is named to the client, as the daemon's own error", async () => {
    const first = await home.connect();
    await first.stop();
    await eventually(() => home.daemons().length === 0, "it ends");
    const journals = Object.keys(modesBelow(home.directory)).filter((name) => /^journal\/.*\.(sqlite|db)$/.test(name));
    expect(journals).toHaveLength(1);
    const journal = join(home.directory, journals[0] ?? "");
    writeFileSync(journal, Buffer.alloc(20_000, "not a database"));
    for (const suffix of ["-wal", "-shm"]) rmSync(`${journal}${suffix}`, { force: true });
    await expect(home.connect()).rejects.toMatchObject({ code: "JOURNAL_CORRUPT" });
  });

  test("a program that the user cannot read is refused, naming the path that is closed", async () => {
    const closed = mkdtempSync("/tmp/cohort-closed-");
    try {
      for (const folder of ["app", "runtime", "machines", "vm", "actors", "sdk", "package.json"])
        cpSync(join(root, folder), join(closed, folder), { recursive: true });
      symlinkSync(join(root, "node_modules"), join(closed, "node_modules"));
      // The warden is the real one, so that nothing is compiled here.
      cpSync(join(root, "build"), join(closed, "build"), { recursive: true });
      const child = spawnSync(process.execPath, [join(closed, "app/daemon/main.ts"), "start"], {
        encoding: "utf8",
        env: { PATH: process.env["PATH"], COHORT_HOME: home.directory },
      });
      expect(JSON.parse(child.stdout)).toMatchObject({
        error: { code: "UNREADABLE_AS_USER", message: expect.stringContaining(closed), hint: expect.stringContaining(closed) },
      });
    } finally {
      rmSync(closed, { recursive: true, force: true });
    }
  });

  test("an ordinary user without a warden hears the one command; with a resident one the run works", async () => {
    const person = { uid: home.account.uid, gid: home.account.gid, cwd: "/", timeout: 30_000 };
    const env = { PATH: process.env["PATH"], HOME: "/", COHORT_HOME: home.directory };
    const ask = async (): Promise<unknown> =>
      JSON.parse(
        (await promisify(execFile)(process.execPath, [fileURLToPath(new URL("./ordinary-client.ts", import.meta.url))], { ...person, env }))
          .stdout,
      );
    expect(await ask()).toEqual({ code: "WARDEN_ABSENT", hint: "start it once: sudo cohort vm up" });
    await wardenUp({ home: home.directory, user: home.account.name });
    await wardenUp({ home: home.directory, user: home.account.name });
    expect(await ask()).toMatchObject({ status: "completed", counts: { total: 1, succeeded: 1 } });
    await wardenDown({ home: home.directory, user: home.account.name });
    await wardenDown({ home: home.directory, user: home.account.name });
    expect(await ask()).toMatchObject({ code: "WARDEN_ABSENT" });
    // The warden removes the place of its socket, and another may be started there at once.
    await eventually(() => !existsSync(dirname(home.paths.wardenSocket)), "nothing is left of the warden");
    await wardenUp({ home: home.directory, user: home.account.name });
    await wardenDown({ home: home.directory, user: home.account.name });
    await wardenUp({ home: home.directory, user: home.account.name });
  });
});
