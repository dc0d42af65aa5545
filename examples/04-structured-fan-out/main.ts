/**
 * Structured concurrency over confined commands: the fastest of three ways to a number, a fan-out with a limit, a timeout with a fallback, and a step that succeeds at
 * its third attempt. Nothing of it is left running at the end, whatever way each part ended.
 */
import assert from "node:assert/strict";
import { connect, TaskFailed, type Scope, type ScopedTask } from "../../sdk/index.ts";

function shell(title: string, script: string): ScopedTask<string> {
  return { title, command: ["sh", "-c", script], read: ({ stdout }) => stdout.preview.trim() };
}

/** Three ways to the same answer; the two that lose are cancelled, and have ended when this resolves. */
function fastest(scope: Scope): Promise<string> {
  return scope.race([
    shell("count by seq", "seq 1000 | wc -l"),
    shell("count by sleeping", "sleep 100; echo 1000"),
    async (inner) => (await inner.all([shell("half", "sleep 100; echo 500"), shell("other half", "sleep 100; echo 500")])).join("+"),
  ]);
}

/** At most four at a time; one of them fails, which is an outcome like the others. */
async function digests(scope: Scope): Promise<ReadonlyMap<string, string>> {
  const words = ["ant", "bee", "cow", "dog", "eel", "fox", "not a word", "gnu"];
  const found = new Map<string, string>();
  const task = (word: string): ScopedTask<string> =>
    shell(word, `case "${word}" in *" "*) exit 4;; esac; printf ${word} | sha256sum | cut -c1-8`);
  for await (const outcome of scope.map(words, task, { limit: 4 })) {
    if (outcome.ok) found.set(outcome.item, outcome.value);
    else if (outcome.error instanceof TaskFailed && outcome.error.result.exitCode === 4) found.set(outcome.item, "refused");
    else throw outcome.error;
  }
  return found;
}

/** The service that never answers gets half a second. */
async function answer(scope: Scope): Promise<string> {
  try {
    return await scope.timeout(500, shell("a service that never answers", "sleep 100"));
  } catch {
    return scope.run(shell("a cached answer", "echo from the cache"));
  }
}

/** Fails twice. Each attempt has ended before the next begins. */
function flaky(scope: Scope): Promise<string> {
  let attempt = 0;
  const work = async (inner: Scope): Promise<string> => {
    attempt += 1;
    return inner.run(shell("flaky", `[ ${attempt} -ge 3 ] && echo "at attempt ${attempt}"`));
  };
  return scope.retry(work, { attempts: 5, backoff: { minMs: 20, maxMs: 100 } });
}

await using cohort = await connect();
const before = new Set((await cohort.runs({ limit: 1000 })).map(({ run }) => run));
const [count, words, answered, retried] = await cohort.scope((scope) => scope.all([fastest, digests, answer, flaky]), {
  title: "four ways",
  timeoutMs: 60_000,
});
assert.equal(count, "1000");
assert.equal(words.size, 8);
assert.equal(words.get("not a word"), "refused");
assert.equal(words.get("fox"), "776cb326");
assert.equal(answered, "from the cache");
assert.equal(retried, "at attempt 3");

const failing = cohort.scope((scope) => scope.all([shell("fails", "exit 9"), shell("would run for ever", "sleep 1000")]));
await assert.rejects(failing, /"fails" failed with exit code 9/);

const mine = (await cohort.runs({ limit: 1000 })).filter(({ run }) => !before.has(run));
const open = mine.filter(({ finishedAtMs }) => finishedAtMs === null).map(({ title }) => title);
assert.deepEqual(open, [], "nothing is left running");
const ends = (status: string): number => mine.filter((run) => run.status === status).length;
console.log(
  `${mine.length} confined commands, ${ends("cancelled")} of them cancelled because nobody needed them any more, none left running`,
);
