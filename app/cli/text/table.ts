/** Pure: rows as aligned columns. Cells are neutralised here, so that no caller can forget. */
import { neutraliseLine } from "./neutralise.ts";
import { fit, truncate, widthOf } from "./width.ts";

export interface Column<Row> {
  readonly title: string;
  readonly align?: "left" | "right";
  /** No wider than this; default: as wide as its widest cell. */
  readonly columnsMax?: number;
  cell(row: Row): string;
}

/** `columns` bounds the whole line: the last column is cut. */
export function table<Row>(rows: readonly Row[], layout: readonly Column<Row>[], columns = Infinity): string {
  const cells = rows.map((row) => layout.map((column) => neutraliseLine(column.cell(row))));
  const widths = layout.map((column, at) =>
    Math.min(
      column.columnsMax ?? Infinity,
      cells.reduce((widest, row) => Math.max(widest, widthOf(row[at] ?? "")), widthOf(column.title)),
    ),
  );
  const line = (row: readonly string[]): string =>
    truncate(
      row
        .map((cell, at) => fit(cell, widths[at] ?? 0, layout[at]?.align ?? "left"))
        .join("  ")
        .trimEnd(),
      columns,
    );
  return `${[line(layout.map((column) => column.title.toUpperCase())), ...cells.map(line)].join("\n")}\n`;
}
