/** Audits the packages of a node_modules tree: `node examples/01-audit-dependencies/main.ts [DIRECTORY [REPORT.json]]`. Default: this checkout's own. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { isCohortError, type TaskResult } from "../../sdk/index.ts";
import { audit } from "./audit-run.ts";
import { auditReport, drawReport, type AuditReport } from "./table.ts";

const checkout = resolve(import.meta.dirname, "../..");
const root = resolve(process.argv[2] ?? checkout);
const file = resolve(process.argv[3] ?? join(checkout, "build/audit-dependencies.json"));
const PLAIN_STEP = 20;

function showProgress(done: number, total: number, text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K[${done}/${total}] ${text.slice(0, 60)}${done === total ? "\n" : ""}`);
  else if (done % PLAIN_STEP === 0 || done === total) process.stderr.write(`[${done}/${total}]\n`);
}

/** What this example promises; it fails where that is not so. */
function check(report: AuditReport): void {
  const silent = report.packages.filter((row) => row.report === null).map((row) => `${row.path}: ${row.status}`);
  assert.deepEqual(silent, [], "each package has a report");
  const { loot, callsHome } = report.planted;
  assert.equal(callsHome, 0, "nothing phoned home");
  assert.ok(loot !== null, "the planted package tells what it got");
  const { processes, bytesWritten, ...stolen } = loot;
  assert.deepEqual(stolen, { sshFiles: 0, secretsRead: 0, connected: false, namesResolved: false, ownFilesChanged: false });
  assert.ok(
    report.planted.tried.some((line) => line.includes("socket(AF_INET")),
    "that it tried the network is told",
  );
  assert.ok(processes <= 64, "its processes were limited");
  assert.ok(bytesWritten <= 128 * 1024 ** 2, "its disk was limited");
}

async function main(): Promise<void> {
  const onResult = (done: number, total: number, result: TaskResult): void => showProgress(done, total, `${result.title} ${result.status}`);
  const report = auditReport(await audit({ root, onResult }));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);
  console.log(`${drawReport(report)}\n\nReport: ${relative(process.cwd(), file)}`);
  check(report);
}

try {
  await main();
} catch (error) {
  if (!isCohortError(error)) throw error;
  console.error(`${error.code}: ${error.message}\n${error.hint}`);
  if (error.code === "WARDEN_ABSENT") console.error(`In this checkout: sudo ${join(checkout, "bin/cohort")} vm up`);
  process.exitCode = 1;
}
