/** What the running system knows of itself: the warden, and the layers of one child as both sides see them now. Pure but for its questions. */
import type { Vm } from "../vm/backend.ts";
import type { DoctorReport, DoctorRow } from "../machines/messages/api.ts";
import { layerNames } from "../vm/wire/layers.ts";

function row(area: string, check: string, ok: boolean, detail: string): DoctorRow {
  return { area, check, status: ok ? "ok" : "missing", detail };
}

function wardenRows(vm: Vm): DoctorRow[] {
  const { wardenId, features, sandboxesMax, memoryBytesTotal } = vm.identity;
  return [
    row("warden", "connected", true, `warden ${wardenId}`),
    row("warden", "features", true, features.length === 0 ? "none beyond the protocol" : features.join(", ")),
    row("warden", "sandboxes", true, `at most ${sandboxesMax} at once`),
    row("machine", "memory", true, `${Math.round(memoryBytesTotal / 1024 ** 2)} MiB`),
  ];
}

async function layerRows(vm: Vm, child: string): Promise<DoctorRow[]> {
  const { inside, outside } = await vm.probe(child);
  const seen = { inside: new Set(inside), outside: new Set(outside) };
  return layerNames.map((layer) => {
    const where = [seen.inside.has(layer) ? "inside" : "", seen.outside.has(layer) ? "outside" : ""].filter((one) => one !== "");
    return row("layers", layer, where.length > 0, where.length > 0 ? `seen from ${where.join(" and ")}` : "not active");
  });
}

export async function doctorReport(vm: Vm | null, child: string | undefined, eventLoopDelayP99Ms: number): Promise<DoctorReport> {
  if (vm === null) return { rows: [row("warden", "connected", false, "no warden is connected")], wardenSha256: "", eventLoopDelayP99Ms };
  const rows = [...wardenRows(vm), ...(child === undefined ? [] : await layerRows(vm, child))];
  return { rows, wardenSha256: vm.identity.binarySha256, eventLoopDelayP99Ms };
}
