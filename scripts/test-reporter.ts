/** The end of a test run: each skipped test with its reason, then one line `N passed, N failed, N skipped`. A run in which nothing ran has failed. */
import type { Reporter, TestModule } from "vitest/node";

interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

/** What is skipped by skipIf has no place for a note but its title. */
function reasonIn(fullName: string): string {
  return /\((?:skipped: )?(needs [^)]+)\)/.exec(fullName)?.[1] ?? "no reason given";
}

function describeSkips(skips: ReadonlyMap<string, readonly string[]>): string {
  return [...skips]
    .map(([where, names]) => `skipped ${names.length === 1 ? `"${names.join("")}"` : `${names.length} tests`} in ${where}\n`)
    .join("");
}

function count(modules: readonly TestModule[]): { readonly totals: Totals; readonly skips: ReadonlyMap<string, readonly string[]> } {
  const totals: Totals = { passed: 0, failed: 0, skipped: 0 };
  const skips = new Map<string, readonly string[]>();
  for (const module of modules) {
    // A file that did not load has no tests to count: it is one failure.
    if (module.errors().length > 0) totals.failed += 1;
    for (const test of module.children.allTests()) {
      const result = test.result();
      if (result.state === "passed") totals.passed += 1;
      else if (result.state === "failed") totals.failed += 1;
      else {
        totals.skipped += 1;
        const reason = result.state === "skipped" ? (result.note ?? reasonIn(test.fullName)) : "did not finish";
        const key = `${module.relativeModuleId}: ${reason}`;
        skips.set(key, [...(skips.get(key) ?? []), test.name]);
      }
    }
  }
  return { totals, skips };
}

export default class TotalsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const { totals, skips } = count(modules);
    totals.failed += unhandledErrors.length;
    if (totals.passed + totals.failed === 0) process.exitCode = 1;
    if (totals.failed > 0) process.exitCode = 1;
    const line = `${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`;
    // Written at exit, so that nothing of another reporter comes after it.
    process.once("exit", () => {
      process.stdout.write(`\n${describeSkips(skips)}${line}\n`);
    });
  }
}
