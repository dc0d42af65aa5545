/** `--network proxied` over the real supervisor, warden and children, with the clients that people use. */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, OwnHome, ownHomeUnavailable } from "../daemon/own-home.ts";
import { CohortProcess, type Ended } from "./cohort-process.ts";

if (ownHomeUnavailable !== null) console.log(`skipped: ${ownHomeUnavailable}`);

const isThere = (program: string): boolean => spawnSync("/usr/bin/env", ["-i", "PATH=/usr/bin:/bin", "which", program]).status === 0;

const fetching = `fetch("http://example.test/", { signal: AbortSignal.timeout(5000) }).then(async (r) => console.log(r.status, await r.text()), (e) => console.log(String(e.cause)))`;
const python = `import urllib.request, urllib.error
try: urllib.request.urlopen("http://example.test/", timeout=5)
except urllib.error.HTTPError as e: print(e.code, e.read().decode())`;

/** Each ends soon, and with a word of the proxy's. */
const clients: readonly (readonly [program: string, command: string, expected: RegExp])[] = [
  ["curl", "curl -sS -m 5 http://example.test/", /no egress policy is loaded/],
  ["curl", "curl -sS -m 5 https://example.test/", /CONNECT tunnel failed, response 403|Received HTTP code 403 from proxy/],
  ["curl", "curl -sS -m 5 --noproxy '*' http://example.test/", /Could not resolve host/],
  ["wget", "wget -T 5 -t 1 -O - http://example.test/", /403 Forbidden/],
  ["python3", `python3 -c '${python}'`, /^403 .*no egress policy is loaded/m],
  ["git", "git -c http.lowSpeedTime=5 ls-remote https://example.test/a.git", /403/],
  ["node", `node -e '${fetching}'`, /403|ENOTFOUND|EAI_AGAIN|getaddrinfo/],
];

describe.skipIf(ownHomeUnavailable !== null)("cohort with network proxied", { timeout: 90_000 }, () => {
  let home: OwnHome;

  beforeAll(async () => {
    home = OwnHome.make();
    await (await home.connect()).children();
  }, 60_000);
  afterAll(() => home.end(), 60_000);

  const cohort = (args: readonly string[]): Promise<Ended> => new CohortProcess(args, { home: home.directory, cwd: "/tmp" }).ended();

  it("tells tasks of their proxy, and programs understand that nothing is allowed", async () => {
    const there = clients.filter(([program]) => isThere(program));
    const commands = there.map(([, command]) => `{ ${command}; } 2>&1`);
    const started = Date.now();
    const results = await Promise.all(
      commands.map((command) =>
        cohort(["map", "-q", "--no-cwd", "--network", "proxied", "--timeout", "20s", "--", "/bin/sh", "-c", "{}", ":::", command]),
      ),
    );
    const surprises = there.flatMap(([program, , expected], index) => {
      const { stdout = "", stderr = "" } = results[index] ?? {};
      return expected.test(stdout) ? [] : [`${program}: ${stdout}${stderr}`];
    });
    expect(surprises).toEqual([]);
    expect(Date.now() - started).toBeLessThan(60_000);
  });

  it("takes the mode from a task file, and refuses one that is not known", async () => {
    const file = join(home.personDirectory(), "tasks.yaml");
    writeFileSync(
      file,
      "jobs: 1\ndefaults: {network: proxied, shell: true}\ntasks:\n  - command: echo $https_proxy\n  - {command: 'echo [$https_proxy]', network: none}\n",
    );
    const { stdout, stderr, status } = await cohort(["run", file, "-q"]);
    expect([status, stderr, stdout]).toEqual([0, "", "http://127.0.0.1:3128\n[]\n"]);
    const refused = await cohort(["map", "--network", "open", "--", "true", ":::", "x"]);
    expect([refused.status, refused.stderr]).toEqual([255, expect.stringContaining("--network open")]);
  });

  it("gives the proxy back to a child that outlived its cohortd", async () => {
    const ask = "exec 3<>/dev/tcp/127.0.0.1/3128 && printf 'GET / HTTP/1.1\\r\\n\\r\\n' >&3 && head -n 1 <&3";
    const loop = `for i in $(seq 150); do ( ${ask} ) 2>/dev/null || echo gone; sleep 0.2; done`;
    const client = await home.connect();
    const task = { title: "asks on", command: ["/bin/bash", "-c", loop], network: "proxied" as const };
    const run = await client.run({ title: "asks on", tasks: [task] });
    const answers = async (): Promise<number> => {
      const { stdout } = await cohort(["logs", `${run.id}/0`]);
      return stdout.match(/403 Forbidden/g)?.length ?? 0;
    };
    await eventually(async () => (await answers()) > 0, "a first answer", 30_000);
    for (const pid of home.daemons()) process.kill(pid, "SIGKILL");
    const before = await answers();
    await eventually(async () => (await answers()) > before + 2, "answers of the next cohortd", 30_000);
    await cohort(["cancel", run.id]);
  });
});
