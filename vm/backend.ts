/** What the rest of Cohort knows of a place where children live: one interface, and a contract suite (test/vm) that every backend passes. */

/** Ids of a stream of one exec. `stdout` also carries a pty's output and the archive of a collect. */
export type OutputStream = "stdout" | "stderr";

/** What can be acknowledged and given credit: output, and what a program writes to its tools channel. */
export type ExecStream = OutputStream | "tools";

/** `staged`: the child writes to a layer of its own over the source, which nothing of it reaches. */
export type MountMode = "ro" | "staged" | "rw";

interface MountPlace {
  /** Absolute path on the host, without symbolic links. */
  readonly source: string;
  /** One path component: it appears as /sessions/<name>/mnt/<target>. */
  readonly target: string;
}

/** `stagedBytes` is the size of the layer; the memory limit of the sandbox grows by it. */
export type MountPlan = MountPlace & ({ readonly mode: "ro" | "rw" } | { readonly mode: "staged"; readonly stagedBytes: number });

/** Ids of grants that come later than the creation; those of the plan's mounts are 1, 2, … in their order. */
export const GRANT_ID_MIN = 17;

export interface GrantPlan extends MountPlace {
  /** From GRANT_ID_MIN on, and never used again in the same sandbox. */
  readonly grantId: number;
  readonly mode: MountMode;
  /** From the attachment on, kept by the warden itself while the machine sleeps and while nobody is connected; 0 for none. */
  readonly ttlMs: number;
  /** Size of the layer of a staged grant, 0 in the other modes. */
  readonly stagedBytes: number;
}

export interface GrantInfo {
  /** The kernel's id of the mount. */
  readonly mountId: number;
  /** The source's file system cannot be idmapped: the child has a copy of what the person can read, made now. */
  readonly copied: boolean;
  /** The copy lacks what the person cannot read, or what is neither file, directory nor link. */
  readonly copyPartial: boolean;
  /** Of a writable grant: not every protected name in it could be looked for or covered. */
  readonly protectionPartial: boolean;
}

/** The proof that nothing of a grant is left, and what it took. */
export interface RevokedGrant {
  /** Processes of the sandbox that held something of the grant open. */
  readonly processesKilled: number;
  /** Something held the grant that no process could be made to let go of. */
  readonly childKilled: boolean;
}

export interface GrantEnd extends RevokedGrant {
  readonly name: string;
  readonly grantId: number;
  readonly reason: "revoked" | "expired";
}

export interface SandboxLimits {
  readonly memoryBytes: number;
  /** Size of the session disk, /sessions/<name>. */
  readonly diskBytes: number;
  readonly diskInodes: number;
  /** In memory, and there at once; or on the disk of the host, formatted fresh, which takes about 20 ms more. */
  readonly diskKind: "tmpfs" | "ext4";
  /** Size of the private /tmp. */
  readonly tmpBytes: number;
  readonly pidsMax: number;
  /** 1000 is one core; 0 sets no quota. */
  readonly cpuPermille: number;
  readonly openFilesMax: number;
}

/** TCP inside the sandbox alone; 127.0.0.1:3128 leads to the endpoint, and there is no other way out. */
export interface ProxiedNetwork {
  readonly type: "proxied";
  /**
   * Absolute path of a unix stream socket, without symbolic links and shorter than 108 bytes, which everybody may connect to (0666), in a
   * directory of the person that everybody may pass (0711), below one that only the person may pass. Looked up anew for each connection.
   */
  readonly endpoint: string;
}

export interface SandboxPlan {
  readonly name: string;
  /** Wall time that the warden itself enforces, in milliseconds from creation; 0 for none. */
  readonly timeoutMs: number;
  readonly limits: SandboxLimits;
  readonly network: "none" | ProxiedNetwork;
  readonly mounts: readonly MountPlan[];
}

export interface SandboxInfo {
  readonly name: string;
  readonly uid: number;
  readonly initPid: number;
  /** Names of the layers that were proven active, in the order of docs/design/wire.md. */
  readonly layers: readonly string[];
}

export interface ExecPlan {
  readonly execId: number;
  readonly kind: "command" | "collect" | "diff";
  /** For collect: [maxBytes, maxFiles] in decimal; for diff: [target, maxBytes, maxFiles]. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly pty: { readonly rows: number; readonly columns: number } | null;
  readonly stdin: "none" | "stream";
  /** The program gets a stream socket as descriptor 3, and COHORT_FD=3 in its environment. Absent: it does not. */
  readonly tools?: "stream";
  /** Most output bytes per stream that may wait for an acknowledgement. */
  readonly windowBytes: number;
}

/** The session's disk, its inodes, and /tmp with /dev/shm. */
export const fullSpaces = ["disk", "inodes", "tmp", "staged"] as const;
export type FullSpace = (typeof fullSpaces)[number];

export interface ExecExit {
  readonly name: string;
  readonly execId: number;
  readonly cause: "exited" | "signaled" | "not-started" | "sandbox-died" | "layer-missing";
  readonly code: number;
  readonly signal: number;
  readonly oomKilled: boolean;
  readonly pidsLimitHit: boolean;
  readonly deadlineHit: boolean;
  readonly leaseExpired: boolean;
  /** Nothing stood in ~/out when the process ended: a collect would find nothing. */
  readonly outIsEmpty: boolean;
  /** What had no room left when the process ended. */
  readonly full: readonly FullSpace[];
  readonly wallUs: number;
  readonly userUs: number;
  readonly systemUs: number;
  readonly maxRssKib: number;
  readonly stdoutBytes: number;
  readonly stderrBytes: number;
  readonly detail: string;
}

export interface OutputChunk {
  readonly name: string;
  readonly execId: number;
  readonly stream: OutputStream;
  /** Bytes of this stream before this chunk. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** The stream ends after these bytes (which may be none). */
  readonly fin: boolean;
}

/** Bytes that a program wrote to its tools channel: hostile input. */
export interface ToolsChunk {
  readonly name: string;
  readonly execId: number;
  /** Bytes of this direction before this chunk. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly fin: boolean;
}

export interface SandboxDeath {
  readonly name: string;
  readonly reason: "asked" | "itself" | "deadline" | "lease" | "oom" | "revocation";
  readonly detail: string;
}

export interface SandboxStats {
  readonly memoryBytes: number;
  readonly memoryPeakBytes: number;
  readonly pids: number;
  readonly cpuUs: number;
  readonly oomKills: number;
  readonly pidsRefused: number;
  readonly throttledUs: number;
}

/** A system call that was refused, as the warden's witness tells it: advisory, a sandbox can hide its own. */
export interface Denial {
  readonly name: string;
  /** Counts the tellings of this sandbox, from 1. */
  readonly ordinal: number;
  /** As the sandbox counts; 0: unknown. */
  readonly pid: number;
  /** What the process calls itself, at most 15 printable characters; empty: unknown. */
  readonly program: string;
  /** Such as `socket`, or `other calls` when there were too many different ones to tell apart. */
  readonly call: string;
  /** What was asked for, where numbers say it: `AF_INET, SOCK_STREAM`. */
  readonly detail: string;
  /** How often it was refused since the last telling of the same; 1 or more. */
  readonly repeated: number;
}

export interface ListedExec {
  readonly execId: number;
  readonly state: "running" | "exited";
  /** Bytes acknowledged and bytes read so far, per stream. */
  readonly stdout: { readonly acked: number; readonly produced: number };
  readonly stderr: { readonly acked: number; readonly produced: number };
}

export interface ListedSandbox {
  readonly name: string;
  readonly uid: number;
  readonly state: "alive" | "frozen" | "dead";
  readonly execs: readonly ListedExec[];
}

export interface VmIdentity {
  /** Random for each start of the warden: another value means that every earlier child is gone. */
  readonly wardenId: string;
  readonly binarySha256: string;
  readonly features: readonly string[];
  readonly sandboxesMax: number;
  readonly windowBytesMax: number;
  readonly memoryBytesTotal: number;
}

/** What a backend tells. Handlers run on the event loop and must not block; a throw in one is a bug and ends the connection. */
export interface VmEvents {
  output(chunk: OutputChunk): void;
  /** Bytes of stdin that reached the process, in all. */
  stdinAcked(name: string, execId: number, offset: number): void;
  /** Absent: this supervisor asks for no tools channel. */
  tools?(chunk: ToolsChunk): void;
  /** Bytes that the kernel took for the program, in all. */
  toolsAcked?(name: string, execId: number, offset: number): void;
  exit(exit: ExecExit): void;
  died(death: SandboxDeath): void;
  /** Told once, and again after a list of each later connection, until the sandbox is destroyed. Not told of grants that ended with their sandbox. */
  grantEnded(end: GrantEnd): void;
  /** Comes before the exit of the process that was refused, but for what had to be counted because it was too often. */
  denied(denial: Denial): void;
  notice(name: string, kind: string, detail: string): void;
  /** The connection is gone; nothing further comes. Not called after the owner's own close(). */
  closed(reason: Error): void;
}

/**
 * One connection to a warden. Every method rejects with a CohortError whose code
 * is in docs/errors.md; after `closed` each rejects with WARDEN_GONE. Those that
 * answer nothing are dropped then: the next connection resends by offset.
 */
export interface Vm {
  readonly identity: VmIdentity;
  /** Idempotent by name: a living sandbox of that name is answered. */
  create(plan: SandboxPlan): Promise<SandboxInfo>;
  /** Idempotent by (name, execId). Resolves when the process runs. May be called right after create, without awaiting it. */
  exec(name: string, plan: ExecPlan): Promise<void>;
  /** At most 1 MiB beyond the last acknowledged byte; bytes sent before may be sent again, a gap breaks the protocol. */
  writeStdin(name: string, execId: number, offset: number, bytes: Uint8Array, fin: boolean): void;
  /** To the program's end of its tools channel, by the rules of stdin. */
  writeTools(name: string, execId: number, offset: number, bytes: Uint8Array, fin: boolean): void;
  /** All bytes of the stream before `offset` are safe (written down). */
  ackOutput(name: string, execId: number, stream: ExecStream, offset: number): void;
  ackExit(name: string, execId: number): void;
  setWindow(name: string, execId: number, stream: ExecStream, windowBytes: number): void;
  signal(name: string, execId: number, signal: number): Promise<void>;
  resize(name: string, execId: number, rows: number, columns: number): Promise<void>;
  freeze(name: string): Promise<void>;
  thaw(name: string): Promise<void>;
  kill(name: string): Promise<void>;
  /** Moves the warden's own deadline of the sandbox: so long from now, less than 2^32, 0 for none. */
  setDeadline(name: string, timeoutMs: number): Promise<void>;
  stats(name: string): Promise<SandboxStats>;
  /**
   * Idempotent by (name, grantId): a living grant is answered as the first time.
   * Rejects with MOUNT_REFUSED when the source or target will not do, and GRANT_ENDED when that grant ended already.
   */
  grant(name: string, plan: GrantPlan): Promise<GrantInfo>;
  /** Resolves only with the proof that no process of the sandbox can reach the grant. Idempotent: of one that ended, or never was, nothing is killed. */
  revoke(name: string, grantId: number): Promise<RevokedGrant>;
  /** Asks both sides which layers are active now. */
  probe(name: string): Promise<{ readonly inside: readonly string[]; readonly outside: readonly string[] }>;
  /** Resolves only with the proof that no process and no cgroup of it is left. Idempotent. */
  destroy(name: string): Promise<void>;
  list(): Promise<readonly ListedSandbox[]>;
  shutdown(): Promise<void>;
  close(): void;
}

export interface VmConnectOptions {
  readonly supervisorId: string;
  readonly freezeAfterMs: number;
  readonly killAfterMs: number;
}
