/** What is asked of staged-worker.ts, as promises. Owns its threads. */
import { CohortError } from "../runtime/kernel/error.ts";
import { WorkPool } from "../runtime/pool/work-pool.ts";
import type { StagedListing } from "./staged-listing.ts";
import type { PatchRequest } from "./staged-patch.ts";
import type { HashRequest, WorkerAnswer } from "./staged-worker.ts";

/** 200,000 entries take a second or two here; this is a machine that hardly moves. */
const DEADLINE_MS = 60_000;

/** From sources the worker is the .ts beside this file; in a bundle it stands beside the bundle. */
function workerUrl(): URL {
  return new URL(import.meta.url.endsWith(".ts") ? "./staged-worker.ts" : "./staged-worker.js", import.meta.url);
}

export class StagedWork {
  readonly #pool = new WorkPool(workerUrl());

  /** Rejects with STAGED_INVALID, CONTENT_GONE, DEADLINE. */
  list(archive: string): Promise<StagedListing> {
    return this.#ask<StagedListing>("list", { archive });
  }

  patch(request: PatchRequest): Promise<string> {
    return this.#ask<string>("patch", request);
  }

  hash(request: HashRequest): Promise<readonly string[]> {
    return this.#ask<readonly string[]>("hash", request);
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  async #ask<T>(name: string, request: unknown): Promise<T> {
    const answer = await this.#pool.run<WorkerAnswer<T>>(name, request, DEADLINE_MS);
    if (answer.type === "failed") throw new CohortError(answer.code, answer.on === "" ? {} : { on: answer.on });
    return answer.value;
  }
}
