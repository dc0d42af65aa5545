/** Owns the prepared statements of one database, each prepared once. Does not own the database. */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";

export class Statements {
  readonly #database: DatabaseSync;
  readonly #prepared = new Map<string, StatementSync>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  get(sql: string): StatementSync {
    let statement = this.#prepared.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#prepared.set(sql, statement);
    }
    return statement;
  }

  /** STRICT tables with CHECKed writers: the shapes are those of schema.ts. */
  all<Row>(sql: string, ...cells: SQLInputValue[]): Row[] {
    return this.get(sql).all(...cells) as Row[];
  }

  /** Of a query that has one row or none. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- As of all(): the shape of a row is known to who wrote the query.
  one<Row>(sql: string, ...cells: SQLInputValue[]): Row | undefined {
    return this.get(sql).get(...cells) as Row | undefined;
  }

  run(sql: string, ...cells: SQLInputValue[]): number {
    return Number(this.get(sql).run(...cells).changes);
  }

  clear(): void {
    this.#prepared.clear();
  }
}
