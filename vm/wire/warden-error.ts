/** The warden's error codes as errors of the one table; the warden's words stay in the message, and its own code where it is another one. */
import { CohortError } from "../../runtime/kernel/error.ts";
import type { ErrorCode } from "../../runtime/kernel/error-table.ts";

const codes: ReadonlyMap<string, ErrorCode> = new Map([
  ["LAYER_MISSING", "LAYER_MISSING"],
  ["CGROUP_UNAVAILABLE", "CGROUP_UNAVAILABLE"],
  ["EXEC_FAILED", "EXEC_FAILED"],
  ["SETUP_FAILED", "SANDBOX_FAILED"],
  ["GRANT_FS_UNSUPPORTED", "GRANT_FS_UNSUPPORTED"],
  ["GRANT_ENDED", "GRANT_ENDED"],
  ["SANDBOX_FROZEN", "CHILD_FROZEN"],
  ["SANDBOX_BUSY", "CHILD_BUSY"],
]);

export function wardenError(code: string, message: string): CohortError {
  const mapped = codes.get(code) ?? (code.startsWith("MOUNT_") ? "MOUNT_REFUSED" : "WARDEN_REFUSED");
  if (code === "EXEC_FAILED" && message.startsWith("cannot enter "))
    return new CohortError(mapped, { on: message, hint: "the working directory is a path inside the sandbox: mounts are in ~/mnt" });
  if (mapped === code) return new CohortError(mapped, message === "" ? {} : { on: message });
  return new CohortError(mapped, { on: message === "" ? code : `${code}: ${message}` });
}
