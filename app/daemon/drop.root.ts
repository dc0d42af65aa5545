/** Root ends here: after dropRoot this process is the account for good. The only lines of TypeScript that change a process's user. */
import { CohortError } from "../../runtime/kernel/error.ts";
import type { Account } from "../../sdk/account.ts";

/** Groups first: without root they cannot be set. Throws, still as root, when the account is root; throws INTERNAL if root could be taken back. */
export function dropRoot(account: Account, groups: readonly number[]): void {
  if (account.uid === 0 || account.gid === 0 || groups.includes(0)) {
    throw new CohortError("ROOT_WITHOUT_USER", {
      on: `uid ${account.uid}, groups ${groups.join(" ")} would still be root`,
      hint: "name an ordinary user",
    });
  }
  process.setgroups?.([...groups]);
  process.setgid?.(account.gid);
  process.setuid?.(account.uid);
  let isBack = true;
  try {
    process.setuid?.(0);
  } catch {
    isBack = false; // As it must be: EPERM is the proof.
  }
  if (isBack || process.getuid?.() !== account.uid || process.geteuid?.() !== account.uid || process.getegid?.() !== account.gid) {
    throw new CohortError("INTERNAL", { on: "root was not dropped" });
  }
}
