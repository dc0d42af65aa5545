/** Runs of every kind on the real runtime, its journal and its actors, with a simulated warden: what golden journals are made of. */
import { mkdirSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CohortSystem } from "../../actors/cohort-system.ts";
import type { SessionId } from "../../actors/session.ts";
import { approvalAnswerSchema, type AskAnswer } from "../../machines/messages/approval.ts";
import { grantCreateSchema, type GrantSummary } from "../../machines/messages/grant.ts";
import { origin, until, type SystemBench } from "../actors/system-bench.ts";

const NEVER = new AbortController().signal;

class Recorder {
  readonly #bench: SystemBench;
  readonly #place: string;

  constructor(bench: SystemBench, place: string) {
    this.#bench = bench;
    this.#place = realpathSync(place);
  }

  directory(name: string): string {
    const path = join(this.#place, name);
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, "file"), "content");
    return path;
  }

  async running(run: string, count = 1): Promise<readonly SessionId[]> {
    let found: SessionId[] = [];
    await until(async () => {
      found = (await this.#bench.system.children())
        .filter((child) => child.run === run && child.state === "running")
        .map(({ index, attempt, child }) => ({ run, index, attempt, name: child }));
      return found.length >= count;
    }, `${count} children of ${run} run`);
    return found;
  }

  async child(run: string): Promise<SessionId> {
    const [child] = await this.running(run);
    if (child === undefined) throw new Error("no child");
    return child;
  }

  give(child: SessionId, path: string, rest: Record<string, unknown> = {}): Promise<GrantSummary> {
    return this.#bench.system.grants.create(grantCreateSchema.parse({ child: child.name, path, ...rest }), origin);
  }

  ask(child: SessionId, path: string): Promise<AskAnswer> {
    return (this.#bench.system as CohortSystem).asks.directory(child, { path, mode: "ro", why: "needed" }, NEVER);
  }

  async answer(decision: "approve" | "deny"): Promise<void> {
    let approval = "";
    await until(async () => {
      const [first] = await this.#bench.system.approvals.list({ answered: false, limit: 1 });
      approval = first?.approval ?? "";
      return approval !== "";
    }, "it is asked");
    await this.#bench.system.approvals.answer(approvalAnswerSchema.parse({ approval, decision }), origin);
  }

  async end(run: string, mode: "grace" | "kill"): Promise<void> {
    await this.#bench.system.cancelRun(run, mode, "enough", origin);
    await this.#bench.events(run);
  }
}

type Recording = (bench: SystemBench, recorder: Recorder, key: string) => Promise<string>;

const hang = { command: ["hang"] };

/** By name; each answers its run once that has ended. */
const recordings: Readonly<Record<string, Recording>> = {
  success: async (bench, _, key) => {
    const run = await bench.start([{ command: ["true"] }, { command: ["echo", "hello"] }, { command: ["true"] }], { jobs: 2 }, key);
    await bench.events(run);
    return run;
  },
  failure: async (bench, _, key) => {
    const tasks = [{ command: ["exit", "3"] }, { command: ["missing"] }, { command: ["true"], mounts: [{ path: "/nowhere" }] }];
    const run = await bench.start(tasks, { jobs: 3 }, key);
    await bench.events(run);
    return run;
  },
  retry: async (bench, _, key) => {
    const run = await bench.start([{ command: ["exit", "1"], retries: 2 }], {}, key);
    await bench.events(run);
    return run;
  },
  halt: async (bench, _, key) => {
    const halt = { when: "now", failures: 1 } as const;
    const run = await bench.start([hang, { command: ["exit", "4"] }, { command: ["true"] }], { jobs: 2, halt }, key);
    await bench.events(run);
    return run;
  },
  timeout: async (bench, _, key) => {
    const run = await bench.start([{ command: ["sleep", "60000"], timeoutMs: 100 }], {}, key);
    await bench.events(run);
    return run;
  },
  cancel: async (bench, recorder, key) => {
    const run = await bench.start([hang, hang, hang], { jobs: 2 }, key);
    await recorder.running(run, 2);
    await recorder.end(run, "grace");
    return run;
  },
  kill: async (bench, recorder, key) => {
    const run = await bench.start([{ command: ["deaf"] }], {}, key);
    await recorder.child(run);
    await recorder.end(run, "kill");
    return run;
  },
  lost: async (bench, recorder, key) => {
    const run = await bench.start([hang, { command: ["sleep", "300"], idempotent: true }], { jobs: 2 }, key);
    await recorder.running(run, 2);
    bench.warden.replace();
    await bench.events(run);
    return run;
  },
  crash: async (bench, recorder, key) => {
    const run = await bench.start([{ command: ["sleep", "300"] }, { command: ["true"] }], { jobs: 1 }, key);
    await recorder.child(run);
    await bench.stop();
    await bench.open();
    await bench.events(run);
    return run;
  },
  grant: async (bench, recorder, key) => {
    const run = await bench.start([hang], {}, key);
    const child = await recorder.child(run);
    const { grant } = await recorder.give(child, recorder.directory("taken"));
    await bench.system.grants.revoke(grant, false, origin);
    await recorder.give(child, recorder.directory("timed"), { ttlMs: 1000 });
    await until(async () => (await bench.system.grants.list({ ended: false, limit: 9 })).length === 0, "its time is over");
    await recorder.give(child, recorder.directory("kept"));
    await recorder.end(run, "kill");
    return run;
  },
  staged: async (bench, recorder, key) => {
    const run = await bench.start([hang], {}, key);
    const child = await recorder.child(run);
    const { grant } = await recorder.give(child, recorder.directory("staged"), { mode: "staged" });
    await bench.system.grants.revoke(grant, false, origin);
    const { grant: other } = await recorder.give(child, recorder.directory("discarded"), { mode: "staged" });
    await bench.system.grants.revoke(other, true, origin);
    await recorder.end(run, "kill");
    return run;
  },
  approval: async (bench, recorder, key) => {
    const run = await bench.start([hang], {}, key);
    const child = await recorder.child(run);
    const approved = recorder.ask(child, recorder.directory("approved"));
    await recorder.answer("approve");
    await approved;
    const denied = recorder.ask(child, recorder.directory("denied"));
    await recorder.answer("deny");
    await denied;
    const withdrawn = recorder.ask(child, recorder.directory("withdrawn"));
    await until(async () => (await bench.system.approvals.list({ answered: false, limit: 9 })).length > 0, "it is asked");
    await recorder.end(run, "kill");
    await withdrawn;
    return run;
  },
};

/** In a system that is open; `place` is for the directories that are given. Answers the runs by name, all ended. */
export async function recordRuns(bench: SystemBench, place: string): Promise<ReadonlyMap<string, string>> {
  const recorder = new Recorder(bench, place);
  const runs = new Map<string, string>();
  for (const [name, record] of Object.entries(recordings)) runs.set(name, await record(bench, recorder, `golden ${name}`));
  await until(() => !bench.system.busy(), "nothing is left");
  return runs;
}
