import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, expectTypeOf, test, vi } from "vitest";
import { TaskFailed, type Cohort, type CohortError, type Outcome, type ScopedTask, type TaskResult } from "../../sdk/index.ts";
import { collect, eventually, OwnHome, ownHomeUnavailable } from "../daemon/own-home.ts";

vi.setConfig({ testTimeout: 90_000 });

let home: OwnHome;
let cohort: Cohort;
const processes: ChildProcess[] = [];

beforeAll(async () => {
  if (ownHomeUnavailable !== null) return;
  process.env["COHORT_LEASE_FREEZE_MS"] = "20000";
  home = OwnHome.make();
  cohort = await home.connect();
});

beforeEach(({ skip }) => skip(ownHomeUnavailable !== null, ownHomeUnavailable ?? ""));

/** Whatever a test did with scopes, nothing of it runs when they have settled. */
afterEach(async () => {
  for (const child of processes.splice(0)) child.kill("SIGKILL");
  if (ownHomeUnavailable === null) expect(await running()).toEqual([]);
});

afterAll(async () => {
  if (ownHomeUnavailable === null) await home.end();
});

async function running(): Promise<readonly string[]> {
  const runs = (await cohort.runs()).filter(({ finishedAtMs }) => finishedAtMs === null).map(({ title }) => title);
  return [...runs, ...(await cohort.children()).map(({ title }) => title)];
}

function shell(title: string, script: string): ScopedTask<string> {
  return { title, command: ["sh", "-c", script], read: ({ stdout }) => stdout.preview.trim() };
}

const says = (word: string, seconds = 0): ScopedTask<string> => shell(word, `sleep ${seconds}; echo ${word}`);
const fails = (word: string, code = 3): ScopedTask<string> => shell(word, `exit ${code}`);
const hangs = (title: string): ScopedTask<string> => shell(title, "sleep 1000");

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => expect.unreachable(`it resolved with ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );
}

describe("a scope ends with everything in it", () => {
  test("values are what tasks read from their results, and without a reader the result", async () => {
    const [length, result, nested] = await cohort.scope(async (scope) => {
      const all = await scope.all([
        { title: "length", command: ["echo", "four"], read: ({ stdout }) => stdout.preview.trim().length },
        { title: "plain", command: ["echo", "plain"] },
        async (inner) => [await inner.run(says("inner"))],
      ]);
      expectTypeOf(all).toEqualTypeOf<[number, TaskResult, string[]]>();
      return all;
    });
    expect([length, result.title, result.stdout.preview, nested]).toEqual([4, "plain", "plain\n", ["inner"]]);
  });

  test("a throw in the body cancels what runs, and comes out after it has ended", async () => {
    const failure = await failureOf(
      cohort.scope(async (scope) => {
        const hanging = scope.run(hangs("hangs"));
        const deeper = scope.run(async (inner) => inner.run(hangs("deeper")));
        await eventually(async () => (await cohort.children()).length === 2, "both run");
        for (const ending of [hanging, deeper]) ending.catch(() => undefined);
        throw new RangeError("the body's own");
      }),
    );
    expect(failure).toEqual(new RangeError("the body's own"));
    expect(await running()).toEqual([]);
  });

  test("a task that fails is told with its name, status, exit code, run and result", async () => {
    const failure = await failureOf(cohort.scope((scope) => scope.run(fails("brittle"))));
    expect(failure).toBeInstanceOf(TaskFailed);
    expect(failure).toMatchObject({ code: "TASK_FAILED", mayHaveRun: false, result: { title: "brittle", status: "failed", exitCode: 3 } });
    const { message, run } = failure as TaskFailed;
    expect(message).toBe(`a task failed: "brittle" failed with exit code 3 (run ${run})`);
    expect((await cohort.attach(run).summary()).title).toBe("brittle");
  });

  test("what cannot be started, or whose value cannot be read, is told with its name too", async () => {
    const wrong = await failureOf(
      cohort.scope((scope) => scope.run({ title: "wrong", command: ["true"], mounts: [{ path: "not/absolute" }] })),
    );
    expect(wrong).toMatchObject({ code: "REQUEST_INVALID" });
    expect((wrong as Error).message).toMatch(/^the request is not valid: "wrong": .*mounts/);
    const unread = await failureOf(
      cohort.scope((scope) =>
        scope.run({ title: "no JSON", command: ["echo", "{"], read: ({ stdout }): unknown => JSON.parse(stdout.preview) as unknown }),
      ),
    );
    expect(unread).toMatchObject({ code: "TASK_FAILED" });
    expect((unread as Error).message).toContain('"no JSON" succeeded');
  });

  test("a return waits for what still runs, and tells a failure that nobody looked at", async () => {
    const ended: string[] = [];
    const value = await cohort.scope(async (scope) => {
      scope.run(says("later", 0.3)).then((word) => ended.push(word), expect.unreachable);
      return "value";
    });
    expect([value, ended]).toEqual(["value", ["later"]]);
    const failure = await failureOf(
      cohort.scope(async (scope) => {
        const looked = scope.run(fails("looked at"));
        const ignored = { promise: scope.run(fails("ignored", 7)) };
        await looked.catch(() => undefined);
        return typeof ignored;
      }),
    );
    expect(failure).toMatchObject({ code: "TASK_FAILED", result: { title: "ignored", exitCode: 7 } });
  });

  test("the signal cancels everything, from outside and before it began", async () => {
    const abort = new AbortController();
    const failing = failureOf(
      cohort.scope((scope) => scope.all([hangs("one"), async (inner) => inner.run(hangs("two"))]), {
        signal: abort.signal,
        title: "outer",
      }),
    );
    await eventually(async () => (await cohort.children()).length === 2, "both run");
    abort.abort(new Error("enough"));
    expect(await failing).toMatchObject({
      code: "CANCELLED",
      message: "cancelled: outer: the signal aborted",
      cause: { message: "enough" },
    });
    expect(await running()).toEqual([]);
    const before = (await cohort.runs()).length;
    const late = cohort.scope((scope) => scope.run(says("never")), { signal: abort.signal });
    await expect(late).rejects.toMatchObject({ code: "CANCELLED" });
    expect(await cohort.runs()).toHaveLength(before);
  });

  test("deadlines are inherited as the minimum, and cohortd keeps to them too", async () => {
    const failure = await failureOf(
      cohort.scope(
        (scope) =>
          scope.timeout(60_000, async (inner) => {
            expect(inner.leftMs).toBeLessThanOrEqual(700);
            return inner.run(hangs("too long"));
          }),
        { timeoutMs: 700, title: "short" },
      ),
    );
    expect(failure).toMatchObject({ code: "DEADLINE", message: "the deadline passed: short, after 700 ms" });
    const [run] = await cohort.runs({ limit: 1 });
    expect(run).toMatchObject({ title: "too long", status: "cancelled" });
  });

  test("nothing can be started in a scope that has ended", async () => {
    const scope = await cohort.scope(async (inner) => inner);
    await expect(scope.run(says("late"))).rejects.toMatchObject({ code: "SCOPE_ENDED" });
  });
});

describe("alternatives", () => {
  test("race answers the first end, also a failure, after the losers have ended", async () => {
    const value = await cohort.scope(async (scope) => {
      const first = await scope.race([says("quick"), hangs("slow"), async (inner) => inner.run(hangs("nested"))]);
      expect(await running()).toEqual([]);
      return first;
    });
    expect(value).toBe("quick");
    const failure = await failureOf(cohort.scope((scope) => scope.race([fails("first to fail"), hangs("slow")])));
    expect(failure).toMatchObject({ code: "TASK_FAILED", result: { title: "first to fail" } });
    await expect(cohort.scope((scope) => scope.race([]))).rejects.toMatchObject({ code: "REQUEST_INVALID" });
  });

  test("any answers the first success; when there is none each failure is named", async () => {
    expect(await cohort.scope((scope) => scope.any([fails("bad"), says("good", 0.2), hangs("slow")]))).toBe("good");
    const failure = await failureOf(cohort.scope((scope) => scope.any([fails("bad", 1), fails("worse", 2)])));
    expect(failure).toMatchObject({ code: "NONE_SUCCEEDED" });
    expect((failure as Error).message).toMatch(/"bad" failed with exit code 1 .*; a task failed: "worse" failed with exit code 2/);
    expect((failure as CohortError).cause).toBeInstanceOf(AggregateError);
  });

  test("all throws the first failure after the others have ended", async () => {
    const failure = await failureOf(cohort.scope((scope) => scope.all([hangs("one"), fails("two"), hangs("three")])));
    expect(failure).toMatchObject({ code: "TASK_FAILED", result: { title: "two" } });
  });

  test("a timeout cancels its work alone; a fallback may follow", async () => {
    const value = await cohort.scope(async (scope) => {
      try {
        return await scope.timeout(300, hangs("slow"));
      } catch (error) {
        expect(error).toMatchObject({ code: "DEADLINE", message: 'the deadline passed: "slow", after 300 ms' });
        return scope.run(says("fallback"));
      }
    });
    expect(value).toBe("fallback");
  });
});

describe("retry", () => {
  test("goes on until a success, one attempt after the other", async () => {
    const shared = home.personDirectory();
    const flaky: ScopedTask<string> = {
      ...shell("flaky", 'echo >> ~/mnt/shared/tries; n=$(wc -l < ~/mnt/shared/tries); [ "$n" -ge 3 ] && echo "after $n"'),
      mounts: [{ path: shared, as: "shared", mode: "rw" }],
    };
    const backoff = { minMs: 10, maxMs: 20 };
    expect(await cohort.scope((scope) => scope.retry(flaky, { attempts: 5, backoff }))).toBe("after 3");
    const tried: number[] = [];
    const when = (_: unknown, attempt: number): boolean => tried.push(attempt) < 2;
    await expect(cohort.scope((scope) => scope.retry(fails("hopeless"), { attempts: 9, backoff, when }))).rejects.toThrow(
      '"hopeless" failed',
    );
    await expect(cohort.scope((scope) => scope.retry(fails("twice"), { attempts: 2, backoff }))).rejects.toThrow('"twice" failed');
    expect(tried).toEqual([1, 2]);
    expect((await cohort.runs()).filter(({ title }) => title === "twice")).toHaveLength(2);
  });

  test("with a key each attempt runs once, however often the program is started", async () => {
    const run = (): Promise<unknown> =>
      failureOf(cohort.scope((scope) => scope.retry(fails("keyed"), { attempts: 2, backoff: { minMs: 1, maxMs: 1 }, key: "invoice 7" })));
    const [first, second] = [await run(), await run()];
    expect(second).toEqual(first);
    const keys = (await cohort.runs()).filter(({ title }) => title === "keyed").map(({ key }) => key);
    expect(new Set(keys)).toEqual(new Set(["invoice 7/attempt-1", "invoice 7/attempt-2"]));
    expect(keys).toHaveLength(2);
  });

  test("is not tried when its scope was cancelled in between", async () => {
    const failure = await failureOf(
      cohort.scope((scope) => scope.retry(fails("late"), { backoff: { minMs: 5000, maxMs: 5000 } }), { timeoutMs: 1500 }),
    );
    expect(failure).toMatchObject({ code: "DEADLINE" });
    expect((await cohort.runs()).filter(({ title }) => title === "late")).toHaveLength(1);
  });
});

describe("map", () => {
  test("yields outcomes in order of completion, at most `limit` at once, failures among them", async () => {
    const outcomes = await cohort.scope((scope) =>
      collect(scope.map([0.8, 0.1, 0.2], (seconds, index) => (index === 2 ? fails("2") : says(`${index}`, seconds)), { limit: 3 })),
    );
    const told = outcomes.map((outcome) => [outcome.item, outcome.ok ? outcome.value : (outcome.error as CohortError).code]);
    expect(told).toContainEqual([0.2, "TASK_FAILED"]);
    expect(told.at(-1)).toEqual([0.8, "0"]);
    expect(told).toHaveLength(3);
  });

  test("a reader that is slow starts nothing more: what is not read counts", async () => {
    let taken = 0;
    function* items(): Generator<number> {
      for (; taken < 50;) yield (taken += 1);
    }
    await cohort.scope(async (scope) => {
      const outcomes = scope.map(items(), (item) => says(`${item}`), { limit: 2 });
      const first = await outcomes.next();
      expect(first.value).toMatchObject({ ok: true });
      await eventually(async () => (await running()).length === 0, "what was started has ended");
      // One was read, two wait, and one more item at most was taken from the source.
      expect(taken).toBe(3);
      await outcomes.return();
    });
    expect(taken).toBe(3);
  });

  test("leaving the loop, throwing in it, or forgetting it ends what runs; the source is closed", async () => {
    let closed = 0;
    async function* items(): AsyncGenerator<string> {
      try {
        yield* ["quick", "hangs", "hangs too"];
        await new Promise((resolve) => setTimeout(resolve, 200));
      } finally {
        closed += 1;
      }
    }
    const work = (item: string): ScopedTask<string> => (item === "quick" ? says(item) : hangs(item));
    await cohort.scope(async (scope) => {
      for await (const outcome of scope.map(items(), work, { limit: 3 })) {
        expect(outcome).toMatchObject({ item: "quick", ok: true, value: "quick" });
        break;
      }
      expect(await running()).toEqual([]);
    });
    const thrown = cohort.scope(async (scope) => {
      for await (const _ of scope.map(items(), work, { limit: 3 })) throw new Error("mine");
    });
    await expect(thrown).rejects.toThrow("mine");
    await cohort.scope(async (scope) => {
      const forgotten = scope.map(items(), work, { limit: 3 });
      await forgotten.next();
    });
    expect(await running()).toEqual([]);
    await eventually(() => closed === 3, "each source was closed");
  });

  test("what the source throws ends the loop, and an idle loop hears the scope's end", async () => {
    async function* broken(): AsyncGenerator<string> {
      yield "one";
      throw new Error("no more");
    }
    await expect(cohort.scope((scope) => collect(scope.map(broken(), hangs)))).rejects.toThrow("no more");
    async function* silent(): AsyncGenerator<string> {
      await new Promise<void>(() => undefined);
      yield "never";
    }
    const idle: Promise<Outcome<string, string>[]> = cohort.scope((scope) => collect(scope.map(silent(), hangs)), { timeoutMs: 300 });
    await expect(idle).rejects.toMatchObject({ code: "DEADLINE" });
  });
});

describe("ends of processes", () => {
  test("kill -9 of cohortd in the middle is a delay, and a cancelled scope still waits for the proof", async () => {
    const shared = home.personDirectory();
    const task = (item: number): ScopedTask<string> => ({
      ...shell(`${item}`, `echo ${item} >> ~/mnt/shared/seen; sleep 0.3; echo ${item}`),
      mounts: [{ path: shared, as: "shared", mode: "rw" }],
    });
    const values: string[] = [];
    await cohort.scope(async (scope) => {
      for await (const outcome of scope.map([1, 2, 3, 4, 5, 6], task, { limit: 3 })) {
        if (!outcome.ok) throw outcome.error;
        if (values.push(outcome.value) === 2) process.kill(cohort.daemon.pid, "SIGKILL");
      }
    });
    expect(values.toSorted()).toEqual(["1", "2", "3", "4", "5", "6"]);
    expect(readFileSync(join(shared, "seen"), "utf8").trim().split("\n").toSorted()).toEqual(["1", "2", "3", "4", "5", "6"]);
    const failing = failureOf(
      cohort.scope(async (scope) => {
        const hanging = scope.run(hangs("hangs"));
        await eventually(async () => (await cohort.children()).some(({ state }) => state === "running"), "it runs");
        process.kill(cohort.daemon.pid, "SIGKILL");
        hanging.catch(() => undefined);
        throw new Error("and cohortd is gone");
      }),
    );
    expect(await failing).toMatchObject({ message: "and cohortd is gone" });
    expect(await running()).toEqual([]);
  });

  test("where cohortd is gone and does not come back, the scope says that the end is not proven, and of which run", async () => {
    const alone = await home.connect({ start: false });
    const failure = await failureOf(
      alone.scope(async (scope) => {
        const hanging = scope.run(hangs("out of reach"));
        await eventually(async () => (await alone.children()).some(({ state }) => state === "running"), "it runs");
        process.kill(alone.daemon.pid, "SIGKILL");
        hanging.catch(() => undefined);
        throw new Error("the body's own");
      }),
    );
    expect(failure).toMatchObject({ code: "SCOPE_UNPROVEN", cause: { code: "DAEMON_UNREACHABLE" } });
    const [left] = await cohort.runs({ limit: 1 });
    expect((failure as Error).message).toContain(`"out of reach" (run ${left?.run}): `);
    expect(left).toMatchObject({ title: "out of reach", status: "running" });
    const run = cohort.attach(left?.run ?? "");
    await run.cancel();
    expect(await run.finished()).toMatchObject({ status: "cancelled" });
  });

  test("kill -9 of the client leaves its runs to cohortd; the same key takes them up, each task once", async () => {
    const shared = home.personDirectory();
    const seen = (): string[] => (existsSync(join(shared, "seen")) ? readFileSync(join(shared, "seen"), "utf8").trim().split("\n") : []);
    const start = (): ChildProcess => {
      const client = spawn(process.execPath, [fileURLToPath(new URL("./scope-client.ts", import.meta.url)), "workflow", shared], {
        stdio: ["ignore", "pipe", "inherit"],
        env: { ...process.env, COHORT_HOME: home.directory },
      });
      processes.push(client);
      return client;
    };
    for (const wanted of ["first", "b", "d"]) {
      const client = start();
      await eventually(() => seen().includes(wanted), `${wanted} began`, 30_000);
      client.kill("SIGKILL");
      await once(client, "exit");
    }
    // Nobody cancels what the dead client left: it goes on, and ends by itself.
    await eventually(async () => (await running()).length === 0, "what was left ends", 20_000);
    const client = start();
    let text = "";
    client.stdout?.on("data", (bytes: Buffer) => (text += bytes.toString()));
    expect(await once(client, "close")).toEqual([0, null]);
    expect(JSON.parse(text)).toEqual(["first", "a", "b", "c", "d", "last"]);
    expect(seen().toSorted()).toEqual(["a", "b", "c", "d", "first", "last"]);
  });
});

test("the plain SDK loads nothing of the actor runtime before somebody asks for it", async () => {
  const root = join(import.meta.dirname, "../..");
  const options = { absWorkingDir: root, entryPoints: ["sdk/index.ts"] as string[], bundle: true, write: false } as const;
  const { metafile } = await build({ ...options, metafile: true, platform: "node", format: "esm", external: ["msgpackr-extract"] });
  const loaded = new Set<string>();
  const load = (path: string): void => {
    if (loaded.has(path)) return;
    loaded.add(path);
    for (const { path: imported, kind, external } of metafile.inputs[path]?.imports ?? [])
      if (kind !== "dynamic-import" && external !== true) load(imported);
  };
  load("sdk/index.ts");
  expect([...loaded]).toContain("runtime/kernel/error.ts");
  expect([...loaded].filter((path) => /^runtime\/(?!kernel|transport)|node_modules\/xstate|^machines\/(?!messages)/.test(path))).toEqual(
    [],
  );
});
