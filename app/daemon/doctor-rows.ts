/** What the daemon adds to the doctor's report: whose it is, where it keeps its state, and how it is bound to its warden. */
import { userInfo } from "node:os";
import type { DoctorRow } from "../../machines/messages/api.ts";

export interface Supervision {
  readonly stateDirectory: string;
  readonly wardenSocket: string;
  /** Without this cohortd children are frozen after the first, and ended after the second. */
  readonly freezeAfterMs: number;
  readonly killAfterMs: number;
}

function nameOf(uid: number): string {
  try {
    return `${userInfo().username} (uid ${uid})`;
  } catch {
    return `uid ${uid}, without a name in /etc/passwd`;
  }
}

export function supervisionRows(supervision: Supervision): readonly DoctorRow[] {
  const { stateDirectory, wardenSocket, freezeAfterMs, killAfterMs } = supervision;
  const row = (area: string, check: string, detail: string): DoctorRow => ({ area, check, status: "ok", detail });
  return [
    row("cohortd", "user", `${nameOf(process.getuid?.() ?? 0)}; only what this user can read can be mounted`),
    row("cohortd", "state", stateDirectory),
    row("cohortd", "lease", `without it children freeze after ${freezeAfterMs / 1000} s, and end after ${killAfterMs / 1000} s`),
    row("cohortd", "warden socket", wardenSocket),
  ];
}
