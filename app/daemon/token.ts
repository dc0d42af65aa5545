/** The token that a client shows: made once per state directory, so that a restart of cohortd refuses nobody. */
import { randomBytes, timingSafeEqual, createHash } from "node:crypto";
import { lstatSync, readFileSync, renameSync, writeFileSync } from "node:fs";

const TOKEN = /^[0-9a-f]{64}$/;

/** Reads it, or makes it. A file that is not exactly private and whole is replaced: clients read the file anew at each connection. */
export function ensureToken(path: string): string {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found !== undefined && found.isFile() && (found.mode & 0o777) === 0o600 && found.uid === process.getuid?.()) {
    const token = readFileSync(path, "utf8").trim();
    if (TOKEN.test(token)) return token;
  }
  const token = randomBytes(32).toString("hex");
  const temporary = `${path}.new`;
  writeFileSync(temporary, `${token}\n`, { mode: 0o600 });
  renameSync(temporary, path);
  return token;
}

/** Takes as long for every wrong token. */
export function isSameToken(token: string, shown: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(token), digest(shown));
}
