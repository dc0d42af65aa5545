/** What the running system knows of itself: this machine, the warden, and the layers of one child as both sides see them now. */
import { availableParallelism, totalmem } from "node:os";
import type { Vm } from "../vm/backend.ts";
import type { DoctorReport, DoctorRow } from "../machines/messages/api.ts";
import { layerNames } from "../vm/wire/layers.ts";
import { machineRows } from "./machine-facts.ts";

function row(area: string, check: string, ok: boolean, detail: string): DoctorRow {
  return { area, check, status: ok ? "ok" : "missing", detail };
}

function wardenRows(vm: Vm | null): readonly DoctorRow[] {
  if (vm === null) return [row("warden", "connected", false, "no; root starts it: sudo cohort vm up")];
  const { wardenId, features, sandboxesMax } = vm.identity;
  return [
    row("warden", "connected", true, `instance ${wardenId}`),
    row("warden", "features", true, features.length === 0 ? "none beyond the protocol" : features.join(", ")),
    row("warden", "sandboxes", true, `at most ${sandboxesMax} at once`),
  ];
}

async function layerRows(vm: Vm, child: string): Promise<readonly DoctorRow[]> {
  const { inside, outside } = await vm.probe(child);
  const seen = { inside: new Set(inside), outside: new Set(outside) };
  return layerNames.map((layer) => {
    const [isInside, isOutside] = [seen.inside.has(layer), seen.outside.has(layer)];
    const where = [isInside ? "inside" : "", isOutside ? "outside" : ""].filter((one) => one !== "");
    const detail = where.length > 0 ? `seen from ${where.join(" and ")}` : "not active";
    return { ...row("layers", layer, where.length > 0, detail), seen: { inside: isInside, outside: isOutside } };
  });
}

export async function doctorReport(vm: Vm | null, child: string | undefined, eventLoopDelayP99Ms: number): Promise<DoctorReport> {
  const rows = [
    ...machineRows(availableParallelism(), vm?.identity.memoryBytesTotal ?? totalmem()),
    ...wardenRows(vm),
    ...(vm === null || child === undefined ? [] : await layerRows(vm, child)),
  ];
  return { rows, wardenSha256: vm?.identity.binarySha256 ?? "", eventLoopDelayP99Ms };
}
