/** Pure: the doctor's report as a page: areas, a sign for each check, and below what is less what stands in for it and what that costs. */
import type { DoctorReport, DoctorRow } from "../../../sdk/index.ts";
import { withOwnPath } from "../own-program.ts";
import { neutraliseLine } from "../text/neutralise.ts";
import { widthOf } from "../text/width.ts";
import { wrap } from "./permission-text.ts";
import type { Style } from "./style.ts";

const TITLES: Readonly<Record<string, string>> = {
  cohortd: "cohortd, your supervisor",
  machine: "this machine",
  warden: "the warden, which builds sandboxes",
  layers: "layers of the child",
};
const SEEN_COLUMNS = 9;

function sign(status: DoctorRow["status"], style: Style): string {
  return { ok: style.green("✓"), degraded: style.yellow("!"), missing: style.red("✗") }[status];
}

/** The names of the columns stand in the area's heading. */
function layerLine(row: DoctorRow, name: number, style: Style): string {
  const cell = (active: boolean): string =>
    " ".repeat(Math.floor(SEEN_COLUMNS / 2)) + (active ? style.green("✓") : style.dim("–")) + " ".repeat(Math.ceil(SEEN_COLUMNS / 2) - 1);
  const { inside = false, outside = false } = row.seen ?? {};
  const note = row.status === "ok" ? "" : `  ${style.red(neutraliseLine(row.detail))}`;
  return `  ${sign(row.status, style)} ${neutraliseLine(row.check).padEnd(name)}   ${cell(inside)}${cell(outside)}${note}`.trimEnd();
}

function lines(row: DoctorRow, name: number, columns: number, style: Style): readonly string[] {
  const indent = " ".repeat(name + 6);
  const detail = wrap(withOwnPath(neutraliseLine(row.detail)), columns - indent.length);
  const lesser = [
    ...(row.instead === undefined ? [] : [`instead: ${row.instead}`]),
    ...(row.cost === undefined ? [] : [`cost: ${row.cost}`]),
  ].join(" · ");
  const below = lesser === "" ? [] : wrap(neutraliseLine(lesser), columns - indent.length);
  return [
    `  ${sign(row.status, style)} ${neutraliseLine(row.check).padEnd(name)}  ${detail[0] ?? ""}`.trimEnd(),
    ...detail.slice(1).map((line) => indent + line),
    ...below.map((line) => indent + style.dim(line)),
  ];
}

function area(title: string, rows: readonly DoctorRow[], columns: number, style: Style): string {
  const name = rows.reduce((widest, row) => Math.max(widest, widthOf(neutraliseLine(row.check))), 0);
  if (rows.every((row) => row.seen === undefined))
    return [style.bold(title), ...rows.flatMap((row) => lines(row, name, columns, style))].join("\n");
  const heading = `${title.padEnd(name + 6)}  inside  outside`;
  return [style.bold(heading), ...rows.map((row) => layerLine(row, name, style))].join("\n");
}

/** `child` is named where its layers were asked for. */
export function doctorText(report: DoctorReport, child: string | undefined, columns: number, style: Style): string {
  const areas = [...new Set(report.rows.map((row) => row.area))];
  const title = (name: string): string =>
    name === "layers" && child !== undefined ? `layers of ${child}` : (TITLES[name] ?? neutraliseLine(name));
  const pages = areas.map((name) =>
    area(
      title(name),
      report.rows.filter((row) => row.area === name),
      columns,
      style,
    ),
  );
  const binary = report.wardenSha256 === "" ? [] : [`sha256 of the warden  ${neutraliseLine(report.wardenSha256)}`];
  const facts = [...binary, `cohortd answers within  ${report.eventLoopDelayP99Ms.toFixed(1)} ms in 99% of its turns`];
  const less = [
    ...(report.rows.some((row) => row.status === "degraded") ? ["! is less than it should be, or could not be proven"] : []),
    ...(report.rows.some((row) => row.seen !== undefined) ? ["– cannot be seen from there"] : []),
  ];
  return `${[...pages, [...facts, ...less].map((line) => style.dim(line)).join("\n")].join("\n\n")}\n`;
}
