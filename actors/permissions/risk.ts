/** What a person should know before giving a directory away: pure, and a hint, not a boundary. */
import { PROTECTED_NAMES } from "../../runtime/kernel/protected-names.ts";
import type { Risk } from "../../machines/messages/approval.ts";
import type { GrantMode } from "../../machines/messages/grant.ts";
import { isBelow } from "../run-request.ts";

/** Names of which reading alone gives something away. */
const SECRETS: readonly string[] = [
  ".ssh",
  ".gnupg",
  ".aws",
  ".azure",
  ".kube",
  ".docker",
  ".netrc",
  ".npmrc",
  ".pypirc",
  ".git-credentials",
  ".password-store",
  ".config",
  ".mozilla",
  ".claude",
  ".env",
  "id_rsa",
  "id_ed25519",
];
const SYSTEM: readonly string[] = ["/etc", "/root", "/var", "/boot", "/run", "/proc", "/sys", "/dev", "/usr", "/opt"];

export function riskOf(path: string, mode: GrantMode, homes: readonly string[]): Risk {
  const parts = path.toLowerCase().split("/");
  const high: string[] = [];
  const medium: string[] = [];
  if (homes.some((home) => isBelow(home, path))) high.push("it contains a home directory");
  const secret = SECRETS.find((name) => parts.includes(name));
  if (secret !== undefined) high.push(`${secret} often holds keys or tokens`);
  const instructions = PROTECTED_NAMES.find((name) => parts.includes(name));
  if (mode !== "ro" && instructions !== undefined) high.push(`programs of yours read ${instructions} as instructions`);
  const system = SYSTEM.find((directory) => isBelow(path, directory));
  if (mode !== "ro" && system !== undefined) high.push(`${system} belongs to the system`);
  if (mode === "rw") medium.push("what it writes is written at once");
  const reasons = [...high, ...medium];
  return { level: high.length > 0 ? "high" : reasons.length > 0 ? "medium" : "low", reasons };
}
