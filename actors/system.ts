/**
 * The one file that wires everything: journal, content, link to the warden, machines and their effects.
 * Owns the order in which they open; CohortSystem closes them in reverse.
 */
import { mkdir, realpath } from "node:fs/promises";
import { join } from "node:path";
import type { Runtime } from "../runtime/contract.ts";
import { openRuntimeLog } from "../runtime/log/runtime-log.ts";
import { openRuntime } from "../runtime/runtime.ts";
import { cohortDefinitions } from "../machines/definitions.ts";
import { childEffectDefinitions } from "./child-actor.ts";
import { childRows } from "./child-rows.ts";
import { CohortSystem, type SystemParts } from "./cohort-system.ts";
import { Content } from "./content.ts";
import type { OpenSystem, SystemOptions } from "./contract.ts";
import { Endpoints } from "./endpoints.ts";
import { LifeWatch } from "./life-watch.ts";
import { LiveOutput } from "./live-output.ts";
import { Permissions } from "./permissions/permissions.ts";
import { ResultFile } from "./result-file.ts";
import { runEffectDefinitions } from "./run-actor.ts";
import { RunJournal } from "./run-journal.ts";
import { DenialFile } from "./denial-file.ts";
import { Denials } from "./denials.ts";
import { SessionTable } from "./session-table.ts";
import { StagedChanges } from "./staged-changes.ts";
import { ToolsChannels } from "./tools-channels.ts";
import { VmLink } from "./vm-link.ts";

/** Rejects with what openRuntime rejects with. The warden may be absent: children wait for it. */
export const openSystem: OpenSystem = async (options: SystemOptions) => {
  await mkdir(join(options.stateDirectory, "content"), { recursive: true, mode: 0o700 });
  const opened = Promise.withResolvers<Runtime>();
  const wired = await wire({ ...options, stateDirectory: await realpath(options.stateDirectory) }, opened.promise);
  const { stateDirectory, content, results, denialFile, busyRuns, table, permissions } = wired;
  const ended = async (run: string): Promise<void> => {
    busyRuns.delete(run);
    await results.close(run);
    await denialFile.close(run);
    content.release(run);
  };
  await table.loadWardenId();
  const runtime = await openRuntime({
    directory: join(stateDirectory, "journal"),
    filesDirectory: join(stateDirectory, "content"),
    definitions: cohortDefinitions,
    effects: [...runEffectDefinitions({ runtime: opened.promise, ended }), ...childEffectDefinitions(wired), ...permissions.effects],
  });
  const parts: SystemParts = { ...wired, runtime };
  const system = new CohortSystem(parts);
  try {
    opened.resolve(runtime);
    await takeUp(parts);
  } catch (error) {
    await system.stop();
    throw error;
  }
  parts.link.start();
  parts.life.start();
  system.keepHouse();
  return system;
};

/** Everything but the runtime, which needs effects that need these. */
async function wire(options: SystemOptions, runtime: Promise<Runtime>): Promise<Omit<SystemParts, "runtime">> {
  const { stateDirectory, connectVm, cores } = options;
  const log = openRuntimeLog(join(stateDirectory, "system.log"));
  const content = new Content(join(stateDirectory, "content"));
  const results = new ResultFile(content);
  const live = new LiveOutput();
  const denialFile = new DenialFile(content);
  const denials = new Denials({ file: denialFile, runtime, log: log.log });
  const table: SessionTable = new SessionTable({
    content,
    live,
    denials,
    grantEnded: (end) => permissions.heardEnd(end),
    closed: (name) => channels.close(name),
    wardenIdPath: join(stateDirectory, "warden-id"),
    log: log.log,
  });
  const channels = new ToolsChannels({ table, asks: () => permissions.asks, log: log.log });
  const link = new VmLink({
    connect: connectVm,
    events: { ...table.events, ...channels.events },
    reconcile: (vm) => table.reconcile(vm),
    disconnected: () => [table, channels].forEach((each) => each.disconnected()),
    absent: () => table.loseAll(),
    log: log.log,
  });
  const life = new LifeWatch({
    running: () => table.running(),
    isAsking: (name) => channels.isAsking(name),
    vm: () => link.current,
    post: (session, event) => table.post(session.id, event),
    note: (session, text) => {
      session.noted = true;
      return content.writeNote(session.id.run, session.id.index, session.id.attempt, text);
    },
    log: log.log,
  });
  const endpoints = await Endpoints.clean(stateDirectory, log.log);
  const diffs = new StagedChanges({ content, link, execs: table.auxiliary, stateDirectory });
  const permissions: Permissions = new Permissions({
    stateDirectory,
    content,
    table,
    link,
    diffs,
    undo: diffs.undo,
    log: log.log,
  });
  const busyRuns = new Set<string>();
  return {
    stateDirectory,
    content,
    results,
    denials,
    denialFile,
    permissions,
    diffs,
    endpoints,
    table,
    channels,
    link,
    live,
    life,
    log,
    cores,
    busyRuns,
    retentionOptions: options.retention ?? { maxAgeMs: 0, maxBytes: 0 },
  };
}

/** What an earlier supervisor left alive. */
async function takeUp(parts: SystemParts): Promise<void> {
  const { runtime, content, results, diffs, table, endpoints, permissions, busyRuns } = parts;
  for (const run of await new RunJournal(runtime, content, results).living()) busyRuns.add(run);
  await diffs.recover();
  // Of one that waits for its next attempt nothing is alive.
  const children = (await childRows(runtime)).filter(({ row }) => row.state !== "waiting");
  await table.restore(runtime, children);
  await endpoints.restore(children, table);
  await permissions.restore(runtime);
}
