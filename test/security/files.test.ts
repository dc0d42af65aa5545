import { chmodSync, readFileSync, statSync, writeFileSync, existsSync, readdirSync, mkdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { asPerson, PERSON_UID, wardenUnavailable } from "../vm/warden-process.ts";
import { EscapeBench } from "./escape-bench.ts";

const TITLE = `a child's view of files${wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`}`;
const O_WRONLY_CREAT = 0x41;

describe.skipIf(wardenUnavailable !== null)(TITLE, () => {
  let escapes: EscapeBench;
  let name = "";
  let sibling = "";
  let siblingUid = 0;

  beforeAll(async () => {
    escapes = await EscapeBench.start();
    name = await escapes.sandbox();
    const info = await escapes.bench.vm.create(escapes.bench.plan());
    sibling = info.name;
    siblingUid = info.uid;
    await escapes.bench.sh(sibling, "echo secret > secret; chmod 777 . secret; echo secret > /tmp/secret; chmod 666 /tmp/secret");
    await escapes.bench.start(sibling, ["/bin/sleep", "300"]);
  });

  afterAll(async () => {
    await escapes?.stop();
  });

  /** One line per call: OK, or the errno. */
  async function tried(calls: readonly string[]): Promise<readonly string[]> {
    const { stdout } = await escapes.inside(name, "attempt", calls);
    return stdout
      .trimEnd()
      .split("\n")
      .map((line) => (line.startsWith("OK") ? "OK" : line));
  }

  const opened = (paths: readonly string[], flags = 0): Promise<readonly string[]> =>
    tried(paths.map((path) => `openat|-100|s=${path}|${flags}|0600`));

  async function surprises(paths: readonly string[], allowed: readonly string[], flags = 0): Promise<readonly string[]> {
    const outcomes = await opened(paths, flags);
    return paths.flatMap((path, index) => (allowed.includes(outcomes[index] ?? "") ? [] : [`${path}: ${outcomes[index]}`]));
  }

  test("holds no shadow file, however it is named", async () => {
    const paths = [
      "/etc/shadow",
      "/etc/gshadow",
      "/etc/sudoers",
      "/proc/self/root/../../etc/shadow",
      "../../../../../../etc/shadow",
      "/proc/self/cwd/../../etc/shadow",
      "/usr/../etc/shadow",
    ];
    expect(await surprises(paths, ["ENOENT"])).toEqual([]);
    expect(await surprises(["/proc/1/root/etc/shadow", "/proc/1/cwd/etc/shadow"], ["EACCES", "ENOENT"])).toEqual([]);
  });

  test("holds nothing of a sibling: home, secret, /tmp, process", async () => {
    expect(
      await surprises([`/sessions/${sibling}`, `/sessions/${sibling}/secret`, `../${sibling}/secret`, "/tmp/secret"], ["ENOENT"]),
    ).toEqual([]);
    const { stdout } = await escapes.bench.sh(
      name,
      "ls /sessions; ls -d /proc/[0-9]* | wc -l; cat /proc/[0-9]*/comm 2>/dev/null | sort -u",
    );
    const [sessions, , ...commands] = stdout.trimEnd().split("\n");
    expect(sessions).toBe(name);
    expect(commands).not.toContain("sleep");
    expect(commands).not.toContain("systemd");
  });

  test("holds nothing of the person, the machine or the supervisor", async () => {
    const paths = [
      "/root",
      "/home",
      "/var/lib",
      "/var/log",
      "/boot",
      "/srv",
      "/opt",
      "/mnt",
      "/media",
      "/sys",
      "/sys/fs/cgroup",
      "/lost+found",
      escapes.bench.warden.directory,
      escapes.bench.warden.socketPath,
      "/run/docker.sock",
      "/var/run/docker.sock",
      "/run/dbus/system_bus_socket",
      "/tmp/.X11-unix",
    ];
    expect(await surprises(paths, ["ENOENT"])).toEqual([]);
    expect((await escapes.bench.sh(name, "find /run /var -type f -size +0 -o -type s -o -type b -o -type p")).stdout).toBe("");
  });

  test("has no device but the harmless ones", async () => {
    const paths = [
      "kvm",
      "vda",
      "vda1",
      "sda",
      "mem",
      "kmem",
      "port",
      "fuse",
      "ptmx",
      "vsock",
      "vhost-net",
      "net/tun",
      "uinput",
      "rfkill",
      "hpet",
      "nvram",
      "kmsg",
      "mapper/control",
      "loop-control",
      "loop0",
      "console",
      "tty0",
      "tty1",
      "ttyS0",
      "autofs",
      "userfaultfd",
      "cuse",
      "dri",
      "input",
      "snd",
    ].map((device) => `/dev/${device}`);
    expect(await surprises(paths, ["ENOENT"])).toEqual([]);
    expect(await surprises(["/dev/tty"], ["ENOENT", "ENXIO"])).toEqual([]);
    expect(await opened(["/dev/null", "/dev/zero", "/dev/urandom"])).toEqual(["OK", "OK", "OK"]);
  });

  test("cannot be written outside home, /tmp and writable mounts", async () => {
    const paths = ["/usr/x", "/usr/bin/x", "/x", "/dev/x", "/etc/x", "/etc/passwd", "/lib/x", "/sessions/x", "mnt/x", "mnt/tools/x"];
    expect(await surprises(paths, ["EROFS", "EACCES"], O_WRONLY_CREAT)).toEqual([]);
    expect(await opened(["x", "/tmp/x", "/dev/shm/x"], O_WRONLY_CREAT)).toEqual([
      "OK",
      "OK",
      expect.stringMatching(/^(OK|ENOENT|EROFS|EACCES)$/),
    ]);
  });

  test("lets it make a FIFO, and neither a device nor a hard link across mounts", async () => {
    const calls = [
      "mknodat|-100|s=block|0060600|0x100",
      "mknodat|-100|s=char|0020600|0x103",
      "mknodat|-100|s=/tmp/char|0020600|0x101",
      "mknodat|-100|s=pipe|0010600|0",
      "link|s=/usr/bin/id|s=id",
      "link|s=/etc/passwd|s=/tmp/passwd",
      "rename|s=x|s=/tmp/y",
    ];
    expect(await tried(calls)).toEqual([
      "EPERM",
      "EPERM",
      "EPERM",
      "OK",
      expect.stringMatching(/^(EXDEV|EPERM)$/),
      expect.stringMatching(/^(EXDEV|EPERM)$/),
      "EXDEV",
    ]);
  });

  test("control: outside, an ordinary user opens and makes what is denied inside", () => {
    const outcomes = escapes.outside("attempt", [
      "openat|-100|s=/proc/kallsyms|0|0",
      "openat|-100|s=/sys/fs/cgroup|0|0",
      "openat|-100|s=/dev/ptmx|2|0",
      `openat|-100|s=${escapes.toolsMount.source}|0|0`,
      "openat|-100|s=/etc/shadow|0|0",
    ]);
    expect(
      outcomes
        .trimEnd()
        .split("\n")
        .map((line) => line.split(" ")[0]),
    ).toEqual(["OK", "OK", "OK", "OK", "EACCES"]);
  });

  test("has /proc masked: no kernel memory, symbols or keys, nothing to write", async () => {
    const { stdout } = await escapes.bench.sh(
      name,
      "cat /proc/kallsyms /proc/keys /proc/key-users /proc/kcore /proc/timer_list /proc/sched_debug /proc/sysrq-trigger 2>/dev/null | head -c 1000 | wc -c",
    );
    expect(stdout.trim()).toBe("0");
    const writable = [
      "/proc/sys/kernel/core_pattern",
      "/proc/sys/kernel/modprobe",
      "/proc/sys/vm/overcommit_memory",
      "/proc/sysrq-trigger",
      "/proc/self/uid_map",
      "/proc/1/mem",
      "/proc/1/oom_score_adj",
      "/proc/irq/default_smp_affinity",
      "/proc/bus",
      "/proc/acpi",
    ];
    expect(await surprises(writable, ["EACCES", "ENOENT", "EPERM", "EROFS", "EISDIR"], 1)).toEqual([]);
  });

  test("cannot map another user, or make itself unkillable", async () => {
    const { stdout } = await escapes.bench.sh(
      name,
      "for f in uid_map gid_map setgroups; do (echo '0 0 1' > /proc/self/$f) 2>/dev/null && echo wrote $f; done; (echo -1000 > /proc/self/oom_score_adj) 2>/dev/null && echo lowered; (echo -900 > /proc/$$/oom_score_adj) 2>/dev/null && echo lowered; true",
    );
    expect(stdout).toBe("");
  });

  test("shows of its init neither memory, descriptors, root, environment nor maps", async () => {
    const paths = [
      "/proc/1/mem",
      "/proc/1/environ",
      "/proc/1/maps",
      "/proc/1/auxv",
      "/proc/1/fd",
      "/proc/1/map_files",
      "/proc/1/pagemap",
      "/proc/1/stack",
      "/proc/1/syscall",
      "/proc/1/io",
      "/proc/1/ns/mnt",
      "/proc/1/ns/user",
      "/proc/1/cwd/x",
      "/proc/1/root/x",
    ];
    expect(await surprises(paths, ["EACCES", "ENOENT", "EPERM"])).toEqual([]);
    const { stdout } = await escapes.bench.sh(name, "readlink /proc/1/root /proc/1/cwd /proc/1/exe; tr -d '\\0' < /proc/1/cmdline");
    expect(stdout).toBe("cohort-init");
  });

  test("has mounts that name nothing of the host but the sources that were granted to it", async () => {
    const { stdout } = await escapes.bench.sh(
      name,
      "cat /proc/self/mountinfo /proc/self/mounts /proc/self/cgroup /proc/self/environ; hostname; dmesg 2>&1",
    );
    // The kernel shows the root of a bind mount within its file system: it cannot be hidden, and the child was given it.
    const own = stdout.replaceAll(`${escapes.toolsMount.source} /sessions/${name}/mnt/tools`, "");
    for (const secret of [escapes.bench.warden.directory, sibling, process.cwd(), "/root", "/home"]) expect(own).not.toContain(secret);
  });

  test("has nobody's environment but the one asked for, and no name of the person", async () => {
    const { stdout } = await escapes.bench.sh(name, "env; cat /etc/passwd; id");
    expect(stdout).not.toMatch(/COHORT_TOKEN|SUDO|SSH|AWS|API_KEY/);
    expect(stdout.split("\n").filter((line) => /^[a-z_-]+:x?:\d+:/.test(line)).length).toBeLessThan(6);
    expect(stdout).not.toContain(`=${PERSON_UID}`);
  });

  test("keeps `mnt` in its place: it can be neither renamed, removed nor replaced", async () => {
    const { stdout } = await escapes.bench.sh(
      name,
      'mv mnt other 2>/dev/null && echo renamed; rmdir mnt 2>/dev/null && echo removed; rm -rf mnt 2>/dev/null; ln -sfn /etc mnt 2>/dev/null; mkdir mnt/x 2>/dev/null && echo made; mv mnt/tools mnt/t 2>/dev/null && echo moved; ls mnt; cd .. && mv "$HOME" other 2>/dev/null; ls -d mnt 2>/dev/null; true',
    );
    expect(stdout).toBe("tools\n");
    expect((await escapes.bench.sh(name, "ls mnt/tools | sort")).stdout).toBe("attempt\nescape\nswap\n");
  });

  test("gives a setuid copy of its own no gain, on its disk, in /tmp and in a writable grant", async () => {
    const grant = escapes.bench.warden.personDirectory("grant");
    const granted = await escapes.sandbox({ mounts: [{ source: grant, target: "grant", mode: "rw" }] });
    for (const directory of [".", "/tmp", "mnt/grant"]) {
      const { stdout } = await escapes.bench.sh(
        granted,
        `cp mnt/tools/escape ${directory}/suid && chmod 6755 ${directory}/suid; mnt/tools/escape setuid-gain ${directory}/suid`,
      );
      expect(stdout).toMatch(/uids one, not root\n$/);
    }
    const left = statSync(join(grant, "suid"), { throwIfNoEntry: false });
    if (left !== undefined) expect(left.uid).toBe(PERSON_UID);
  });

  test("makes no device, socket or setuid root file appear in a writable grant outside", async () => {
    const grant = escapes.bench.warden.personDirectory("grant-2");
    const granted = await escapes.sandbox({ mounts: [{ source: grant, target: "grant", mode: "rw" }] });
    await escapes.bench.sh(
      granted,
      "cd mnt/grant; mknod dev c 1 3 2>/dev/null; mknod blk b 8 0 2>/dev/null; echo x > $(printf 'new\\nline'); printf x > \"$(printf '\\377')\"; ln -s /etc/shadow link; chown 0:0 link 2>/dev/null; true",
    );
    for (const entry of readdirSync(grant, { encoding: "buffer" })) {
      const found = statSync(Buffer.concat([Buffer.from(`${grant}/`), entry]), { throwIfNoEntry: false });
      expect(found === undefined || found.isFile() || found.ino === statSync("/etc/shadow").ino).toBe(true);
    }
    expect(existsSync(join(grant, "dev"))).toBe(false);
  });

  test("in a writable grant ends at the grant: .. and links lead into the sandbox, not to the host", async () => {
    const grant = escapes.bench.warden.personDirectory("grant-3");
    const outside = escapes.bench.warden.personDirectory("not-granted");
    asPerson(() => writeFileSync(join(outside, "secret"), "secret"));
    mkdirSync(join(grant, "inner"));
    const granted = await escapes.sandbox({ mounts: [{ source: grant, target: "grant", mode: "rw" }] });
    const { stdout } = await escapes.bench.sh(
      granted,
      `cd mnt/grant; cat ../not-granted/secret ../../not-granted/secret 2>/dev/null; ln -s ${outside} way; cat way/secret 2>/dev/null; cat ${outside}/secret 2>/dev/null; cd ..; ls`,
    );
    expect(stdout).toBe("grant\ntools\n");
  });

  test("cannot connect to a socket of the person that lies in a grant", async () => {
    const grant = escapes.bench.warden.personDirectory("grant-4");
    const path = join(grant, "agent.sock");
    let connections = 0;
    const server = createServer((socket) => {
      connections += 1;
      socket.destroy();
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    try {
      chmodSync(path, 0o777);
      for (const mode of ["ro", "rw"] as const) {
        const granted = await escapes.sandbox({ mounts: [{ source: grant, target: "grant", mode }] });
        const { stdout } = await escapes.inside(granted, "escape", ["datagram-to", `/sessions/${granted}/mnt/grant/agent.sock`]);
        expect(stdout).toContain("connect EPERM\n");
      }
      expect(connections).toBe(0);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  test("survives a directory 5,000 levels deep, and names of 255 bytes, and all of it is removed", async () => {
    const deep = await escapes.sandbox({ limits: { diskInodes: 20_000, diskBytes: 64 * 1024 * 1024 } });
    expect((await escapes.inside(deep, "escape", ["deep"])).stdout).toBe("deep 5000\n");
    await escapes.bench.sh(deep, `: > "$(head -c 255 /dev/zero | tr '\\0' x)"`);
    await escapes.bench.destroy(deep);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(deep);
  });

  test("tells its own uid, never the sibling's", async () => {
    const { stdout } = await escapes.bench.sh(name, "id -u; id -G");
    expect(stdout).not.toContain(`${siblingUid}`);
    expect(stdout.split("\n")[0]).toBe(stdout.split("\n")[1]);
  });
});
