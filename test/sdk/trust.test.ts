import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { statePaths, type StatePaths } from "../../sdk/paths.ts";
import { isTrustedDirectory, trustedToken } from "../../sdk/trust.ts";

const uid = process.getuid?.() ?? -1;
const me = { uid, gid: process.getgid?.() ?? -1, name: "me", home: "/nowhere" };
let outer = "";
let paths: StatePaths;
let server: Server;

beforeEach(async () => {
  outer = mkdtempSync(join(tmpdir(), "trust-"));
  const directory = join(outer, "home");
  mkdirSync(directory, { mode: 0o700 });
  paths = statePaths(me, { COHORT_HOME: directory }, false);
  server = createServer();
  await new Promise<void>((resolve) => server.listen(paths.socket, resolve));
  chmodSync(paths.socket, 0o600);
  writeFileSync(paths.token, "secret\n", { mode: 0o600 });
});

afterEach(() => {
  server.close();
  rmSync(outer, { recursive: true, force: true });
});

test("a private directory, socket and token give the token", () => {
  expect(trustedToken(paths, uid)).toBe("secret");
});

test("where there is nothing yet there is nothing to trust", () => {
  rmSync(paths.token);
  expect(trustedToken(paths, uid)).toBeNull();
  expect(isTrustedDirectory(join(outer, "absent"), uid)).toBe(false);
});

test.each([0o770, 0o701, 0o750, 0o1777])("a directory of mode %o is refused", (mode) => {
  chmodSync(paths.directory, mode);
  expect(() => trustedToken(paths, uid)).toThrow(
    expect.objectContaining({ code: "DAEMON_UNTRUSTED", hint: `chmod 700 '${paths.directory}'` }),
  );
});

test("a socket or token that others may use is refused", () => {
  chmodSync(paths.socket, 0o666);
  expect(() => trustedToken(paths, uid)).toThrow(expect.objectContaining({ code: "DAEMON_UNTRUSTED" }));
  chmodSync(paths.socket, 0o600);
  chmodSync(paths.token, 0o640);
  expect(() => trustedToken(paths, uid)).toThrow(expect.objectContaining({ code: "DAEMON_UNTRUSTED" }));
});

test("what belongs to another user is refused", () => {
  expect(() => trustedToken(paths, uid + 1)).toThrow(expect.objectContaining({ code: "DAEMON_UNTRUSTED" }));
});

test("a symbolic link in place of any of them is refused", () => {
  const link = join(outer, "link");
  symlinkSync(paths.directory, link);
  expect(() => isTrustedDirectory(link, uid)).toThrow(expect.objectContaining({ code: "DAEMON_UNTRUSTED" }));
  rmSync(paths.token);
  symlinkSync("/etc/hostname", paths.token);
  expect(() => trustedToken(paths, uid)).toThrow(expect.objectContaining({ code: "DAEMON_UNTRUSTED" }));
});
