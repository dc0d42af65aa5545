/** A whole journal as SQL text, one row a line, and back into the file that it was; what was recorded stands above it. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { openStore, type JournalStore } from "../../runtime/journal/store.ts";

export const GOLDEN_DIRECTORY = join(import.meta.dirname, "golden");

export interface GoldenRun {
  readonly name: string;
  readonly run: string;
  readonly actors: number;
  readonly events: number;
}

/** Of a database that nobody has open. */
export function dumped(path: string, runs: readonly GoldenRun[]): string {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const pragma = (name: string): unknown => database.prepare(`PRAGMA ${name}`).get()?.[name];
    const schema = database.prepare("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type DESC, name").all();
    const tables = schema.filter(({ type }) => type === "table").map(({ name }) => String(name));
    return [
      ...runs.map(({ name, run, actors, events }) => `-- run ${name} ${run} ${actors} actors ${events} events`),
      `PRAGMA application_id = ${String(pragma("application_id"))};`,
      `PRAGMA user_version = ${String(pragma("user_version"))};`,
      ...schema.map(({ sql }) => `${String(sql).replaceAll(/\s*\n\s*/g, " ")};`),
      ...tables.flatMap((table) => rowsOf(database, table)),
      "",
    ].join("\n");
  } finally {
    database.close();
  }
}

function rowsOf(database: DatabaseSync, table: string): readonly string[] {
  const columns = database.prepare(`SELECT name FROM pragma_table_info('${table}')`).all();
  const quoted = columns.map(({ name }) => `quote("${String(name)}")`).join(" || ',' || ");
  return database
    .prepare(`SELECT ${quoted} AS cells FROM "${table}"`)
    .all()
    .map(({ cells }) => `INSERT INTO ${table} VALUES (${String(cells)});`);
}

function goldenRuns(sql: string): readonly GoldenRun[] {
  const found = [...sql.matchAll(/^-- run (\S+) (\S+) (\d+) actors (\d+) events$/gm)];
  return found.map(([, name = "", run = "", actors, events]) => ({ name, run, actors: Number(actors), events: Number(events) }));
}

/** Opens it as cohortd would: what an older build wrote is upgraded. */
export async function withGolden(file: string, work: (store: JournalStore, runs: readonly GoldenRun[]) => Promise<void>): Promise<void> {
  const sql = readFileSync(join(GOLDEN_DIRECTORY, file), "utf8");
  const directory = mkdtempSync(join(tmpdir(), "cohort-golden-"));
  try {
    const database = new DatabaseSync(join(directory, "journal.sqlite"));
    database.exec(`BEGIN; ${sql} COMMIT`);
    database.close();
    const store = openStore({ directory, filesDirectory: directory });
    try {
      await work(store, goldenRuns(sql));
    } finally {
      store.close();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
