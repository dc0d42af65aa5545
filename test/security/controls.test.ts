import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { wardenUnavailable, type WardenOptions } from "../vm/warden-process.ts";
import { EscapeBench } from "./escape-bench.ts";
import { groups, isRefusal, networks, type Group, type Network } from "./escapes/attempt.ts";
import { WeakenedWarden } from "./weakened-warden.ts";

const TITLE = wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`;

/** What gets out when the layer that is named for it is gone: were any of these still refused, its test could not fail. */
const getsThrough: Readonly<Record<Group, readonly string[]>> = {
  uid: ["setuid to root", "setfsuid to root", "chown to root", "init's mem", "init's fd", "init's ns/mnt"],
  mounts: ["the kernel's symbols", "the keys of others", "the kernel's command line"],
  namespaces: [
    "a descriptor of a process of the machine",
    "SIGIO to a process of the machine",
    "the session of a process of the machine",
    "the machine's shared memory",
    "the machine's message queue",
    "the machine's semaphores",
    "the machine's name",
    "the machine's cgroups in /proc/self/cgroup",
    "a descriptor above 2",
  ],
  seccomp: [
    "a socket of AF_INET, type 1",
    "a socket of AF_UNIX, type 2",
    "a pair of datagram sockets",
    "io_uring_setup",
    "kernel AIO",
    "unshare of a user namespace",
    "every kind of namespace, by unshare and by clone",
    "clone3",
    "ptrace TRACEME",
    "ptrace of a child of its own",
    "keyctl",
    "personality without address randomisation",
    "a set-user-id file by open",
    "a file without a name that is made set-user-id",
    "a lease on a file, which makes the machine's open wait",
    "another project's quota",
    "huge pages, which no limit counts",
    "a filter of its own that allows all",
    "a supervisor of its own that lets all go on",
  ],
  landlock: [
    "a file that everyone may read, outside what is granted",
    "the same under a domain of its own that allows all",
    "being killed last when memory ends",
    "another name in the machine's audit log",
  ],
  capabilities: ["no_new_privs is set", "changing the securebits", "an immutable file", "a trusted attribute", "a file capability"],
  cgroup: ["more memory than its limit", "more processes than its limit"],
  rlimits: ["raising the hard limit of a core file"],
};

describe.skipIf(wardenUnavailable !== null)(`attempts to get out${TITLE}`, () => {
  let weakened: WeakenedWarden;

  beforeAll(async () => {
    weakened = await WeakenedWarden.build();
  }, 180_000);

  afterAll(() => weakened?.remove());

  /** Names of the attempts of this group that are not refused in any of these ways. */
  async function escaped(group: Group, options: WardenOptions, ways: readonly Network[]): Promise<readonly string[]> {
    const escapes = await EscapeBench.start(options);
    try {
      const name = await escapes.sandbox();
      const attempts = (await escapes.attempts(name)).filter(({ layer }) => layer === group);
      const results = await escapes.tried(
        name,
        attempts.map(({ how }) => how),
      );
      return attempts.flatMap((attempt, index) =>
        ways.some((network) => isRefusal(attempt, network, results[index] ?? "no answer")) ? [] : [attempt.what],
      );
    } finally {
      await escapes.stop();
    }
  }

  test.each(groups)("control: without the layer %s, attempts that it refuses get through", async (group) => {
    expect(await escaped(group, weakened.without(group), ["none"])).toEqual(expect.arrayContaining([...getsThrough[group]]));
  });

  test.each(groups)("are refused by the layer %s alone, the others taken away", async (group) => {
    // Where no filter refuses a socket, the empty network's own errors are the refusal, as with network proxied.
    expect(await escaped(group, weakened.withOnly(group), networks)).toEqual([]);
  });
});
