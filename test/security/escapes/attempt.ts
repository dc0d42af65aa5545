/** An attempt to get out, as data: what it is, how the program `attempt` tries it, which layer refuses it, and what a refusal looks like. */

/** Groups of the layers that the truth check knows, as a person would take them away. */
export const groups = ["uid", "mounts", "namespaces", "seccomp", "landlock", "capabilities", "cgroup", "rlimits"] as const;
export type Group = (typeof groups)[number];

export const networks = ["none", "proxied"] as const;
export type Network = (typeof networks)[number];

export interface Attempt {
  readonly what: string;
  /** An argument of the program `attempt`. */
  readonly how: string;
  /** The layer that refuses it first; others may stand behind. */
  readonly layer: Group;
  /** Results that are a refusal. Any other is an escape. */
  readonly refused: readonly string[];
  /** The same with network `proxied`, where it differs. */
  readonly refusedWhenProxied: readonly string[];
}

/** What attempts aim at: things of the machine that exist, outside. */
export interface Aims {
  readonly home: string;
  readonly siblingHome: string;
  /** A directory that is granted read-only, with a file `attempt`. */
  readonly readOnlyGrant: string;
  /** A process of the machine. */
  readonly hostPid: number;
  readonly personUid: number;
  readonly siblingUid: number;
  /** A SysV key that has shared memory, a queue and semaphores on the machine, open to everyone. */
  readonly ipcKey: number;
  /** Paths on the machine that nothing granted. */
  readonly wardenSocket: string;
  readonly wardenDirectory: string;
  /** A name without a path that a process of the machine listens to. */
  readonly abstractSocket: string;
  /** A port of the machine's loopback that answers. */
  readonly hostPort: number;
  readonly hostName: string;
}

type Row = readonly [what: string, how: string, refused: string, refusedWhenProxied?: string];

/** Refusals are given as words in one text. */
export function attemptsOf(layer: Group, rows: readonly Row[]): readonly Attempt[] {
  return rows.map(([what, how, refused, refusedWhenProxied]) => ({
    what,
    how,
    layer,
    refused: refused.split(" or "),
    refusedWhenProxied: (refusedWhenProxied ?? refused).split(" or "),
  }));
}

export function isRefusal(attempt: Attempt, network: Network, result: string): boolean {
  return (network === "none" ? attempt.refused : attempt.refusedWhenProxied).includes(result);
}
