/** Every frame of docs/design/wire.md as a type. */
import type { Denial, ExecExit, ExecPlan, GrantEnd, GrantPlan, SandboxDeath, SandboxPlan, VmIdentity } from "../backend.ts";

export const WIRE_VERSION = 2;
export const WIRE_FRAME_BYTES_MAX = 1_048_576;

/** Numbers on the wire, by direction. DATA and ACK go both ways. */
export const frameTypes = {
  hello: 1,
  create: 2,
  exec: 3,
  data: 4,
  ack: 5,
  signal: 6,
  resize: 7,
  freeze: 8,
  thaw: 9,
  kill: 10,
  stats: 11,
  probe: 12,
  destroy: 13,
  list: 14,
  exitAck: 15,
  renew: 16,
  credit: 17,
  shutdown: 18,
  grant: 19,
  revoke: 20,
  deadline: 21,
  helloOk: 65,
  ok: 66,
  error: 67,
  exit: 68,
  died: 69,
  event: 70,
  grantEnded: 71,
  denied: 72,
} as const;

/** 0 is stdin, 1 stdout (or the pty, or the archive of a collect), 2 stderr, 3 the tools channel, both ways. */
export type StreamNumber = 0 | 1 | 2 | 3;

export interface DataFrame {
  readonly type: "data";
  readonly name: string;
  readonly execId: number;
  readonly stream: StreamNumber;
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly fin: boolean;
}

export interface AckFrame {
  readonly type: "ack";
  readonly name: string;
  readonly execId: number;
  readonly stream: StreamNumber;
  readonly offset: number;
}

/** Requests that carry nothing but a name. */
export type NamedRequest = "freeze" | "thaw" | "kill" | "stats" | "probe" | "destroy";

export type SupervisorFrame =
  | {
      readonly type: "hello";
      readonly version: number;
      readonly supervisorId: string;
      readonly freezeAfterMs: number;
      readonly killAfterMs: number;
    }
  | { readonly type: "create"; readonly seq: number; readonly plan: SandboxPlan }
  | { readonly type: "exec"; readonly seq: number; readonly name: string; readonly plan: ExecPlan }
  | DataFrame
  | AckFrame
  | { readonly type: "signal"; readonly seq: number; readonly name: string; readonly execId: number; readonly signal: number }
  | {
      readonly type: "resize";
      readonly seq: number;
      readonly name: string;
      readonly execId: number;
      readonly rows: number;
      readonly columns: number;
    }
  | { readonly type: NamedRequest; readonly seq: number; readonly name: string }
  | { readonly type: "grant"; readonly seq: number; readonly name: string; readonly plan: GrantPlan }
  | { readonly type: "revoke"; readonly seq: number; readonly name: string; readonly grantId: number }
  | { readonly type: "deadline"; readonly seq: number; readonly name: string; readonly timeoutMs: number }
  | { readonly type: "list" | "shutdown"; readonly seq: number }
  | { readonly type: "exitAck"; readonly name: string; readonly execId: number }
  | { readonly type: "renew" }
  | {
      readonly type: "credit";
      readonly name: string;
      readonly execId: number;
      readonly stream: StreamNumber;
      readonly windowBytes: number;
    };

export type WardenFrame =
  | { readonly type: "helloOk"; readonly version: number; readonly nameMax: number; readonly identity: VmIdentity }
  /** `values` are read by the answer decoder of the request that `seq` names. */
  | { readonly type: "ok"; readonly seq: number; readonly values: readonly unknown[] }
  | { readonly type: "error"; readonly seq: number; readonly code: string; readonly message: string; readonly errno: number }
  | DataFrame
  | AckFrame
  | { readonly type: "exit"; readonly exit: ExecExit }
  | { readonly type: "died"; readonly death: SandboxDeath }
  | { readonly type: "grantEnded"; readonly end: GrantEnd }
  | { readonly type: "denied"; readonly denial: Denial }
  | { readonly type: "event"; readonly name: string; readonly kind: string; readonly detail: string };
