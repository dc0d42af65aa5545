/** What a child with network `proxied` can reach, and what it cannot. */
import { execFileSync, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { layerNames } from "../../vm/wire/layers.ts";
import { PERSON_UID, wardenUnavailable } from "../vm/warden-process.ts";
import { echo, NetworkBench, type Endpoint } from "./network-bench.ts";

const TITLE = wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`;

describe.skipIf(wardenUnavailable !== null)(`a proxied child${TITLE}`, () => {
  let bench: NetworkBench;
  let endpoint: Endpoint;
  let name = "";
  const servers: Server[] = [];

  beforeAll(async () => {
    bench = await NetworkBench.start();
    endpoint = await bench.listen("echo", echo);
    name = await bench.sandbox(endpoint.path);
  });

  afterEach(async () => {
    for (const listed of await bench.bench.vm.list()) if (listed.name !== name) await bench.bench.destroy(listed.name);
  });

  afterAll(async () => {
    for (const server of servers) server.close();
    await bench?.stop();
  });

  async function hostServer(where: string | { readonly host: string }): Promise<Server> {
    const server = createServer((socket) => socket.destroy());
    if (typeof where === "string") server.listen(where);
    else server.listen(0, where.host);
    await once(server, "listening", { signal: AbortSignal.timeout(5000) });
    servers.push(server);
    return server;
  }

  const portOf = (server: Server): string => {
    const address = server.address();
    return typeof address === "object" && address !== null ? `${address.port}` : "0";
  };

  test("stands with every layer, inside and outside", async () => {
    // Limits of its own are the init's first act, which may be still to come when it is created.
    await bench.bench.sh(name, "true");
    const { inside, outside } = await bench.bench.vm.probe(name);
    expect(inside).toEqual(layerNames.filter((layer) => layer !== "cgroup-limits"));
    expect(outside).toEqual(layerNames.filter((layer) => !["landlock", "keyring", "no-socket"].includes(layer)));
  });

  test("reaches its endpoint at 127.0.0.1:3128, over IPv6 sockets too, and what both say arrives with its end", async () => {
    expect((await bench.network(name, ["get", "hello"])).stdout).toBe("hello[end]\n");
    expect((await bench.network(name, ["try", "::ffff:127.0.0.1", "3128"])).stdout).toBe("::ffff:127.0.0.1 3128 OK\n");
  });

  test("moves megabytes both ways at once, each byte in its place", async () => {
    const { stdout } = await bench.network(name, ["pump", `${64 * 1024 * 1024}`], { deadlineMs: 30_000 });
    expect(stdout).toMatch(/^pumped 67108864 wrong 0 us \d+\n$/);
  });

  test("runs servers of its own on loopback, IPv4 and IPv6", async () => {
    expect((await bench.network(name, ["local", "127.0.0.1"])).stdout).toBe("local y\n");
    expect((await bench.network(name, ["local", "::1"])).stdout).toBe("local y\n");
    expect((await bench.network(name, ["local", "0.0.0.0"])).stdout).toBe("local y\n");
  });

  test("finds no route to anything else: the host's own addresses, the metadata service, the world, by IPv4 and IPv6", async () => {
    const own = Object.values(networkInterfaces()).flatMap((addresses) =>
      (addresses ?? []).filter(({ internal }) => !internal).map(({ address }) => address.replace(/%.*/, "")),
    );
    const fixed = [
      "192.0.2.1",
      "10.0.0.1",
      "169.254.169.254",
      "172.17.0.1",
      "255.255.255.255",
      "224.0.0.1",
      "2001:db8::1",
      "fe80::1",
      "ff02::1",
    ];
    const targets = [...fixed, ...own];
    const { stdout } = await bench.network(name, ["try", ...targets.flatMap((target) => [target, "80"])]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines.length).toBe(targets.length);
    expect(lines.filter((line) => !/ (ENETUNREACH|EADDRNOTAVAIL|EINVAL|EACCES)$/.test(line))).toEqual([]);
  });

  test("does not reach services of the host on 127.0.0.1 and ::1, which others of this machine do", async () => {
    const [v4, v6] = [portOf(await hostServer({ host: "127.0.0.1" })), portOf(await hostServer({ host: "::1" }))];
    const targets = ["try", "127.0.0.1", v4, "::1", v6, "0.0.0.0", v4, "127.0.0.2", v4];
    const { stdout } = await bench.network(name, targets);
    expect(stdout.match(/ECONNREFUSED/g)?.length).toBe(4);
    const outside = spawnSync(join(bench.bench.warden.directory, "tools/network"), targets, { encoding: "utf8" });
    expect(outside.stdout.match(/ OK/g)?.length).toBeGreaterThanOrEqual(3);
  });

  test("does not reach a socket of the person by a pair of its own, though its path is mounted", async () => {
    const mounted = bench.bench.warden.personDirectory("sockets");
    const path = join(mounted, "agent.sock");
    await hostServer(path);
    chownSync(path, PERSON_UID, PERSON_UID);
    const other = await bench.sandbox(endpoint.path, { mounts: [{ source: mounted, target: "sockets", mode: "rw" }] });
    const { stdout } = await bench.network(other, ["pairs", `/sessions/${other}/mnt/sockets/agent.sock`]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines.length).toBe(14);
    expect(lines.slice(0, 2)).toEqual(["connect EISCONN", "connect a widow EISCONN"]);
    // The server's sockets are streams: a pair of another type cannot be meant for it.
    expect(lines.slice(7, 9)).toEqual(["connect EPROTOTYPE", "connect a widow EPROTOTYPE"]);
    expect(lines.filter((line) => line.endsWith(" OK"))).toEqual([]);
  });

  test("cannot turn a socket into more than TCP", async () => {
    const { stdout } = await bench.network(name, ["options"]);
    const results = new Map(
      stdout
        .trimEnd()
        .split("\n")
        .map((line) => line.split(" ") as [string, string]),
    );
    for (const refused of ["TCP_ULP", "SO_ATTACH_FILTER", "SO_ATTACH_REUSEPORT_CBPF", "IPT_SO_SET_REPLACE"]) {
      expect([refused, results.get(refused)]).toEqual([refused, "EPERM"]);
    }
    expect(results.get("TCP_NODELAY")).toBe("OK");
  });

  test("cannot hoard the kernel's memory in sockets: without a bound it took 2 GiB", async () => {
    const pages = (): number => Number(/TCP: .* mem (\d+)/.exec(readFileSync("/proc/net/sockstat", "utf8"))?.[1]);
    const hoarder = await bench.sandbox(endpoint.path, { limits: { openFilesMax: 1024 } });
    const before = pages();
    const execId = await bench.bench.start(hoarder, bench.words(hoarder, ["hoard", "500"]));
    const said = (): string | undefined => bench.bench.events.bytesOf(hoarder, execId, "stdout").toString() || undefined;
    await bench.bench.events.until("what it hoarded", said, 60_000);
    expect(pages() - before).toBeLessThan((400 * 1024 * 1024) / 4096);
  });

  test("cannot take the place of what listens on 3128", async () => {
    const { stdout } = await bench.network(name, ["take"]);
    expect(stdout.split("\n").slice(0, 2)).toEqual(["127.0.0.1 EADDRINUSE", "0.0.0.0 EADDRINUSE"]);
    expect(stdout).toContain("::ffff:127.0.0.1 EADDRINUSE");
    expect((await bench.network(name, ["get", "still here"])).stdout).toBe("still here[end]\n");
  });

  test("has an endpoint of its own: a sibling's 3128 is another, and its server is nobody's", async () => {
    const theirs = await bench.listen("theirs", (socket) => socket.end("theirs"));
    const sibling = await bench.sandbox(theirs.path);
    expect((await bench.network(sibling, ["get", "who?"])).stdout).toBe("theirs[end]\n");
    expect((await bench.network(name, ["get", "mine"])).stdout).toBe("mine[end]\n");
    const names = await Promise.all([name, sibling].map((one) => bench.bench.sh(one, "readlink /proc/self/ns/net")));
    expect(new Set(names.map(({ stdout }) => stdout)).size).toBe(2);
  });

  test("neither sees nor signals the relay", async () => {
    const pid = bench.relayPid();
    const { stdout } = await bench.bench.sh(
      name,
      `kill -9 ${pid} 2>&1; cat /proc/${pid}/status 2>&1; grep -l relay /proc/[0-9]*/comm; true`,
    );
    expect(stdout).toContain("No such process");
    expect(stdout).toContain("No such file");
    expect(stdout).not.toContain("comm\n");
    expect(bench.relayPid()).toBe(pid);
  });

  test("sees one interface, and from outside there is no other", async () => {
    expect((await bench.bench.sh(name, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '; tail -n +2 /proc/net/route")).stdout).toBe(
      "lo\n",
    );
    const { initPid } = await bench.bench.vm.create(bench.bench.plan({ name, network: { type: "proxied", endpoint: endpoint.path } }));
    const devices = readFileSync(`/proc/${initPid}/net/dev`, "utf8").trimEnd().split("\n").slice(2);
    expect(devices.map((line) => line.split(":")[0]?.trim())).toEqual(["lo"]);
  });

  test("stands behind a packet filter that drops what is not TCP on loopback, for root in its namespace too", async () => {
    const { initPid } = await bench.bench.vm.create(bench.bench.plan({ name, network: { type: "proxied", endpoint: endpoint.path } }));
    const send =
      "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ntry:\n  s.sendto(b'x', ('127.0.0.1', 9)); print('sent')\nexcept OSError as e: print(e.errno)";
    const python = spawnSync("python3", ["-c", "print(1)"]).status === 0;
    if (!python) return;
    expect(execFileSync("nsenter", ["-t", `${initPid}`, "-n", "python3", "-c", send], { encoding: "utf8" })).toBe("1\n");
    expect(execFileSync("python3", ["-c", send], { encoding: "utf8" })).toBe("sent\n");
  });

  test("is not built with an endpoint whose directory others may write, may not pass, is a link, or is not the person's", async () => {
    const codeOf = async (path: string): Promise<string> => {
      try {
        await bench.sandbox(path);
      } catch (error) {
        return error instanceof Error ? error.message : String(error);
      }
      return "built";
    };
    const place = (mode: number, uid: number): string => {
      const directory = join(dirname(dirname(endpoint.path)), `place-${mode.toString(8)}-${uid}`);
      mkdirSync(directory);
      chownSync(directory, uid, uid);
      chmodSync(directory, mode);
      return join(directory, "x");
    };
    expect(await codeOf(place(0o700, PERSON_UID))).toContain("0711");
    expect(await codeOf(place(0o733, PERSON_UID))).toContain("0711");
    expect(await codeOf(place(0o711, 0))).toContain("0711");
    const link = join(dirname(dirname(endpoint.path)), "link");
    symlinkSync(dirname(endpoint.path), link);
    expect(await codeOf(join(link, "echo"))).toContain("cannot open the endpoint's directory");
    expect(await codeOf("/root/x")).toMatch(/cannot open the endpoint's directory|0711/);
    expect(await codeOf("/no/such/x")).toContain("cannot open the endpoint's directory");
    expect(await codeOf("/")).toContain("does not name a socket");
    expect(await codeOf(`${dirname(endpoint.path)}/..`)).toContain("does not name a socket");
  });
});
