/** cohort-child and its channel in a real sandbox: where it lies, what it asks, what a child can do to it. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { SandboxBench, type Outcome, type RunOptions } from "./sandbox-bench.ts";
import { wardenUnavailable } from "./warden-process.ts";

interface Ask {
  readonly id: number;
  readonly [field: string]: unknown;
}

const PATH = "/run/cohort/bin:/usr/local/bin:/usr/bin:/bin";
const withTools: RunOptions = { tools: "stream", env: { PATH } };

describe.skipIf(wardenUnavailable !== null)(`cohort-child${wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`}`, () => {
  let bench: SandboxBench;

  beforeAll(async () => {
    bench = await SandboxBench.start();
  }, 120_000);
  afterEach(async () => {
    for (const { name } of await bench.vm.list()) await bench.destroy(name);
  });
  afterAll(() => bench?.stop());

  /** Runs the script and gives each line of its channel to `answer`, whose answers go back. */
  async function answered(script: string, answer: (ask: Ask) => object | null, asksWanted = 1): Promise<Outcome & { asks: Ask[] }> {
    const name = await bench.sandbox();
    const execId = await bench.start(name, ["/bin/bash", "-c", script], withTools);
    let offset = 0;
    let asks: Ask[] = [];
    await bench.events.until("the asks", () => {
      const lines = bench.events.bytesOf(name, execId, "tools").toString().split("\n").slice(0, -1);
      asks = lines.map((line) => JSON.parse(line) as Ask);
      return asks.length >= asksWanted || bench.events.exits.some((exit) => exit.name === name && exit.execId === execId);
    });
    for (const ask of asks.toReversed()) {
      const reply = answer(ask);
      if (reply === null) continue;
      const bytes = Buffer.from(`${JSON.stringify({ id: ask.id, ...reply })}\n`);
      bench.vm.writeTools(name, execId, offset, bytes, false);
      offset += bytes.length;
    }
    return { ...(await bench.outcome(name, execId)), asks };
  }

  test("prints where the directory stands, and what it asks is JSON whatever the words are", async () => {
    const script = "cohort-child request-directory $'/home/ada/\"a\\\\b\\n' --mode staged --why $'for \\e]52;c;x\\a \\xff tests'";
    const { exit, stdout, stderr, asks } = await answered(script, () => ({ answer: "granted", path: "/sessions/x/mnt/é", mode: "staged" }));
    expect({ code: exit.code, stdout, stderr }).toEqual({ code: 0, stdout: "/sessions/x/mnt/é\n", stderr: "" });
    expect(asks).toEqual([
      { id: expect.any(Number), ask: "directory", path: '/home/ada/"a\\b\n', mode: "staged", why: "for \u001b]52;c;x\u0007 \ufffd tests" },
    ]);
  });

  test("says why it was denied and ends with 1; --json prints the whole answer", async () => {
    const plain = await answered("cohort-child request-directory /x", () => ({ answer: "denied", reason: "not today" }));
    expect({ code: plain.exit.code, stdout: plain.stdout, stderr: plain.stderr }).toEqual({
      code: 1,
      stdout: "",
      stderr: "cohort-child: denied: not today\n",
    });
    const json = await answered("cohort-child request-directory --json -- /x", () => ({ answer: "denied", reason: "not\ntoday" }));
    expect({ code: json.exit.code, stdout: json.stdout }).toEqual({ code: 1, stdout: '{"answer":"denied","reason":"not\\u000atoday"}\n' });
  });

  test("twelve that ask at once over one channel each get their own answer, in any order", async () => {
    const script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do (echo $i=$(cohort-child request-directory /p$i)) & done; wait";
    const { exit, stdout } = await answered(script, ({ path }) => ({ answer: "granted", path: `/m${String(path)}`, mode: "ro" }), 12);
    expect(exit.code).toBe(0);
    expect(stdout.trimEnd().split("\n").toSorted()).toEqual(Array.from({ length: 12 }, (_, i) => `${i + 1}=/m/p${i + 1}`).toSorted());
  });

  test("says how far the task is, as one line that nothing answers", async () => {
    const script = "cohort-child progress $'half \"way\"\\n' 0.5; cohort-child progress done; cohort-child progress -- --x 1; echo $?";
    const { exit, stdout, asks } = await answered(script, () => null, 3);
    expect({ code: exit.code, stdout }).toEqual({ code: 0, stdout: "0\n" });
    expect(asks).toEqual([{ progress: 'half "way"\n', fraction: 0.5 }, { progress: "done" }, { progress: "--x", fraction: 1 }]);
  });

  test.each([
    ["for more than all of its work", "cohort-child progress x 1.5", "FRACTION must be a number from 0 to 1, not 1.5"],
    ["for no fraction at all", "cohort-child progress x nan", "FRACTION must be a number from 0 to 1, not nan"],
    ["without words for its progress", "cohort-child progress", "cohort-child progress TEXT [FRACTION]"],
    ["without a channel", "unset COHORT_FD; cohort-child request-directory /x", "there is no channel to ask over: COHORT_FD"],
    ["with its channel closed", "exec 3>&-; cohort-child request-directory /x", "there is no channel to ask over: descriptor 3"],
    ["for a relative path", "cohort-child request-directory x", "PATH must be absolute"],
    ["for another mode", "cohort-child request-directory /x --mode=all", "--mode must be ro, staged or rw, not all"],
    ["with far too many words", "cohort-child request-directory /x --why $(head -c 20000 /dev/zero | tr '\\0' x)", "are longer than"],
    ["without a command", "cohort-child", "usage: cohort-child request-directory PATH"],
  ])("%s it says so and ends with 2", async (_, script, message) => {
    const { exit, stderr } = await answered(`${script}; exit $?`, () => null);
    expect({ code: exit.code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(message) });
  });

  test("is the warden's own, can be read and executed but not changed, and nothing else of /run can be read", async () => {
    const name = await bench.sandbox();
    const script =
      "exec 2>&1; command -v cohort-child; stat -c '%a %u' /run/cohort/bin/cohort-child; head -c 4 /run/cohort/bin/cohort-child | tail -c 3; echo; " +
      "echo x > /run/cohort/bin/cohort-child; chmod 777 /run/cohort/bin/cohort-child; touch /run/cohort/bin/more; cat /run/landlock-canary /run/blank";
    const { stdout } = await bench.run(name, ["/bin/bash", "-c", script], { env: { PATH } });
    expect(stdout.split("\n").slice(0, 3)).toEqual(["/run/cohort/bin/cohort-child", "555 0", "ELF"]);
    expect(stdout.match(/Read-only file system/g)?.length).toBe(3);
    expect(stdout.match(/Permission denied/g)?.length).toBe(2);
  });

  test("a program gets 0, 1, 2 and its channel, and no descriptor more; the truth check holds with it", async () => {
    const name = await bench.sandbox();
    const list = "import os; print(sorted(os.listdir('/proc/self/fd'))[:-1], os.environ.get('COHORT_FD'))";
    const given = await bench.run(name, ["/usr/bin/python3", "-c", list], withTools);
    expect(given.stdout).toBe("['0', '1', '2', '3'] 3\n");
    const without = await bench.run(name, ["/usr/bin/python3", "-c", list]);
    expect(without.stdout).toBe("['0', '1', '2'] None\n");
    const { inside, outside } = await bench.vm.probe(name);
    expect([inside, outside].every((layers) => layers.includes("no-inherited-descriptor"))).toBe(true);
  });

  test("the channel leads to no process of the warden: its peer cannot be signalled, and takes no descriptor", async () => {
    const script = `
import socket, signal, os, array
s = socket.socket(fileno=3)
pid, uid, gid = __import__("struct").unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
print("pid", pid)
try:
    fd = __import__("struct").unpack("i", s.getsockopt(socket.SOL_SOCKET, 77, 4))[0]
    signal.pidfd_send_signal(fd, 0)
    print("signalled")
except (OSError, ProcessLookupError):
    print("refused")
for address in ("/tmp/x", "\\0x"):
    for call in (s.bind, s.connect):
        try:
            call(address); print("possible")
        except OSError:
            pass
sent = 0
for round in range(3000):
    try:
        sent += s.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2, 3] * 20))], socket.MSG_DONTWAIT)
    except OSError:
        pass
print("ended")
`;
    const name = await bench.sandbox();
    const { exit, stdout } = await bench.run(name, ["/usr/bin/python3", "-c", script], withTools);
    expect({ code: exit.code, stdout }).toEqual({ code: 0, stdout: "pid 0\nrefused\nended\n" });
    expect((await bench.sh(name, "echo on")).stdout).toBe("on\n");
  });
});
