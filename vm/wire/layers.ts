/** The layers of the confinement: bit numbers of docs/design/wire.md and their names. */

export const layerNames = [
  "uid",
  "no-capabilities",
  "no-new-privileges",
  "seccomp",
  "landlock",
  "mount-ns",
  "pid-ns",
  "ipc-ns",
  "uts-ns",
  "net-ns",
  "cgroup-ns",
  "cgroup-limits",
  "no-inherited-descriptor",
  "init-not-dumpable",
  "no-socket",
  "root-read-only",
  "rlimits",
  "keyring",
  "no-setuid-gain",
  "proc-masked",
] as const;

/** Names of the set bits, in bit order. A bit that this version does not know is named by its number. */
export function namesOfLayers(bits: number): readonly string[] {
  const names: string[] = [];
  for (let bit = 0; bit < 32; bit += 1) {
    if ((bits >>> bit) & 1) names.push(layerNames[bit] ?? `bit-${bit}`);
  }
  return names;
}
