/** What must be true of the whole system once it is quiet. Each finding is a violation of the computer. */
import type { System } from "../../../actors/contract.ts";
import type { TaskResult } from "../../../machines/messages/result.ts";
import type { Computer } from "../machine/computer.ts";
import type { LedgerEntry } from "../warden/ledger.ts";
import type { SimulatedWarden } from "../warden/simulated-warden.ts";
import type { Client } from "./client.ts";
import { STATE } from "./daemon.ts";

const RESULTS_MAX = 10_000;

export interface Quiet {
  readonly computer: Computer;
  readonly warden: SimulatedWarden;
  readonly system: System;
  readonly clients: readonly Client[];
}

export async function checkAll(quiet: Quiet): Promise<void> {
  for (const client of quiet.clients) await checkRun(quiet, client);
  checkLeftovers(quiet);
}

async function checkRun(quiet: Quiet, client: Client): Promise<void> {
  const { computer, system } = quiet;
  const { run, events } = client;
  if (run === null) return computer.violate(`${client.plan.key} was never started`);
  const { results } = await system.results(run, 0, RESULTS_MAX);
  const finished = events.filter(({ type }) => type === "task-finished");
  const indexes = results.map(({ result }) => result.index);
  if (new Set(indexes).size !== indexes.length) computer.violate(`run ${run} has two results of a task: ${indexes.join(" ")}`);
  if (finished.length !== results.length) computer.violate(`run ${run} told ${finished.length} results and has ${results.length}`);
  const { counts, finishedAtMs } = await system.run(run);
  if (finishedAtMs === null) computer.violate(`run ${run} told its end and has none`);
  const counted = Object.values(counts as Readonly<Record<string, number>>).reduce((sum, count) => sum + count, 0) - counts.total;
  computer.trace.add("counts", `${run} ${JSON.stringify(counts)} ${counted}`);
  const halts = client.cancelled > 0 || client.plan.spec.halt.when !== "never" || client.plan.spec.deadlineMs !== undefined;
  if (!halts && results.length !== client.plan.spec.tasks.length)
    computer.violate(`run ${run} has ${results.length} results of ${client.plan.spec.tasks.length} tasks`);
  for (const { result } of results) await checkResult(quiet, client, run, result);
  for (let index = 0; index < client.plan.spec.tasks.length; index++) {
    const executed = quiet.warden.ledger.of(run, index);
    const result = results.find((found) => found.result.index === index);
    if (executed.length > 0 && result === undefined) computer.violate(`task ${index} of ${run} was executed and has no result`);
  }
}

async function checkResult(quiet: Quiet, { plan }: Client, run: string, result: TaskResult): Promise<void> {
  const { computer, warden } = quiet;
  const { index, attempt, status } = result;
  const on = `task ${index} of ${run}, attempt ${attempt} ${status}`;
  computer.trace.count(`status ${status}`);
  const executed = warden.ledger.of(run, index);
  const task = plan.spec.tasks[index];
  if (task === undefined) return computer.violate(`${on}: no such task`);
  if (executed.length > attempt) computer.violate(`${on} was executed ${executed.length} times`);
  if (new Set(executed.map(({ name }) => name)).size !== executed.length) computer.violate(`${on}: one name was executed twice`);
  if (task.retries === 0 && !task.idempotent && executed.length > 1) computer.violate(`${on} was executed again without being allowed to`);
  const last = executed.find(({ name }) => name === result.child);
  if (status === "succeeded") checkSuccess(quiet, on, last, result);
  // What the warden did not keep, and what was over the limit, nobody can have.
  const isEvidence = result.exitCode !== null || result.signal !== null;
  if (last === undefined || !isEvidence || status === "output-limit") return;
  if (result.detail.includes("the output is incomplete")) return computer.trace.count("incomplete output");
  await checkStreams(quiet, on, last, run, result);
}

function checkSuccess({ computer }: Quiet, on: string, last: LedgerEntry | undefined, result: TaskResult): void {
  if (last === undefined) return computer.violate(`${on}: it was never executed`);
  const { ending } = last.exec;
  if (ending?.cause !== "exited" || ending.code !== 0) computer.violate(`${on}: its program ended as ${JSON.stringify(ending)}`);
  for (const { path, bytes } of result.out) {
    const file = computer.files.find(`${result.outDirectory ?? STATE}/${path}`);
    if (file?.type !== "file" || file.bytes.size !== bytes) computer.violate(`${on}: its file ${path} is not whole`);
  }
}

async function checkStreams({ computer, system }: Quiet, on: string, last: LedgerEntry, run: string, result: TaskResult): Promise<void> {
  const parts = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  const request = { run, index: result.index, attempt: result.attempt, follow: false, stdoutOffset: 0, stderrOffset: 0 };
  for await (const item of system.logs(request, new AbortController().signal)) parts[item.stream].push(item.bytes);
  for (const stream of ["stdout", "stderr"] as const) {
    const have = Buffer.concat(parts[stream]);
    const { all } = last.exec.out[stream];
    if (result[stream].bytes !== all.length)
      computer.violate(`${on}: ${stream} has ${result[stream].bytes} bytes, ${all.length} were written`);
    if (!have.equals(all)) computer.violate(`${on}: ${stream} is not what was written (${have.length} of ${all.length} bytes)`);
    computer.trace.count("bytes compared", all.length);
  }
}

function checkLeftovers({ computer, warden }: Quiet): void {
  if (warden.sandboxes.size > 0) computer.violate(`the warden still has ${[...warden.sandboxes.keys()].join(" ")}`);
  const { database } = computer.disk;
  const count = (sql: string): number => Number(database.prepare(sql).get()?.["n"]);
  const outbox = count("SELECT count(*) AS n FROM outbox");
  const timers = count("SELECT count(*) AS n FROM timer");
  const effects = count("SELECT count(*) AS n FROM effect WHERE state <> 'done'");
  const actors = count("SELECT count(*) AS n FROM actor WHERE status = 'active'");
  if (outbox > 0) computer.violate(`${outbox} messages were never consumed`);
  if (timers > 0) computer.violate(`${timers} timers are left`);
  if (effects > 0) computer.violate(`${effects} effects are left`);
  if (actors > 0) computer.violate(`${actors} actors live on`);
  for (const row of database.prepare("SELECT actor, type, outcome, detail FROM event WHERE outcome IN ('failed', 'dead')").all()) {
    const text = `${String(row["actor"]).split(":")[0]} ${String(row["type"])}`;
    if (row["outcome"] === "failed")
      computer.violate(`an event failed: ${String(row["actor"])} ${String(row["type"])}: ${String(row["detail"])}`);
    else computer.trace.count(`dead letter ${text}`);
  }
}
