import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { wardenUnavailable } from "../vm/warden-process.ts";
import { EscapeBench, networkUnavailable } from "./escape-bench.ts";
import { isRefusal, networks, type Aims } from "./escapes/attempt.ts";
import { fileAttempts } from "./escapes/files.ts";
import { processAttempts } from "./escapes/processes.ts";
import { machineCalls, namespaceCalls, socketCalls } from "./escapes/system-calls.ts";

const TITLE = wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`;

/** Tests need names before there is anything to aim at. */
const noAims: Aims = {
  home: "/sessions/own",
  siblingHome: "/sessions/sibling",
  readOnlyGrant: "/sessions/own/mnt/tools",
  hostPid: 2,
  personUid: 1,
  siblingUid: 2,
  ipcKey: 1,
  wardenSocket: "/socket",
  wardenDirectory: "/directory",
  abstractSocket: "name",
  hostPort: 1,
  hostName: "machine",
};
const titled = [...socketCalls, ...namespaceCalls, ...machineCalls, ...processAttempts(noAims), ...fileAttempts(noAims)];

describe.skipIf(wardenUnavailable !== null)(`a child${TITLE}`, () => {
  let escapes: EscapeBench;

  beforeAll(async () => {
    escapes = await EscapeBench.start();
  });

  afterAll(async () => {
    await escapes?.stop();
  });

  describe.each(networks)("with network %s does not get out by", (network) => {
    let unavailable: string | null = "not tried yet";
    let outcomes: readonly { readonly result: string; readonly isRefusal: boolean }[] = [];

    beforeAll(async () => {
      unavailable = await networkUnavailable(escapes, network);
      if (unavailable !== null) {
        console.warn(`skipped: the warden builds no sandbox with network ${network}: ${unavailable}`);
        return;
      }
      const name = await escapes.sandbox({ network });
      const attempts = await escapes.attempts(name);
      const results = await escapes.tried(
        name,
        attempts.map(({ how }) => how),
      );
      outcomes = attempts.map((attempt, index) => {
        const result = results[index] ?? "no answer";
        return { result, isRefusal: isRefusal(attempt, network, result) };
      });
    });

    test.for(titled.map(({ what }, index) => [what, index] as const))("%s", ([, index], { skip }) => {
      if (unavailable !== null) skip(unavailable);
      const outcome = outcomes[index];
      expect(outcome?.isRefusal === true ? "refused" : outcome?.result).toBe("refused");
    });
  });

  test("does not type into a terminal that it was given, nor into anybody else's", async () => {
    const name = await escapes.sandbox();
    const typed = [
      "ioctl|0|0x5412|s=x",
      "ioctl|1|0x100005412|s=x",
      "ioctl|0|0x5423|x=0f000000",
      "ioctl|0|0x541d|0",
      "ioctl|0|0x541c|x=02",
      "vhangup",
    ];
    const { stdout } = await escapes.inside(name, "attempt", typed, { pty: { rows: 24, columns: 80 } });
    expect(stdout.match(/"result":"\w+"/gu)).toEqual(typed.map(() => '"result":"EPERM"'));
  });

  test("control: an ordinary user of the machine may do what the child may not", () => {
    const may = {
      "socket|2|1|0": /^OK/,
      "socket|1|2|0": /^OK/,
      "socketpair|1|2|0|z=8": /^OK 0$/,
      "ptrace|0|0|0|0": /^OK 0$/,
      "keyctl|0|-3|1": /^OK/,
      "personality|8": /^OK 0$/,
      "prctl|39|0|0|0|0": /^OK 0$/,
      "prctl|23|21|0|0|0": /^OK 1$/,
      "own-filter": /^(EACCES|a user namespace)$/,
      "huge-pages": /^(huge pages|ENOMEM)$/,
      "int80|20": /^(OK \d+|ENOSYS|SIGNAL 11)$/,
      "openat|-100|s=/proc/kallsyms|0|0": /^OK/,
      "openat|-100|s=/sys/fs/cgroup|0|0": /^OK/,
      "openat|-100|s=/etc/shadow|0|0": /^EACCES$/,
      "openat|-100|s=/dev/ptmx|2|0": /^OK/,
    };
    const results = escapes.triedOutside(Object.keys(may));
    expect(Object.values(may).map((wanted, index) => (wanted.test(results[index] ?? "") ? "as a user" : results[index]))).toEqual(
      results.map(() => "as a user"),
    );
  });

  test("control: what it needs for itself works: pairs of stream sockets, pipes with a name, its own children, its own limits", async () => {
    const name = await escapes.sandbox();
    const needed = [
      "socketpair|1|1|0|z=8",
      "socketpair|1|5|0|z=8",
      "socketpair|1|0x80801|0|z=8",
      "mknodat|-100|s=fifo|4480|0",
      "openat|-100|s=file|0x41|0600",
      "openat|-100|s=/tmp/file|0x41|0600",
      "openat|-100|s=/dev/shm/file|0x41|0600",
      "openat|-100|s=/dev/null|2|0",
      "openat|-100|s=/dev/urandom|0|0",
      "getpid",
      "setpriority|0|0|10",
      "kill|0|0",
      "prlimit64|0|7|0|z=16",
      "memfd_create|s=x|0",
      "madvise-own|4",
      "prctl|15|s=name|0|0|0",
      "lock-memory|0x10000",
      "use-processes|20",
      "use-memory|16",
    ];
    expect((await escapes.tried(name, needed)).map((result) => result.split(" ")[0])).toEqual(needed.map(() => "OK"));
  });
});
