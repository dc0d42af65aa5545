/** Whether this machine's kernel has nf_tables, as an unprivileged process can tell below `root`. Changes nothing. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

export type PacketFilterFact = "loaded" | "built in" | "a module, loaded when it is needed" | "absent" | "unknown";

function read(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch {
    return null;
  }
}

function configuration(root: string, release: string): string | null {
  const packed = read(join(root, "proc/config.gz"));
  if (packed !== null) return gunzipSync(packed).toString();
  return read(join(root, `boot/config-${release}`))?.toString() ?? null;
}

export function packetFilterFact(root: string, release: string): PacketFilterFact {
  if (existsSync(join(root, "sys/module/nf_tables"))) return "loaded";
  const configured = configuration(root, release);
  if (configured !== null) {
    const [, how] = /^CONFIG_NF_TABLES=([ym])$/m.exec(configured) ?? [];
    return how === "y" ? "built in" : how === "m" ? "a module, loaded when it is needed" : "absent";
  }
  const modules = join(root, "lib/modules", release);
  const [builtIn, loadable] = [read(join(modules, "modules.builtin")), read(join(modules, "modules.dep"))];
  if (builtIn === null && loadable === null) return "unknown";
  if (builtIn?.includes("/nf_tables.ko") === true) return "built in";
  return loadable?.includes("/nf_tables.ko") === true ? "a module, loaded when it is needed" : "absent";
}
