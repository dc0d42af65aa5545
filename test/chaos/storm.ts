/**
 * A storm: a run of many living children, all at once, whose supervisor is killed with SIGKILL again and again at random moments of its life: while
 * it starts, recovers, works and finishes. What each child did is known from outside the system: it writes down that it ran, and how much it wrote.
 *
 * Most children write bursts of numbered lines; some are watched live, and write the time twenty times a second.
 */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { join } from "node:path";
import type { Cohort, Run, TaskResult } from "../../sdk/index.ts";
import { OwnHome } from "../daemon/own-home.ts";
import { remainsAtRest, remainsOf, type Remains } from "./remains.ts";

export interface StormPlan {
  readonly kills: number;
  readonly children: number;
  /** Of the children, how many are watched. */
  readonly watched: number;
  /** 0 … 1. */
  readonly random: () => number;
}

export interface StormReport {
  readonly kills: number;
  /** Tasks without a result that says succeeded, in the stream of results or in the list of them. */
  readonly resultsLost: number;
  /** Tasks that ran twice, or whose result came twice. */
  readonly resultsDoubled: number;
  /** Streams that are not, byte for byte, what their child wrote. */
  readonly streamsTorn: number;
  /** From each kill until a watched child's new line arrived, where no other kill came between. */
  readonly reattachedMs: readonly number[];
  readonly leftovers: number;
  /** What went wrong, for a person; bounded. */
  readonly problems: readonly string[];
}

const BURST_LINES = 500;
const PROBLEMS_MAX = 20;
const AT_REST_MS = 30_000;
/** Longer than any start of cohortd; who is not read again by then counts with this. */
const PATIENCE_MS = 10_000;
const WATCHED_END = "the end";

/** `$1` index, `$2` base of the numbers. Ends when the file `stop` is there, and then says how many bursts it wrote. */
const WRITER = `echo $1 >> mnt/shared/ran; n=0
while [ ! -e mnt/shared/stop ]; do seq -f %09.0f $(($2 + n * ${BURST_LINES} + 1)) $(($2 + (n + 1) * ${BURST_LINES})); n=$((n + 1)); sleep 1; done
echo $n > mnt/shared/bursts.$1`;

const WATCHED = `echo $1 >> mnt/shared/ran; n=0
while [ ! -e mnt/shared/stop ]; do date +%s%3N; n=$((n + 1)); sleep 0.05; done
echo $n > mnt/shared/bursts.$1; echo ${WATCHED_END}`;

export async function storm(plan: StormPlan): Promise<StormReport> {
  const home = OwnHome.make();
  try {
    return await new Storm(plan, home).pass();
  } finally {
    await home.end();
  }
}

class Storm {
  readonly #plan: StormPlan;
  readonly #home: OwnHome;
  readonly #shared: string;
  readonly #problems: string[] = [];
  readonly #killedAtMs: number[] = [];
  readonly #reattachedMs: number[] = [];
  /** By watched child: of how many kills it is known to have been read after. */
  readonly #provenOf: number[] = [];
  #isStopped = false;
  #isOver = false;

  constructor(plan: StormPlan, home: OwnHome) {
    this.#plan = plan;
    this.#home = home;
    this.#shared = home.personDirectory();
  }

  async pass(): Promise<StormReport> {
    const client = await this.#home.connect();
    const before = await remainsAtRest(this.#home.paths.wardenSocket);
    const run = await this.#begin(client);
    const results: TaskResult[] = [];
    const reading = (async (): Promise<void> => {
      for await (const result of run.results()) results.push(result);
    })();
    const watching = Array.from({ length: this.#plan.watched }, (_, index) => this.#watch(run, index));
    const ended = Promise.all([reading, ...watching]).finally(() => (this.#isOver = true));
    await Promise.all([this.#kill(), ended]);
    const { lost, doubled } = await this.#account(run, results);
    const torn = await this.#torn(run);
    return {
      kills: this.#killedAtMs.length,
      resultsLost: lost,
      resultsDoubled: doubled,
      streamsTorn: torn,
      reattachedMs: this.#reattachedMs,
      leftovers: await this.#leftovers(before),
      problems: this.#problems,
    };
  }

  #begin(client: Cohort): Promise<Run> {
    const { children, watched } = this.#plan;
    return client.run({
      title: "a storm",
      jobs: children,
      tasks: Array.from({ length: children }, (_, index) => ({
        title: `child ${index}`,
        command: ["/bin/sh", "-c", index < watched ? WATCHED : WRITER, "sh", String(index), String(index * 10_000_000)],
        mounts: [{ path: this.#shared, as: "shared", mode: "rw" as const }],
      })),
    });
  }

  /** The last kills come after the children were told to stop: their ends and collections are caught, too. Once all has ended there is nobody to kill. */
  async #kill(): Promise<void> {
    const { kills, random } = this.#plan;
    const endings = Math.max(1, Math.floor(kills / 5));
    const seen = new Set<number>();
    while (this.#killedAtMs.length < kills && !this.#isOver) {
      if (!this.#isStopped && this.#killedAtMs.length >= kills - endings) {
        this.#isStopped = true;
        writeFileSync(join(this.#shared, "stop"), "");
      }
      // Half of them while it starts or recovers, half of them once it has everyone again.
      if (random() < 0.5) await sleep(random() * 1500);
      else await this.#everyoneReattached();
      for (const pid of this.#home.daemons()) {
        if (seen.has(pid)) continue;
        process.kill(pid, "SIGKILL");
        seen.add(pid);
        this.#killedAtMs.push(Date.now());
      }
    }
  }

  async #everyoneReattached(): Promise<void> {
    const kills = this.#killedAtMs.length;
    const endMs = Date.now() + PATIENCE_MS;
    while (this.#provenOf.some((proven) => proven < kills) && !this.#isStopped) {
      if (Date.now() > endMs) {
        this.#reattachedMs.push(PATIENCE_MS);
        return;
      }
      await sleep(20);
    }
  }

  /** A line that was written after a kill, and arrived, proves that somebody reads that child again. */
  async #watch(run: Run, index: number): Promise<void> {
    let text = "";
    this.#provenOf[index] = 0;
    for await (const { bytes } of run.logs(index, { follow: true })) {
      text += Buffer.from(bytes).toString();
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      const writtenAtMs = Number(lines.findLast((line) => line !== WATCHED_END));
      const kills = this.#killedAtMs.length;
      const lastAtMs = this.#killedAtMs.at(-1);
      if (lastAtMs === undefined || this.#provenOf[index] === kills || !(writtenAtMs > lastAtMs)) continue;
      this.#provenOf[index] = kills;
      this.#reattachedMs.push(Date.now() - lastAtMs);
    }
  }

  async #account(run: Run, streamed: readonly TaskResult[]): Promise<{ readonly lost: number; readonly doubled: number }> {
    const { children } = this.#plan;
    const listed: TaskResult[] = [];
    for await (const result of run.results()) listed.push(result);
    const ran = readFileSync(join(this.#shared, "ran"), "utf8").trim().split("\n").map(Number);
    let [lost, doubled] = [0, 0];
    for (let index = 0; index < children; index += 1) {
      const times = [
        streamed.filter((result) => result.index === index).length,
        listed.filter((result) => result.index === index).length,
        ran.filter((one) => one === index).length,
      ];
      const result = listed.find((one) => one.index === index);
      if (Math.min(...times) === 0 || result?.status !== "succeeded") {
        lost += 1;
        this.#problem(`child ${index}: results streamed, listed and runs ${times.join(", ")}; status ${result?.status ?? "none"}`);
      }
      if (Math.max(...times) > 1 || (result !== undefined && result.attempt !== 1)) {
        doubled += 1;
        this.#problem(`child ${index}: results streamed, listed and runs ${times.join(", ")}; attempt ${result?.attempt ?? 0}`);
      }
    }
    return { lost, doubled };
  }

  async #torn(run: Run): Promise<number> {
    let torn = 0;
    for (let index = 0; index < this.#plan.children; index += 1) {
      const why = await this.#streamProblem(run, index);
      if (why === null) continue;
      torn += 1;
      this.#problem(`child ${index}: ${why}`);
    }
    return torn;
  }

  async #streamProblem(run: Run, index: number): Promise<string | null> {
    const hash = createHash("sha256");
    const chunks: Uint8Array[] = [];
    let next = 0;
    for await (const { stream, offset, bytes } of run.logs(index)) {
      if (stream !== "stdout" || offset !== next) return `${stream} goes on at ${offset}, not at ${next}`;
      next += bytes.length;
      hash.update(bytes);
      chunks.push(bytes);
    }
    const bursts = Number(readFileSync(join(this.#shared, `bursts.${index}`), "utf8"));
    if (index < this.#plan.watched) return watchedProblem(Buffer.concat(chunks).toString(), bursts);
    const expected = createHash("sha256");
    for (let burst = 0; burst < bursts; burst += 1) expected.update(numbers(index * 10_000_000 + burst * BURST_LINES));
    return hash.digest("hex") === expected.digest("hex") ? null : `${next} bytes are not the ${bursts} bursts that it wrote`;
  }

  async #leftovers(before: Remains): Promise<number> {
    const socket = this.#home.paths.wardenSocket;
    const endMs = Date.now() + AT_REST_MS;
    for (;;) {
      const now = remainsOf(socket);
      const over = (Object.keys(before) as (keyof Remains)[]).filter((place) => now[place] > before[place]);
      if (over.length === 0) return 0;
      if (Date.now() > endMs) {
        for (const place of over) this.#problem(`${place}: ${now[place]}, ${before[place]} before`);
        return over.reduce((sum, place) => sum + now[place] - before[place], 0);
      }
      await sleep(100);
    }
  }

  #problem(text: string): void {
    if (this.#problems.length < PROBLEMS_MAX) this.#problems.push(text);
  }
}

function numbers(first: number): string {
  let text = "";
  for (let line = 1; line <= BURST_LINES; line += 1) text += `${String(first + line).padStart(9, "0")}\n`;
  return text;
}

function watchedProblem(text: string, count: number): string | null {
  const lines = text.split("\n");
  if (lines.pop() !== "" || lines.pop() !== WATCHED_END) return "its last line is missing";
  if (lines.length !== count) return `${lines.length} lines, it wrote ${count}`;
  const back = lines.findIndex((line, at) => !/^\d{13}$/.test(line) || Number(line) < Number(lines[at - 1] ?? 0));
  return back === -1 ? null : `line ${back} is out of order: ${lines[back] ?? ""}`;
}
