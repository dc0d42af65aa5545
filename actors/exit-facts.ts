/** What of the warden's evidence the journal keeps: no words, only facts. Pure. */
import type { ExecExit } from "../vm/backend.ts";
import type { ExitFacts } from "../machines/messages/facts.ts";

export function exitFacts(exit: ExecExit): ExitFacts {
  const {
    cause,
    code,
    signal,
    oomKilled,
    deadlineHit,
    leaseExpired,
    outIsEmpty,
    full,
    pidsLimitHit,
    wallUs,
    userUs,
    systemUs,
    maxRssKib,
    stdoutBytes,
    stderrBytes,
  } = exit;
  return {
    cause,
    code,
    signal,
    oomKilled,
    deadlineHit,
    leaseExpired,
    outIsEmpty,
    limitsHit: [...(oomKilled ? (["memory"] as const) : []), ...(pidsLimitHit ? (["processes"] as const) : []), ...full],
    wallUs,
    cpuUs: userUs + systemUs,
    maxRssKib,
    stdoutBytes,
    stderrBytes,
  };
}
