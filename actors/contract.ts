/** What the daemon sees of the actor system: one object, opened by actors/system.ts, the one file that wires everything. */
import type { Origin } from "../runtime/contract.ts";
import type { Vm, VmEvents } from "../vm/backend.ts";
import type { RunSpec } from "../machines/messages/task.ts";
import type { DoctorReport, ExecItem, OutputItem, RunEventItem, RunStarted } from "../machines/messages/api.ts";
import type { ChildSummary, RunSummary, TaskResult } from "../machines/messages/result.ts";

export interface SystemOptions {
  /** 0700; holds journal/, content/. */
  readonly stateDirectory: string;
  /** Called at start and, with backoff, whenever the connection was lost. Rejects with WARDEN_ABSENT while there is none. */
  readonly connectVm: (events: VmEvents) => Promise<Vm>;
  /** Of the machine; the default of `jobs` is twice this. */
  readonly cores: number;
}

export interface LogsRequest {
  readonly run: string;
  readonly index: number;
  readonly attempt?: number | undefined;
  readonly follow: boolean;
  readonly stdoutOffset: number;
  readonly stderrOffset: number;
}

export interface ExecRequest {
  readonly child: string;
  readonly command: readonly string[];
  readonly pty: { readonly rows: number; readonly columns: number } | null;
  readonly stdin: AsyncIterable<Uint8Array>;
}

export interface System {
  startRun(spec: RunSpec, key: string | undefined, origin: Origin): Promise<RunStarted>;
  resumeRun(run: string, origin: Origin): Promise<RunStarted>;
  cancelRun(run: string, mode: "grace" | "kill", reason: string, origin: Origin): Promise<void>;
  run(run: string): Promise<RunSummary>;
  runs(limit: number): Promise<readonly RunSummary[]>;
  results(
    run: string,
    after: number,
    limit: number,
  ): Promise<{ readonly results: readonly { readonly cursor: number; readonly result: TaskResult }[]; readonly next: number | null }>;
  /** Ends after run-finished. */
  watch(run: string, after: number, signal: AbortSignal): AsyncIterable<RunEventItem>;
  children(): Promise<readonly ChildSummary[]>;
  logs(request: LogsRequest, signal: AbortSignal): AsyncIterable<OutputItem>;
  exec(request: ExecRequest, signal: AbortSignal): AsyncIterable<ExecItem>;
  resizeExec(child: string, execId: number, rows: number, columns: number): Promise<void>;
  doctor(child: string | undefined): Promise<DoctorReport>;
  /** True while a run lives: the daemon does not exit when idle then. */
  busy(): boolean;
  /** Children go on; the next system re-attaches. */
  stop(): Promise<void>;
}

export type OpenSystem = (options: SystemOptions) => Promise<System>;
