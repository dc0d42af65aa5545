/** What the daemon adds to the doctor's report: whose it is, where it keeps its state, and how it is bound to its warden. */
import { userInfo } from "node:os";
import { TAIL_RESERVE_BYTES } from "../../runtime/kernel/limits.ts";
import type { JournalState } from "../../machines/messages/journal.ts";
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

/** Whether what happens can be written down. */
export function journalRow({ full, bytes, freeBytes, reserveBytesLeft }: JournalState): DoctorRow {
  const mebibytes = (size: number): string => `${(size / 1024 ** 2).toFixed(1)} MiB`;
  const row = { area: "cohortd", check: "journal" };
  if (full) {
    const detail = `its disk is full: free some space; ${mebibytes(reserveBytesLeft)} are kept for cancellations, revocations and deletions`;
    return { ...row, status: "missing", detail };
  }
  const detail = `${mebibytes(bytes)}, ${mebibytes(freeBytes)} of it free`;
  if (reserveBytesLeft >= TAIL_RESERVE_BYTES) return { ...row, status: "ok", detail };
  const instead = `${mebibytes(reserveBytesLeft)} of ${mebibytes(TAIL_RESERVE_BYTES)} are kept for cancellations on a full disk`;
  return { ...row, status: "degraded", detail, instead, cost: "on a full disk not every cancellation may be written" };
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
