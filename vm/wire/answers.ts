/** What the values of an OK mean, by the request that it answers. */
import type { GrantInfo, ListedExec, ListedSandbox, RevokedGrant, SandboxInfo, SandboxStats } from "../backend.ts";
import { CohortError } from "../../runtime/kernel/error.ts";
import { FieldReader } from "./field-reader.ts";
import { namesOfLayers } from "./layers.ts";

const SANDBOXES_MAX = 65_536;
const EXECS_MAX = 4096;
const sandboxStates = ["alive", "frozen", "dead"] as const;

function read<T>(values: readonly unknown[], what: string, fields: (reader: FieldReader) => T): T {
  const reader = new FieldReader(values, what);
  const value = fields(reader);
  reader.end();
  return value;
}

export function readNothing(values: readonly unknown[]): void {
  read(values, "an answer without values", () => undefined);
}

export function readSandboxInfo(name: string, values: readonly unknown[]): SandboxInfo {
  return read(values, "the answer to CREATE", (reader) => ({
    name,
    uid: reader.uint32(),
    initPid: reader.uint32(),
    layers: namesOfLayers(reader.uint32()),
  }));
}

export function readStats(values: readonly unknown[]): SandboxStats {
  return read(values, "the answer to STATS", (reader) => ({
    memoryBytes: reader.uint(),
    memoryPeakBytes: reader.uint(),
    pids: reader.uint(),
    cpuUs: reader.uint(),
    oomKills: reader.uint(),
    pidsRefused: reader.uint(),
    throttledUs: reader.uint(),
  }));
}

export function readProbe(values: readonly unknown[]): { readonly inside: readonly string[]; readonly outside: readonly string[] } {
  return read(values, "the answer to PROBE", (reader) => ({
    inside: namesOfLayers(reader.uint32()),
    outside: namesOfLayers(reader.uint32()),
  }));
}

/** A DESTROY that leaves anything is no proof: SANDBOX_FAILED. */
export function readDestroyed(name: string, values: readonly unknown[]): void {
  const left = read(values, "the answer to DESTROY", (reader) => ({ processes: reader.uint(), cgroups: reader.uint() }));
  if (left.processes === 0 && left.cgroups === 0) return;
  throw new CohortError("SANDBOX_FAILED", { on: `${name} still has ${left.processes} processes and ${left.cgroups} cgroups` });
}

const GRANT_COPIED = 1;
const GRANT_PROTECTION_PARTIAL = 2;
const GRANT_COPY_PARTIAL = 4;

export function readGrantInfo(values: readonly unknown[]): GrantInfo {
  return read(values, "the answer to GRANT", (reader) => {
    const mountId = reader.uint();
    const flags = reader.uint32();
    return {
      mountId,
      copied: (flags & GRANT_COPIED) !== 0,
      copyPartial: (flags & GRANT_COPY_PARTIAL) !== 0,
      protectionPartial: (flags & GRANT_PROTECTION_PARTIAL) !== 0,
    };
  });
}

export function readRevoked(values: readonly unknown[]): RevokedGrant {
  return read(values, "the answer to REVOKE", (reader) => ({ processesKilled: reader.uint32(), childKilled: reader.uint32(1) === 1 }));
}

export function readListing(values: readonly unknown[]): readonly ListedSandbox[] {
  return read(values, "the answer to LIST", (reader) => reader.list(SANDBOXES_MAX, readListedSandbox));
}

function readListedSandbox(reader: FieldReader): ListedSandbox {
  const name = reader.name();
  const uid = reader.uint32();
  const state = sandboxStates[reader.uint32(sandboxStates.length - 1)] ?? "dead";
  return { name, uid, state, execs: reader.list(EXECS_MAX, readListedExec) };
}

function readListedExec(reader: FieldReader): ListedExec {
  const execId = reader.uint32();
  const state = reader.uint32(1) === 0 ? "running" : "exited";
  const stdout = { acked: reader.uint(), produced: reader.uint() };
  return { execId, state, stdout, stderr: { acked: reader.uint(), produced: reader.uint() } };
}
