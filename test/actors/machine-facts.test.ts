/** Trees of /proc and /sys as other machines have them, and this machine's own. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, expect, test } from "vitest";
import { machineRows } from "../../actors/machine-facts.ts";

const made: string[] = [];

afterEach(() => {
  for (const path of made.splice(0)) rmSync(path, { recursive: true, force: true });
});

function machine(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), "cohort-machine-"));
  made.push(root);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

const V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
const modern = {
  "proc/sys/kernel/osrelease": "6.12.41-amd64\n",
  "proc/sys/kernel/core_pattern": "core\n",
  "proc/self/mountinfo": V2,
  "sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory hugetlb pids\n",
  "sys/fs/cgroup/system.slice/cgroup.kill": "",
  "boot/config-6.12.41-amd64": "CONFIG_NETFILTER=y\nCONFIG_NF_TABLES=m\n",
  "sys/kernel/security/lsm": "lockdown,capability,landlock,yama,apparmor",
};

function report(files: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(machineRows(2, 1024 ** 3, machine(files)).map(({ check, status, detail }) => [check, `${status}: ${detail}`]));
}

test("a machine with cgroup v2 and Landlock has all that is needed", () => {
  expect(report(modern)).toEqual({
    kernel: "ok: Linux 6.12.41-amd64",
    size: "ok: 2 cores, 1024 MiB of memory",
    "cgroup memory": "ok: v2 at /sys/fs/cgroup",
    "cgroup pids": "ok: v2 at /sys/fs/cgroup",
    "cgroup cpu": "ok: v2 at /sys/fs/cgroup",
    "cgroup.kill": "ok: v2 at /sys/fs/cgroup",
    landlock: "ok: ABI 6 by the kernel's version; enabled",
    core_pattern: "ok: not piped: core",
    nftables: "ok: a module, loaded when it is needed",
    "session disk": "ok: a tmpfs of its own for each child",
    yama: "ok: absent",
    apparmor: "ok: absent",
  });
});

test("what stands in for something better is said, with its cost", () => {
  const rows = machineRows(2, 1024 ** 3);
  expect(rows.find(({ check }) => check === "session disk")).toMatchObject({
    instead: expect.stringContaining("memory"),
    cost: expect.stringContaining("memory of this machine"),
  });
});

test("on a hybrid machine each controller is found where it is", () => {
  const rows = report({
    ...modern,
    "proc/self/mountinfo": `35 31 0:31 / /cg/memory rw - cgroup cgroup rw,memory\n32 31 0:29 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n41 31 0:38 / /cg/unified rw - cgroup2 cgroup2 rw\n`,
    "cg/unified/cgroup.controllers": "pids\n",
  });
  expect(rows).toMatchObject({
    "cgroup memory": "ok: v1 at /cg/memory",
    "cgroup pids": "ok: v2 at /cg/unified",
    "cgroup cpu": "ok: v1 at /cg/cpu",
    "cgroup.kill": "ok: v2 at /cg/unified",
  });
});

test("what is missing is said, with what to do", () => {
  const rows = report({
    "proc/sys/kernel/osrelease": "5.10.0",
    "proc/sys/kernel/core_pattern": "|/usr/lib/systemd/systemd-coredump %P %u",
    "proc/self/mountinfo": "35 31 0:31 / /cg/memory rw - cgroup cgroup rw,memory\n",
  });
  expect(rows).toMatchObject({
    kernel: "degraded: Linux 5.10.0; Cohort is made for 6.1 and later",
    "cgroup memory": "ok: v1 at /cg/memory",
    "cgroup.kill": "missing: no cgroup v2 is mounted; mount it: mount -t cgroup2 none /sys/fs/cgroup/unified",
    landlock: "missing: ABI 2 or later is needed, this kernel has none",
  });
  expect(rows["cgroup pids"]).toMatch(/^missing: on neither v2 nor v1/);
  expect(rows["core_pattern"]).toMatch(/^ok: piped to \/usr\/lib\/systemd\/systemd-coredump; never for a child/);
});

test("a core pattern that names a socket is told, since no limit keeps a child from it", () => {
  const row = report({ ...modern, "proc/sys/kernel/core_pattern": "@@/run/systemd/coredump %P" })["core_pattern"];
  expect(row).toMatch(/^degraded: a socket: \/run\/systemd\/coredump; no limit keeps a child that crashes from it/);
});

test("Landlock that is not enabled is missing, and one that cannot be seen is not called ok", () => {
  expect(report({ ...modern, "sys/kernel/security/lsm": "capability,yama" })["landlock"]).toMatch(/^missing: not enabled/);
  const { "sys/kernel/security/lsm": _, ...closed } = modern;
  expect(report(closed)["landlock"]).toMatch(/^degraded: ABI 6/);
});

test("this machine's own tree is read", () => {
  const rows = machineRows(2, 1024 ** 3);
  expect(rows.map(({ check }) => check)).toEqual(Object.keys(report(modern)));
  expect(rows[0]?.detail).toMatch(/^Linux \d+\.\d+/);
});

test("whether there is nf_tables is read where this kernel says it, and is degraded where there is none", () => {
  const { "boot/config-6.12.41-amd64": _, ...silent } = modern;
  const told = (files: Readonly<Record<string, string>>): string | undefined => report({ ...silent, ...files })["nftables"];
  expect(told({ "sys/module/nf_tables/refcnt": "1" })).toBe("ok: loaded");
  expect(told({ "lib/modules/6.12.41-amd64/modules.builtin": "kernel/net/netfilter/nf_tables.ko\n" })).toBe("ok: built in");
  expect(told({ "lib/modules/6.12.41-amd64/modules.dep": "kernel/net/netfilter/x.ko:\n" })).toBe("degraded: this kernel has no nf_tables");
  expect(told({})).toBe("degraded: this kernel does not tell whether it has nf_tables");
  const root = machine(silent);
  writeFileSync(join(root, "proc/config.gz"), gzipSync("# CONFIG_NF_TABLES is not set\n"));
  expect(machineRows(2, 1024 ** 3, root).find(({ check }) => check === "nftables")).toMatchObject({
    status: "degraded",
    cost: "children with network proxied have no packet filter behind that",
  });
});
