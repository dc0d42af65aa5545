/** `grant`: from the call on the warden's connection to the proof, for the attachment and for the end, with and without processes that hold it. */
import { chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ensureSystemUser } from "../app/daemon/system-user.ts";
import type { GrantPlan, Vm } from "../vm/backend.ts";
import { atMost, percentile, rounded, type Measurement } from "./result.ts";
import { openWarden } from "./warden-under-test.ts";

const ROUNDS = 120;
const WARM_UP_ROUNDS = 10;
const HOLDING_PROCESSES = 20;
/** Execs of a sandbox that were not acknowledged are few, so each one serves so many rounds. */
const ROUNDS_PER_SANDBOX = 30;
const MEBIBYTE = 1024 ** 2;
/** The sandbox's init and one that sleeps. */
const IDLE_PROCESSES = 2;
const READY_MS_MAX = 10_000;

type Samples = Record<"attach" | "attachRw" | "attachStaged" | "revokeIdle" | "revoke" | "revokeStaged", number[]>;

class GrantBench {
  readonly #vm: Vm;
  readonly #source: string;
  #grants = 16;
  #execs = 1;

  constructor(vm: Vm, source: string) {
    this.#vm = vm;
    this.#source = source;
  }

  async round(name: string, samples: Samples): Promise<void> {
    await this.#idle(name, "ro", samples.attach, samples.revokeIdle);
    await this.#idle(name, "rw", samples.attachRw, samples.revokeIdle);
    await this.#idle(name, "staged", samples.attachStaged, samples.revokeIdle);
    await this.#held(name, "rw", samples.revoke);
    await this.#held(name, "staged", samples.revokeStaged);
  }

  async #idle(name: string, mode: GrantPlan["mode"], attach: number[], revoke: number[]): Promise<void> {
    const plan = this.#plan(mode);
    attach.push(await timed(() => this.#vm.grant(name, plan)));
    revoke.push(await timed(() => this.#vm.revoke(name, plan.grantId)));
  }

  /** Each process has it as its working directory and a file of it open. */
  async #held(name: string, mode: GrantPlan["mode"], revoke: number[]): Promise<void> {
    const plan = this.#plan(mode);
    await this.#vm.grant(name, plan);
    const script = `cd /sessions/${name}/mnt/data && exec 3<>file && for one in $(seq ${HOLDING_PROCESSES - 1}); do sleep 600 & done; exec sleep 600`;
    await this.#vm.exec(name, {
      execId: (this.#execs += 1),
      kind: "command",
      argv: ["/bin/sh", "-c", script],
      env: { PATH: "/usr/bin:/bin" },
      cwd: "/",
      pty: null,
      stdin: "none",
      windowBytes: 65_536,
    });
    const deadline = Date.now() + READY_MS_MAX;
    while ((await this.#vm.stats(name)).pids !== IDLE_PROCESSES + HOLDING_PROCESSES) {
      if (Date.now() > deadline) throw new Error("the holding processes did not start");
      await sleep(2);
    }
    await sleep(10);
    const startedAt = performance.now();
    const revoked = await this.#vm.revoke(name, plan.grantId);
    revoke.push(rounded(performance.now() - startedAt));
    if (revoked.processesKilled !== HOLDING_PROCESSES || revoked.childKilled)
      throw new Error(`${JSON.stringify(revoked)} is not the end of ${HOLDING_PROCESSES} processes`);
  }

  #plan(mode: GrantPlan["mode"]): GrantPlan {
    this.#grants += 1;
    return {
      grantId: this.#grants,
      source: this.#source,
      target: "data",
      mode,
      ttlMs: 1_800_000,
      stagedBytes: mode === "staged" ? MEBIBYTE : 0,
    };
  }
}

async function timed(action: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await action();
  return rounded(performance.now() - startedAt);
}

/** A project of the person's with what is looked for in one that is given for writing. */
function makeSource(): string {
  const { uid, gid } = ensureSystemUser();
  const source = mkdtempSync("/run/cohort/bench-grant-");
  for (const path of ["", ".git", "src"]) mkdirSync(join(source, path), { recursive: true });
  for (const path of ["file", "src/main.c", ".git/config"]) writeFileSync(join(source, path), "content\n");
  for (const path of ["", ".git", "src", "file", "src/main.c", ".git/config"]) chownSync(join(source, path), uid, gid);
  return source;
}

export async function measureGrant(): Promise<Measurement> {
  const warden = await openWarden();
  const source = makeSource();
  const samples: Samples = { attach: [], attachRw: [], attachStaged: [], revokeIdle: [], revoke: [], revokeStaged: [] };
  const ignored: Samples = { attach: [], attachRw: [], attachStaged: [], revokeIdle: [], revoke: [], revokeStaged: [] };
  try {
    let bench = new GrantBench(warden.vm, source);
    for (let round = 0, name = ""; round < WARM_UP_ROUNDS + ROUNDS; round += 1) {
      if (round % ROUNDS_PER_SANDBOX === 0) {
        if (name !== "") await warden.vm.destroy(name);
        name = `grant-${round}`;
        await warden.start(name, ["/usr/bin/sleep", "600"]);
        bench = new GrantBench(warden.vm, source);
      }
      await bench.round(name, round < WARM_UP_ROUNDS ? ignored : samples);
    }
  } finally {
    await warden.close();
    rmSync(source, { recursive: true, force: true });
  }
  return summarize(samples);
}

function summarize(samples: Samples): Measurement {
  const figure = (name: keyof Samples, percent: number): number => rounded(percentile(samples[name], percent));
  const names = Object.keys(samples) as (keyof Samples)[];
  return {
    figures: {
      rounds: ROUNDS,
      holdingProcesses: HOLDING_PROCESSES,
      ...Object.fromEntries(names.flatMap((name) => [50, 95].map((percent) => [`${name}P${percent}Ms`, figure(name, percent)]))),
    },
    samples: Object.fromEntries(names.map((name) => [`${name}Ms`, samples[name]])),
    goals: [atMost("attachP50Ms", "ms", 2, figure("attach", 50)), atMost("revokeP50Ms", "ms", 10, figure("revoke", 50))],
    peers: [],
    notMeasured: [
      "cohortd: what a grant costs in the journal before and after",
      "a copy of a source that cannot be idmapped, which takes as long as reading it",
      "a source with many thousands of files that is given for writing: the search for protected names is bounded at half a second",
    ],
  };
}
