/** A batch that an older build left in the tail, as the present tables take it. */
import { ROW_WIDTHS, type BatchRows, type Cell } from "./batch-rows.ts";

function mapped(cells: readonly Cell[], width: number, row: (cells: readonly Cell[]) => readonly Cell[]): Cell[] {
  const all: Cell[] = [];
  for (let start = 0; start < cells.length; start += width) all.push(...row(cells.slice(start, start + width)));
  return all;
}

/** Format 2 had no supervision: ref, kind, version, hash, scope, parent, status, inbox_high, input, snapshot. */
function actor(cells: readonly Cell[]): readonly Cell[] {
  const [head, [status = null, inboxHigh = null, input = null, snapshot = null]] = [cells.slice(0, 6), cells.slice(6)];
  return [...head, "temporary", 0, 1, 0, status, inboxHigh, 0, null, input, snapshot];
}

/** One key was both, the unique and the asked one. */
function effect(cells: readonly Cell[]): readonly Cell[] {
  const [id = null, owner = null, name = null, key = null, params = null, farewell = null] = cells;
  return [id, owner, name, key, key, params, farewell];
}

export function presentBatch(batch: BatchRows): BatchRows {
  if (batch.format !== undefined) return batch;
  const { actors = [], effects = [], scopes = [], ...rest } = batch.tables;
  const tables = {
    ...rest,
    actors: mapped(actors, 10, actor),
    effects: mapped(effects, 6, effect),
    scopes: mapped(scopes, ROW_WIDTHS.scopes - 1, (cells) => [...cells, null]),
  };
  return { ...batch, tables };
}
