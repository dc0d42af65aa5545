/** BullMQ on a Redis of the bench's own: the same no-op as a job, in the process that asks for it, and nothing confined. */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Queue, QueueEvents, Worker } from "bullmq";
import { Redis } from "ioredis";
import type { Peer } from "./result.ts";

export type Fsync = "always" | "everysec";

export interface QueuePeer {
  readonly peer: Peer;
  /** One job, from the call until its end was heard. */
  once(): Promise<void>;
  close(): Promise<void>;
}

const START_MS_MAX = 10_000;
/** As many as the bench has on their way at most. */
const CONCURRENCY = 64;

async function startRedis(directory: string, fsync: Fsync): Promise<{ readonly process: ChildProcess; readonly socket: string }> {
  const socket = join(directory, "redis.sock");
  const args = ["--port", "0", "--unixsocket", socket, "--dir", directory, "--save", "", "--appendonly", "yes", "--appendfsync", fsync];
  const child = spawn("redis-server", args, { stdio: "ignore" });
  for (const endAtMs = Date.now() + START_MS_MAX; !existsSync(socket);) {
    if (Date.now() > endAtMs || child.exitCode !== null) throw new Error(`redis-server did not start: status ${String(child.exitCode)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { process: child, socket };
}

function versions(): string {
  const redis = spawnSync("redis-server", ["--version"], { encoding: "utf8", timeout: 5000 }).stdout;
  const path = join(import.meta.dirname, "../node_modules/bullmq/package.json");
  const bullmq = /"version": "([^"]+)"/.exec(readFileSync(path, "utf8"))?.[1] ?? "unknown";
  return `BullMQ ${bullmq}, Redis ${/v=(\S+)/.exec(redis)?.[1] ?? "unknown"}`;
}

export async function openQueuePeer(fsync: Fsync): Promise<QueuePeer> {
  const directory = mkdtempSync(join(tmpdir(), "cohort-redis-"));
  const redis = await startRedis(directory, fsync);
  const connections: Redis[] = [];
  const connection = (): Redis => {
    const made = new Redis(redis.socket, { maxRetriesPerRequest: null });
    connections.push(made);
    return made;
  };
  const queue = new Queue("bench", { connection: connection(), defaultJobOptions: { removeOnComplete: { count: 1000 } } });
  const ended = new QueueEvents("bench", { connection: connection() });
  // Each waiting job listens.
  for (const heard of [queue, ended]) heard.setMaxListeners(4 * CONCURRENCY);
  const worker = new Worker("bench", () => Promise.resolve(null), { connection: connection(), concurrency: CONCURRENCY });
  await Promise.all([queue.waitUntilReady(), ended.waitUntilReady(), worker.waitUntilReady()]);
  return {
    peer: {
      name: `BullMQ, appendfsync ${fsync}`,
      version: versions(),
      how: `unequal: the no-op is a function in the bench's own process, with no process, sandbox, output or files. ${
        fsync === "always"
          ? "Each write of Redis is on the disk before its answer, as ours are"
          : "Redis' own default: a second may be lost"
      }; unix socket, one worker of concurrency ${CONCURRENCY}, waitUntilFinished`,
    },
    once: async () => {
      const job = await queue.add("no-op", {});
      await job.waitUntilFinished(ended);
    },
    close: async () => {
      await worker.close();
      await Promise.all([queue.close(), ended.close()]);
      for (const made of connections) made.disconnect();
      const exited = once(redis.process, "exit");
      redis.process.kill("SIGTERM");
      await exited;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
