/** `npm run check`: types, lint, format, unused files and the tidy test, at once; prints each one's output only if it fails. */
import { spawn } from "node:child_process";
import { dirname } from "node:path";

interface Check {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
}

interface Outcome {
  readonly check: Check;
  readonly status: number;
  readonly output: string;
  readonly seconds: number;
}

const CHECK_TIMEOUT_MS = 120_000;
const OUTPUT_BYTES_MAX = 4 * 1024 * 1024;

const checks: readonly Check[] = [
  { name: "types", command: "tsc", args: ["-p", "."] },
  { name: "lint", command: "oxlint", args: ["--type-aware", "--deny-warnings", "--report-unused-disable-directives", "."] },
  { name: "format", command: "oxfmt", args: ["--check", "."] },
  { name: "unused", command: "knip", args: ["--no-progress"] },
  { name: "tidy", command: "vitest", args: ["run", "--project", "style"] },
];

async function run(check: Check): Promise<Outcome> {
  const startedAt = performance.now();
  const child = spawn(check.command, check.args, {
    cwd: dirname(import.meta.dirname),
    stdio: ["ignore", "pipe", "pipe"],
    timeout: CHECK_TIMEOUT_MS,
  });
  const chunks: Buffer[] = [];
  let bytes = 0;
  const keep = (chunk: Buffer): void => {
    bytes += chunk.length;
    if (bytes <= OUTPUT_BYTES_MAX) chunks.push(chunk);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const status = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      resolve(code ?? 1);
    });
  });
  return { check, status, output: Buffer.concat(chunks).toString(), seconds: (performance.now() - startedAt) / 1000 };
}

const outcomes = await Promise.all(checks.map(run));
for (const { check, status, output, seconds } of outcomes) {
  console.log(
    `${status === 0 ? "ok    " : "FAILED"} ${check.name.padEnd(7)} ${seconds.toFixed(1)} s   ${check.command} ${check.args.join(" ")}`,
  );
  if (status !== 0) console.log(output.trimEnd().replace(/^/gm, "  "));
}
process.exitCode = outcomes.every((outcome) => outcome.status === 0) ? 0 : 1;
