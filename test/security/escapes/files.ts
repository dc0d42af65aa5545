/** Attempts by paths, links, attributes and file systems. */
import { attemptsOf, type Aims, type Attempt } from "./attempt.ts";

const S_IFREG = 0o100000;
const S_IFCHR = 0o020000;
const O_TMPFILE = 0x410000;
const WRITE_CREATE = 0x41;
const READ = 0;

const devices =
  "kvm vda vda1 sda nvme0n1 mem kmem port fuse ptmx vsock vhost-net net/tun uinput rfkill hpet nvram kmsg mapper/control loop-control loop0 console tty0 tty1 ttyS0 autofs userfaultfd cuse dri input snd cpu/0/msr vfio/vfio sgx_enclave udmabuf dma_heap/system watchdog rtc0 pts/0 hugepages mqueue btrfs-control".split(
    " ",
  );
const hidden =
  "/root /home /var/lib /var/log /boot /srv /opt /mnt /media /sys /sys/fs/cgroup /sys/kernel/security /lost+found /run/docker.sock /var/run/docker.sock /run/dbus/system_bus_socket /run/systemd/private /tmp/.X11-unix /etc/gshadow /etc/sudoers /etc/ssh /etc/hostname /etc/machine-id /etc/fstab".split(
    " ",
  );
const unwritable =
  "/proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/vm/overcommit_memory /proc/sys/fs/binfmt_misc/register /proc/sysrq-trigger /proc/self/setgroups /proc/1/mem /proc/1/oom_score_adj /proc/irq/default_smp_affinity /proc/bus /proc/acpi /proc/mtrr /proc/kcore /proc/1/clear_refs".split(
    " ",
  );
/** The kernel lets the child's own user open these, and refuses some writes. */
const ownControls =
  "/proc/sys/kernel/ns_last_pid /proc/self/uid_map /proc/self/gid_map /proc/self/timens_offsets /proc/1/attr/current /proc/1/timerslack_ns".split(
    " ",
  );
const ofInit =
  "mem environ maps smaps auxv fd fdinfo map_files pagemap stack syscall io ns/mnt ns/user ns/net ns/pid cwd/x root/x personality".split(
    " ",
  );

export function fileAttempts(aims: Aims): readonly Attempt[] {
  const open = (path: string, flags: number): string => `openat|-100|s=${path}|${flags}|0600`;
  const { home, siblingHome, readOnlyGrant } = aims;
  return [
    ...attemptsOf("mounts", [
      ...[
        "/etc/shadow",
        "/proc/self/root/../../etc/shadow",
        "../../../../../../etc/shadow",
        "/proc/self/cwd/../../../etc/shadow",
        "/usr/../etc/shadow",
      ].map((path) => [`reading ${path}`, open(path, READ), "ENOENT"] as const),
      ["going up without end", "dot-dot", "ENOENT"],
      [`a sibling's home`, open(siblingHome, READ), "ENOENT"],
      [`a file in a sibling's home`, open(`${siblingHome}/secret`, READ), "ENOENT"],
      ["a sibling's home by a way up", open(`../../${siblingHome.slice("/sessions/".length)}/secret`, READ), "ENOENT"],
      ["a sibling's /tmp", open("/tmp/secret", READ), "ENOENT"],
      ["the warden's socket", open(aims.wardenSocket, READ), "ENOENT"],
      ["the warden's directory", open(aims.wardenDirectory, READ), "ENOENT"],
      ["a process of the machine in /proc", open(`/proc/${aims.hostPid}/status`, READ), "ENOENT"],
      ...hidden.map((path) => [`the machine's ${path}`, open(path, READ), "ENOENT"] as const),
      ...devices.map((device) => [`the device /dev/${device}`, open(`/dev/${device}`, 2), "ENOENT"] as const),
      ["the terminal of whoever started it", open("/dev/tty", 2), "ENOENT or ENXIO"],
      ...[
        "/usr/x",
        "/usr/bin/x",
        "/x",
        "/dev/x",
        "/etc/x",
        "/etc/cohort/x",
        "/lib/x",
        "/sessions/x",
        `${home}/mnt/x`,
        `${readOnlyGrant}/x`,
      ].map((path) => [`writing ${path.replace(home, "~")}`, open(path, WRITE_CREATE), "EROFS or EACCES"] as const),
      ["writing the user database", open("/etc/passwd", 1), "EROFS or EACCES"],
      ["opening a file of /usr again, for writing", "reopen-writable|/usr/bin/env", "EROFS or EACCES"],
      ["opening a read-only grant again, for writing", `reopen-writable|${readOnlyGrant}/attempt`, "EROFS or EACCES or ETXTBSY"],
      ["opening its own program for writing", "reopen-writable|/proc/self/exe", "EROFS or EACCES or ETXTBSY"],
      ["a hard link of a file of /usr", "link|s=/usr/bin/id|s=id", "EXDEV"],
      ["a hard link of the user database", "link|s=/etc/passwd|s=/tmp/passwd", "EXDEV or EPERM"],
      ["a hard link of a file that is granted read-only", `link|s=${readOnlyGrant}/attempt|s=linked`, "EXDEV"],
      ["a hard link of a descriptor", "link-of-descriptor|/usr/bin/id", "ENOENT or EXDEV"],
      ["a hard link through /proc", "link-through-proc|/usr/bin/id", "EXDEV"],
      ["a rename across mounts", `rename|s=${home}/out|s=/tmp/y`, "EXDEV"],
      ["renaming ~/mnt", `rename|s=${home}/mnt|s=${home}/other`, "EBUSY"],
      ["removing ~/mnt", `unlinkat|-100|s=${home}/mnt|0x200`, "EBUSY"],
      ["exchanging ~/mnt with a directory of its own", `exchange|${home}/mnt`, "EBUSY or EACCES"],
      ["exchanging its home", `exchange|${home}`, "EBUSY or EXDEV or EINVAL"],
      ["a link in the place of ~/mnt", `symlink|s=/etc|s=${home}/mnt`, "EEXIST"],
      ["a directory in ~/mnt", `mkdir|s=${home}/mnt/x|0700`, "EROFS"],
      ["removing a grant's place", `unlinkat|-100|s=${readOnlyGrant}|0x200`, "EBUSY or EROFS"],
      ["moving a grant's place", `rename|s=${readOnlyGrant}|s=${home}/mnt/t`, "EBUSY or EROFS or EXDEV"],
      ["chmod of a file that is granted read-only", `chmod|s=${readOnlyGrant}/attempt|0777`, "EROFS or EPERM"],
      ["a time of a file that is granted read-only", `utimensat|-100|s=${readOnlyGrant}/attempt|0|0`, "EROFS or EACCES or EPERM"],
      [
        "an attribute of a file that is granted read-only",
        `setxattr|s=${readOnlyGrant}/attempt|s=user.x|s=y|1|0`,
        "EROFS or EPERM or EOPNOTSUPP",
      ],
      ["mounts that the machine would see", "mount-propagation", "NO GAIN"],
      ["other devices, sockets or disks, anywhere", "odd-files|/", "ENOENT"],
      ["the kernel's symbols", "read-some|/proc/kallsyms", "ENODATA or EACCES or ENOENT"],
      ["the kernel's memory", "read-some|/proc/kcore", "ENODATA or EACCES or ENOENT or EPERM"],
      ["the keys of others", "read-some|/proc/keys", "ENODATA or EACCES or ENOENT"],
      ["the kernel's command line", "read-some|/proc/cmdline", "ENODATA or EACCES or ENOENT"],
      ["the kernel's modules", "read-some|/proc/modules", "ENODATA or EACCES or ENOENT"],
    ]),
    ...attemptsOf("uid", [
      ["the kernel's timers", "read-some|/proc/timer_list", "ENODATA or EACCES or ENOENT"],
      ...unwritable.map((path) => [`writing ${path}`, open(path, 1), "EACCES or ENOENT or EPERM or EROFS or EISDIR"] as const),
      ...ofInit.map((name) => [`init's ${name}`, open(`/proc/1/${name}`, READ), "EACCES or ENOENT or EPERM"] as const),
      ["a uid map", "write-to|/proc/self/uid_map|0 0 1", "EPERM or EACCES"],
      ["a gid map", "write-to|/proc/self/gid_map|0 0 1", "EPERM or EACCES"],
      ["setgroups in a map", "write-to|/proc/self/setgroups|allow", "EPERM or EACCES or EINVAL"],
      ["an offset of the clock", "write-to|/proc/self/timens_offsets|7 1 1", "EPERM or EACCES or ENOENT"],
      ["init's next security context", "write-to|/proc/1/attr/exec|x", "EACCES or EINVAL or ENOENT or EPERM"],
    ]),
    ...attemptsOf("capabilities", [
      ["the kernel's log", open("/proc/kmsg", READ), "EPERM or EACCES or ENOENT"],
      ["physical addresses of devices", "addresses-in|/proc/iomem", "NO GAIN or ENOENT or EACCES"],
      ["a block device", "mknodat|-100|s=block|0060600|0x100", "EPERM"],
      ["a character device", "mknodat|-100|s=char|0020600|0x103", "EPERM"],
      ["a character device in /tmp", "mknodat|-100|s=/tmp/char|0020600|0x101", "EPERM"],
      ["a trusted attribute", "setxattr|s=.|s=trusted.x|s=y|1|0", "EPERM"],
      ["an attribute of overlays", "setxattr|s=.|s=trusted.overlay.opaque|s=y|1|0", "EPERM"],
      ["a security attribute", "setxattr|s=.|s=security.x|s=y|1|0", "EPERM or EOPNOTSUPP"],
      ["a file capability", "capable-file", "EPERM"],
      ["freezing a file system", "control|.|0xc0045877", "EPERM"],
      ["trimming a file system", "control|.|0xc0185879", "EPERM or ENOTTY"],
    ]),
    ...attemptsOf("seccomp", [
      ["chmod to set-user-id", "chmod|s=.|04755", "EPERM"],
      ["chmod to set-group-id", "chmod|s=.|02755", "EPERM"],
      ["fchmodat to set-user-id", "fchmodat|-100|s=.|04755", "EPERM"],
      ["fchmodat2 to set-user-id", "#452|-100|s=.|04755|0", "EPERM"],
      ["a set-user-id file by open", "openat|-100|s=suid|0x41|04755", "EPERM"],
      ["a set-user-id file by the older open", "#2|s=suid|0x41|04755", "EPERM"],
      ["a set-user-id file by creat", "creat|s=suid|04755", "EPERM"],
      ["a set-user-id file by mknod", `mknodat|-100|s=suid|${S_IFREG + 0o4755}|0`, "EPERM"],
      ["a set-user-id file without a name", `openat|-100|s=.|${O_TMPFILE + 2}|04755`, "EPERM"],
      ["a file without a name that is made set-user-id", "unnamed-set-id-file", "EPERM"],
      ["openat2, which hides its mode", "openat2|-100|s=.|z=24|24", "ENOSYS"],
      ["a whiteout by mknod", `mknodat|-100|s=white|${S_IFCHR}|0`, "EPERM"],
      ["a whiteout by rename", "renameat2|-100|s=a|-100|s=b|4", "EPERM"],
      ["a lease on a file, which makes the machine's open wait", "lease|/usr/bin/env", "EPERM"],
      ["a lease on a directory", "fcntl|0|1040|0", "EPERM"],
      ["a snapshot of all that lies around a granted directory (btrfs)", "control|.|0x50009401", "EPERM"],
      ["a subvolume (btrfs)", "control|.|0x5000940e", "EPERM"],
      ["a search in the trees of a file system (btrfs)", "control|.|0xd0009411", "EPERM"],
      ["a key for a file system, which stays there", "control|.|0xc0506617", "EPERM"],
      ["an encryption policy", "control|.|0x800c6613", "EPERM"],
      ["a file that its owner cannot change again (verity)", "control|.|0x40806685", "EPERM"],
      ["another project's quota", "control|.|0x401c5820", "EPERM"],
    ]),
    ...attemptsOf("landlock", [
      [
        "any file of /proc/sys, /proc/irq, /proc/bus and /proc/fs that can be written",
        "writable-below|/proc/sys|/proc/irq|/proc/bus|/proc/fs|/proc/driver",
        "EACCES",
      ],
      ...ownControls.map((path) => [`writing ${path}`, open(path, 1), "EACCES or ENOENT"] as const),
      ["a file that everyone may read, outside what is granted", open("/run/landlock-canary", READ), "EACCES"],
      ["the same under a domain of its own that allows all", "own-domain|/run/landlock-canary", "EACCES"],
      ["the same by a way through /proc", open("/proc/self/root/run/landlock-canary", READ), "EACCES"],
    ]),
    ...attemptsOf("namespaces", [
      ["the machine's shared memory", `shmget|${aims.ipcKey}|1|0`, "ENOENT"],
      ["the machine's message queue", `msgget|${aims.ipcKey}|0`, "ENOENT"],
      ["the machine's semaphores", `semget|${aims.ipcKey}|1|0`, "ENOENT"],
      ["shared memory by its number", "shmat|0|0|0", "EINVAL"],
      ["the machine's name", `host-name|${aims.hostName}`, "NO GAIN"],
      ["the machine's cgroups in /proc/self/cgroup", "own-cgroups", "NO GAIN"],
      ["a socket in the machine's abstract namespace", `connect-to|@${aims.abstractSocket}`, "EPERM or ECONNREFUSED"],
      ["the machine's loopback", `tcp|127.0.0.1|${aims.hostPort}`, "EPERM", "ECONNREFUSED or EPERM or EACCES or ENETUNREACH"],
      [
        "the machine's loopback by IPv6",
        `tcp|::1|${aims.hostPort}`,
        "EPERM",
        "ECONNREFUSED or EPERM or EACCES or EADDRNOTAVAIL or ENETUNREACH",
      ],
      ["an address outside", "tcp|192.0.2.1|80", "EPERM", "ENETUNREACH or EPERM or EACCES"],
      ["an address outside by IPv6", "tcp|2001:db8::1|80", "EPERM", "ENETUNREACH or EPERM or EACCES or EADDRNOTAVAIL"],
      [
        "an address outside with the first packet's data",
        "tcp-fast-open|192.0.2.1|80",
        "EPERM",
        "ENETUNREACH or EPERM or EACCES or EOPNOTSUPP",
      ],
      ["the cloud's metadata", "tcp|169.254.169.254|80", "EPERM", "ENETUNREACH or EPERM or EACCES"],
      ["the warden's socket by connect", `connect-to|${aims.wardenSocket}`, "EPERM", "EPERM or ENOENT"],
      ["a datagram to the warden's socket", `datagram-to|${aims.wardenSocket}`, "EPERM", "EPERM or ENOENT"],
      ["a descriptor above 2", "inherited-descriptor", "EBADF"],
      ["the process at the other end of its output", "peer-process|1", "ENOTSOCK"],
    ]),
  ];
}
