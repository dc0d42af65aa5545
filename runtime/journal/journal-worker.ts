/** The thread that writes the journal: takes requests in order, answers each. */
import { parentPort, workerData } from "node:worker_threads";
import { CHECKPOINT_IDLE_MS } from "../kernel/limits.ts";
import { journalError } from "./database.ts";
import type { HistoryCursor } from "../kernel/history.ts";
import type { Upkeep, UpkeepName } from "./upkeep.ts";
import type { CommitLane } from "./tail.ts";
import { openStore, type JournalPlace, type JournalStore } from "./store.ts";

export type WorkerRequest =
  | { readonly id: number; readonly type: "load" }
  | { readonly id: number; readonly type: "commit"; readonly bytes: Uint8Array; readonly lane: CommitLane }
  | { readonly id: number; readonly type: "pull"; readonly receiver: string; readonly after: number; readonly limit: number }
  | { readonly id: number; readonly type: "get"; readonly collection: string; readonly key: string }
  | { readonly id: number; readonly type: "list"; readonly collection: string; readonly after: string; readonly limit: number }
  | { readonly id: number; readonly type: "readLog"; readonly log: string; readonly after: number; readonly limit: number }
  | { readonly id: number; readonly type: "history"; readonly scope: string; readonly after: HistoryCursor | null; readonly limit: number }
  | { readonly id: number; readonly type: "upkeep"; readonly name: UpkeepName; readonly ask: Upkeep[UpkeepName]["ask"] }
  | { readonly id: number; readonly type: "close" };

export type WorkerAnswer =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly code: string; readonly on: string };

function answer(store: JournalStore, request: WorkerRequest): unknown {
  switch (request.type) {
    case "load":
      return store.load();
    case "commit":
      return store.commit(request.bytes, request.lane);
    case "pull":
      return store.pull(request.receiver, request.after, request.limit);
    case "get":
      return store.get(request.collection, request.key);
    case "list":
      return store.list(request.collection, request.after, request.limit);
    case "readLog":
      return store.readLog(request.log, request.after, request.limit);
    case "history":
      return store.history(request.scope, request.after, request.limit);
    case "upkeep":
      return store.upkeep(request.name, request.ask);
    case "close":
      return store.close();
  }
}

function serve(): void {
  const port = parentPort;
  if (port === null) throw new Error("the journal's worker runs in a worker thread only");
  const failed = (id: number, error: unknown): void => {
    const named = journalError(error);
    port.postMessage({ id, ok: false, code: named.code, on: named.message } satisfies WorkerAnswer);
  };
  let store: JournalStore;
  try {
    store = openStore(workerData as JournalPlace);
  } catch (error) {
    failed(0, error);
    return;
  }
  port.postMessage({ id: 0, ok: true, value: null } satisfies WorkerAnswer);
  let quiet: NodeJS.Timeout | undefined;
  const restIn = (ms: number): void => {
    clearTimeout(quiet);
    quiet = setTimeout(() => {
      const againMs = store.rest();
      if (againMs !== null) restIn(againMs);
    }, ms).unref();
  };
  port.on("message", (request: WorkerRequest) => {
    try {
      port.postMessage({ id: request.id, ok: true, value: answer(store, request) } satisfies WorkerAnswer);
    } catch (error) {
      failed(request.id, error);
    }
    if (request.type === "commit" || request.type === "upkeep") {
      // Durable already, and answered: nobody waits for this.
      if (request.type === "commit") store.apply();
      restIn(CHECKPOINT_IDLE_MS);
    }
    if (request.type === "close") port.close();
  });
}

serve();
