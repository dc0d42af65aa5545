import { chmodSync, readFileSync, statSync, writeFileSync, existsSync, readdirSync, mkdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { asPerson, PERSON_UID, wardenUnavailable } from "../vm/warden-process.ts";
import { EscapeBench } from "./escape-bench.ts";

const TITLE = `a child's view of files${wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`}`;

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

  test("lists nothing of a sibling: neither its home nor its processes", async () => {
    const { stdout } = await escapes.bench.sh(
      name,
      "ls /sessions; ls -d /proc/[0-9]* | wc -l; cat /proc/[0-9]*/comm 2>/dev/null | sort -u",
    );
    const [sessions, , ...commands] = stdout.trimEnd().split("\n");
    expect(sessions).toBe(name);
    expect(commands).not.toContain("sleep");
    expect(commands).not.toContain("systemd");
  });

  test("holds in /run and /var no file with content, socket, disk or pipe", async () => {
    expect(
      (
        await escapes.bench.sh(
          name,
          "find /run /var -path /run/cohort/bin/cohort-child -prune -o -type f -size +0 -print -o -type s -print -o -type b -print -o -type p -print",
        )
      ).stdout,
    ).toBe("");
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
    expect((await escapes.bench.sh(name, "ls mnt/tools")).stdout).toBe(`${readdirSync(escapes.toolsMount.source).toSorted().join("\n")}\n`);
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
      for (const [mode, network] of [
        ["ro", "none"],
        ["rw", "none"],
        ["ro", "proxied"],
        ["rw", "proxied"],
      ] as const) {
        const granted = await escapes.sandbox({ mounts: [{ source: grant, target: "grant", mode }], network });
        const socket = `/sessions/${granted}/mnt/grant/agent.sock`;
        expect(await escapes.tried(granted, [`connect-to|${socket}`, `datagram-to|${socket}`])).toEqual(["EPERM", "EPERM"]);
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
