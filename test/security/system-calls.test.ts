import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { wardenUnavailable } from "../vm/warden-process.ts";
import { EscapeBench } from "./escape-bench.ts";

type Attempt = readonly [what: string, call: string, outcomes: readonly string[]];

const EPERM = ["EPERM"];
const ENOSYS = ["ENOSYS"];
/** What the kernel answers by itself once the capability is gone, or the filter: either way nothing happened. */
const REFUSED = ["EPERM", "EACCES", "ENOSYS"];
const NEW_USER_NS = 0x1000_0000;
const SIGCHLD = 17;

const sockets: readonly Attempt[] = [
  ...Object.entries({
    UNIX: 1,
    INET: 2,
    AX25: 3,
    IPX: 4,
    X25: 9,
    INET6: 10,
    KEY: 15,
    NETLINK: 16,
    PACKET: 17,
    RDS: 21,
    CAN: 29,
    TIPC: 30,
    BLUETOOTH: 31,
    ALG: 38,
    VSOCK: 40,
    QIPCRTR: 42,
    SMC: 43,
    XDP: 44,
  }).flatMap(([family, number]) =>
    [1, 2, 3, 5].map((type): Attempt => [`a socket of AF_${family}, type ${type}`, `socket|${number}|${type}|0`, EPERM]),
  ),
  ["a socket whose family has high bits", "socket|0x100000002|1|0", EPERM],
  ["a socket whose type has flags", "socket|2|0x80801|0", EPERM],
  ["a pair of AF_INET", "socketpair|2|1|0|z=8", EPERM],
  ["a pair of AF_NETLINK", "socketpair|16|3|0|z=8", EPERM],
  ["a pair of datagram sockets", "socketpair|1|2|0|z=8", EPERM],
  ["a pair of datagram sockets with flags", "socketpair|1|0x80802|0|z=8", EPERM],
  ["a pair of datagram sockets by way of SOCK_RAW", "socketpair|1|3|0|z=8", EPERM],
  ["a pair of datagram sockets whose type has high bits", "socketpair|1|0x100000002|0|z=8", EPERM],
  ["a pair whose family has high bits", "socketpair|0x100000002|1|0|z=8", EPERM],
  ["connect", "connect|0|z=110|110", EPERM],
  ["bind", "bind|0|z=110|110", EPERM],
  ["listen", "listen|0|1", EPERM],
  ["accept4", "accept4|0|0|0|0", EPERM],
  ["io_uring_setup", "io_uring_setup|8|z=128", ENOSYS],
  ["io_uring_enter", "io_uring_enter|0|1|0|0", ENOSYS],
  ["io_uring_register", "io_uring_register|0|0|0|0", ENOSYS],
];

const namespaces: readonly Attempt[] = [
  ["unshare of a user namespace", `unshare|${NEW_USER_NS}`, EPERM],
  ["unshare of a mount namespace", "unshare|0x20000", EPERM],
  ["unshare of the file system information", "unshare|0x200", EPERM],
  ["clone of a user namespace", `clone|${NEW_USER_NS + SIGCHLD}|0|0|0|0`, EPERM],
  ["clone of a user namespace with high bits", `clone|${2 ** 32 + NEW_USER_NS + SIGCHLD}|0|0|0|0`, EPERM],
  ["clone of a pid and network namespace", `clone|${0x6000_0000 + SIGCHLD}|0|0|0|0`, EPERM],
  ["clone3", "clone3|z=88|88", ENOSYS],
  ["setns", "setns|0|0", EPERM],
  ["mount", "mount|s=tmpfs|s=/tmp|s=tmpfs|0|0", EPERM],
  ["mount that makes the root writable", "mount|0|s=/|0|0x20|0", EPERM],
  ["mount that makes all shared", "mount|0|s=/|0|0x104000|0", EPERM],
  ["bind mount", "mount|s=/usr|s=/tmp|0|0x1000|0", EPERM],
  ["umount of /tmp", "umount2|s=/tmp|2", EPERM],
  ["pivot_root", "pivot_root|s=/tmp|s=/tmp", EPERM],
  ["chroot", "chroot|s=/tmp", EPERM],
  ["open_tree", "open_tree|-100|s=/|1", EPERM],
  ["fsopen", "fsopen|s=tmpfs|0", EPERM],
  ["fspick", "fspick|-100|s=/|0", EPERM],
  ["fsconfig", "fsconfig|0|0|0|0|0", EPERM],
  ["fsmount", "fsmount|0|0|0", EPERM],
  ["move_mount", "move_mount|-100|s=/tmp|-100|s=/usr|0", EPERM],
  ["mount_setattr", "mount_setattr|-100|s=/|0|z=32|32", EPERM],
];

const privileges: readonly Attempt[] = [
  ["setuid to root", "setuid|0", ["EPERM", "EINVAL"]],
  ["setgid to root", "setgid|0", ["EPERM", "EINVAL"]],
  ["setresuid to a neighbour", "setresuid|1000|1000|1000", ["EPERM", "EINVAL"]],
  ["setresgid to a neighbour", "setresgid|1000|1000|1000", ["EPERM", "EINVAL"]],
  ["setgroups", "setgroups|1|x=00000000", EPERM],
  ["capset of all", "capset|x=2205082000000000|x=ffffffffffffffffffffffffffffffffffffffffffffffff", EPERM],
  ["raising an ambient capability", "prctl|47|2|12|0|0", ["EPERM", "EINVAL"]],
  ["unsetting no_new_privs", "prctl|38|0|0|0|0", ["EINVAL", "EPERM"]],
  ["changing the securebits", "prctl|28|0|0|0|0", EPERM],
  ["no_new_privs is set", "prctl|39|0|0|0|0", ["OK 1"]],
  ["the bounding set is empty of CAP_SYS_ADMIN", "prctl|23|21|0|0|0", ["OK 0"]],
  ["the bounding set is empty of CAP_CHOWN", "prctl|23|0|0|0|0", ["OK 0"]],
  ["raising the hard limit of open files", "setrlimit|7|x=00000000010000000000000001000000", EPERM],
  ["prlimit of the sandbox's init", "prlimit64|1|7|x=00010000000000000001000000000000|0", EPERM],
  ["SCHED_FIFO", "sched_setscheduler|0|1|x=01000000", EPERM],
  [
    "SCHED_DEADLINE",
    "sched_setattr|0|x=3000000006000000000000000000000000000000000000000040420f00000000004042000f000000000040420f00000000|0",
    [...EPERM, "EINVAL"],
  ],
  ["nice −20", "setpriority|0|0|-20", ["EACCES", "EPERM"]],
  ["mlock of 1 GiB", "mlock|z=0x40000000|0x40000000", ["ENOMEM", "EPERM"]],
];

const otherProcesses: readonly Attempt[] = [
  ["ptrace TRACEME", "ptrace|0|0|0|0", EPERM],
  ["ptrace ATTACH to init", "ptrace|16|1|0|0", EPERM],
  ["ptrace SEIZE of init", "ptrace|0x4206|1|0|0", EPERM],
  ["process_vm_readv of init", "process_vm_readv|1|z=16|1|z=16|1|0", EPERM],
  ["process_vm_writev of init", "process_vm_writev|1|z=16|1|z=16|1|0", EPERM],
  ["pidfd_getfd", "pidfd_getfd|0|0|0", EPERM],
  ["process_madvise", "process_madvise|0|0|0|0|0", [...EPERM, "ENOSYS", "EBADF"]],
  ["kcmp with init", "kcmp|1|1|0|0|0", EPERM],
  ["a signal to a process outside", "kill|4194303|9", ["ESRCH"]],
  ["SIGKILL to init has no effect", "kill|1|9", ["OK 0", "EPERM"]],
  ["SIGSTOP to init has no effect", "kill|1|19", ["OK 0", "EPERM"]],
  ["migrate_pages of init", "migrate_pages|1|8|z=8|z=8", [...EPERM, "ENOSYS"]],
  ["move_pages of init", "move_pages|1|0|0|0|0|0", [...EPERM, "ENOSYS"]],
];

const machine: readonly Attempt[] = [
  ["keyctl", "keyctl|0|-3|0", EPERM],
  ["add_key", "add_key|s=user|s=x|s=y|1|-3", EPERM],
  ["request_key", "request_key|s=user|s=x|0|0", EPERM],
  ["bpf", "bpf|0|z=128|128", EPERM],
  ["perf_event_open", "perf_event_open|z=128|0|-1|-1|0", EPERM],
  ["userfaultfd", "userfaultfd|1", EPERM],
  ["fanotify_init", "fanotify_init|0|0", EPERM],
  ["name_to_handle_at", "name_to_handle_at|-100|s=/usr|z=144|z=8|0", EPERM],
  ["open_by_handle_at", "open_by_handle_at|-100|z=144|0", EPERM],
  ["lookup_dcookie", "lookup_dcookie|0|z=64|64", REFUSED],
  ["kexec_load", "kexec_load|0|0|0|0", EPERM],
  ["kexec_file_load", "kexec_file_load|0|0|0|s=|0", EPERM],
  ["init_module", "init_module|z=8|8|s=", EPERM],
  ["delete_module", "delete_module|s=x|0", EPERM],
  ["reboot", "reboot|0xfee1dead|672274793|0x89abcdef|0", EPERM],
  ["swapon", "swapon|s=/tmp/x|0", EPERM],
  ["swapoff", "swapoff|s=/tmp/x", EPERM],
  ["acct", "acct|s=/tmp/x", EPERM],
  ["syslog", "syslog|3|z=64|64", EPERM],
  ["the size of the kernel's log", "syslog|10|0|0", EPERM],
  ["sethostname", "sethostname|s=x|1", EPERM],
  ["setdomainname", "setdomainname|s=x|1", EPERM],
  ["settimeofday", "settimeofday|z=16|0", EPERM],
  ["clock_settime", "clock_settime|0|z=16", EPERM],
  ["quotactl", "quotactl|0x80000100|s=/dev/vda|0|z=64", REFUSED],
  ["quotactl_fd", "quotactl_fd|0|0|0|0", REFUSED],
  ["personality", "personality|8", EPERM],
  ["personality without address randomisation", "personality|0x40000", EPERM],
  ["iopl", "iopl|3", REFUSED],
  ["ioperm", "ioperm|0|1|1", REFUSED],
  ["vhangup", "vhangup", EPERM],
  ["modify_ldt", "modify_ldt|1|z=16|16", [...REFUSED, "EINVAL"]],
  ["TIOCSTI", "ioctl|0|0x5412|s=x", EPERM],
  ["TIOCSTI with bit 32 set", "ioctl|0|0x100005412|s=x", EPERM],
  ["TIOCLINUX", "ioctl|0|0x541c|x=02", EPERM],
  ["TIOCLINUX with bit 40 set", "ioctl|0|0x1000000541c|x=02", EPERM],
  ["TIOCSETD, another line discipline", "ioctl|0|0x5423|x=0f000000", [...EPERM, "ENOTTY"]],
];

const S_IFREG = 0o100000;
const S_IFCHR = 0o020000;
const O_TMPFILE = 0x410000;

const filesOfOthers: readonly Attempt[] = [
  ["chmod to set-user-id", `chmod|s=.|04755`, EPERM],
  ["chmod to set-group-id", `chmod|s=.|02755`, EPERM],
  ["fchmodat to set-user-id", `fchmodat|-100|s=.|04755`, EPERM],
  ["fchmodat2 to set-user-id", `#452|-100|s=.|04755|0`, EPERM],
  ["creating a set-user-id file by open", `openat|-100|s=suid|0x41|04755`, EPERM],
  ["creating a set-user-id file by creat", `creat|s=suid|04755`, EPERM],
  ["creating a set-user-id file by mknod", `mknodat|-100|s=suid|${S_IFREG + 0o4755}|0`, EPERM],
  ["creating a set-user-id file without a name", `openat|-100|s=.|${O_TMPFILE + 2}|04755`, EPERM],
  ["openat2, which hides its mode", "openat2|-100|s=.|z=24|24", ENOSYS],
  ["a whiteout by mknod", `mknodat|-100|s=white|${S_IFCHR}|0`, EPERM],
  ["a whiteout by rename", "renameat2|-100|s=a|-100|s=b|4", EPERM],
  ["a lease on a file, which makes the host's open wait", "fcntl|0|1024|0", EPERM],
  ["a lease on a directory", "fcntl|0|1040|0", EPERM],
  ["a trusted attribute", "setxattr|s=.|s=trusted.x|s=y|1|0", ["EPERM", "EOPNOTSUPP"]],
  [
    "a file capability",
    "setxattr|s=.|s=security.capability|x=0100000200000000000000000000000000000000|20|0",
    ["EPERM", "EOPNOTSUPP", "EINVAL"],
  ],
  ["chown to root", "#92|s=.|0|0", EPERM],
  ["an io priority of real time", "ioprio_set|1|0|0x2000", EPERM],
  ["a system call of Linux 6.15, open_tree_attr", "#467|-100|s=/|1|z=32|32", REFUSED],
  ["a system call that no kernel has", "#1000", ENOSYS],
];

const groups: Readonly<Record<string, readonly Attempt[]>> = {
  sockets,
  namespaces,
  privileges,
  "other processes": otherProcesses,
  "the machine": machine,
  "files of others": filesOfOthers,
};

describe.skipIf(wardenUnavailable !== null)(
  `a child's system calls${wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`}`,
  () => {
    let escapes: EscapeBench;
    let name = "";

    beforeAll(async () => {
      escapes = await EscapeBench.start();
      name = await escapes.sandbox();
    });

    afterAll(async () => {
      await escapes?.stop();
    });

    test.each(Object.entries(groups))("for %s are refused, each with its errno", async (_, attempts) => {
      const { stdout, stderr, exit } = await escapes.inside(
        name,
        "attempt",
        attempts.map(([, call]) => call),
      );
      expect({ code: exit.code, stderr }).toEqual({ code: 0, stderr: "" });
      const outcomes = stdout.trimEnd().split("\n");
      expect(outcomes.length).toBe(attempts.length);
      const surprises = attempts.flatMap(([what, , allowed], index) => {
        const outcome = outcomes[index] ?? "";
        return allowed.includes(outcome) ? [] : [`${what}: ${outcome}, not ${allowed.join(" or ")}`];
      });
      expect(surprises).toEqual([]);
    });

    test("control: an ordinary user outside may do what the child may not", () => {
      const calls = [
        "socket|2|1|0",
        "socket|1|2|0",
        "socketpair|1|2|0|z=8",
        "ptrace|0|0|0|0",
        `unshare|${NEW_USER_NS}`,
        "keyctl|0|-3|1",
        "personality|8",
        "prctl|39|0|0|0|0",
        "prctl|23|21|0|0|0",
      ];
      const outcomes = escapes
        .outside("attempt", calls)
        .trimEnd()
        .split("\n")
        .map((line) => (line.startsWith("OK") && !line.endsWith(" 0") && !line.endsWith(" 1") ? "OK" : line));
      expect(outcomes).toEqual(["OK", "OK", "OK 0", "OK 0", "OK 0", "OK", "OK 0", "OK 0", "OK 1"]);
    });

    test("that it needs for itself work: pairs of stream sockets, FIFOs, its own children, its own limits", async () => {
      const calls = [
        "socketpair|1|1|0|z=8",
        "socketpair|1|5|0|z=8",
        "socketpair|1|0x80801|0|z=8",
        "mknodat|-100|s=fifo|4480|0",
        "getpid",
        "setpriority|0|0|10",
        "kill|0|0",
        "prlimit64|0|7|0|z=16",
      ];
      const { stdout } = await escapes.inside(name, "attempt", calls);
      expect(
        stdout
          .trimEnd()
          .split("\n")
          .map((line) => line.split(" ")[0]),
      ).toEqual(calls.map(() => "OK"));
    });

    test("by x32 numbers are ENOSYS, by int 0x80 are killed by SIGSYS; outside int 0x80 makes a socket", async () => {
      expect((await escapes.inside(name, "escape", ["x32"])).stdout).toBe("x32 ENOSYS\n");
      const controls = ["int80-socket", "int80-socketcall"].map((mode) => escapes.outside("escape", [mode]));
      for (const [index, mode] of ["int80-socket", "int80-socketcall"].entries()) {
        const { exit, stdout } = await escapes.inside(name, "escape", [mode]);
        if (controls[index] === "" || controls[index] === "int80 absent\n") continue;
        expect({ cause: exit.cause, signal: exit.signal, stdout }).toEqual({ cause: "signaled", signal: 31, stdout: "" });
      }
      expect(controls[0]).toMatch(/^(int80 \d+\n|int80 absent\n|)$/);
    });

    test("are not freed by a seccomp filter of its own", async () => {
      expect((await escapes.inside(name, "escape", ["own-filter"])).stdout).toMatch(/^filter (OK|EPERM)\nsocket EPERM\nunshare EPERM\n$/);
    });

    test("cannot reach a socket in a granted directory, not even through a pair", async () => {
      const { stdout } = await escapes.inside(name, "escape", ["datagram-to", "/tmp/some.sock"]);
      expect(stdout).toMatch(
        /^stream pair OK\nsendto (EPERM|EISCONN|EOPNOTSUPP)\nconnect EPERM\nbind EPERM\ndatagram pair EPERM\nraw pair EPERM\n$/,
      );
    });
  },
);
