/**
 * A consumer that may die at any moment: applies each event by appending one line that begins with its cursor, and begins behind the last
 * whole line of its file. `keeping-reader.ts events|poll RUN FILE` ends with 0 after run-finished.
 */
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { connect, type Run, type RunEventItem } from "../../../sdk/index.ts";

const [mode = "", id = "", file = ""] = process.argv.slice(2);

function apply({ cursor, event }: RunEventItem): boolean {
  appendFileSync(file, `${cursor} ${event.type} ${"index" in event ? event.index : ""}\n`);
  return event.type === "run-finished";
}

async function watch(run: Run, after: number): Promise<void> {
  for await (const item of run.events({ after })) apply(item);
}

async function poll(run: Run, from: number): Promise<void> {
  for (let after = from; ;) {
    const page = await run.poll({ after, limit: 3, waitMs: 500 });
    for (const item of page.events) apply(item);
    after = page.next;
    if (page.finished) return;
  }
}

const lines = existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : [];
const after = Number(lines.at(-1)?.split(" ")[0] ?? 0);
const cohort = await connect({ origin: { surface: "test" } });
await (mode === "poll" ? poll : watch)(cohort.attach(id), after);
cohort.close();
