/** Runs a program again and again, each time killed at another place. */
import { TestActors, type Kill, type TestActorsOptions } from "./test-actors.ts";

/** A scenario with more writes than this is too long to be killed at each. */
const OPERATIONS_MAX = 10_000;
/** Before: what came of the operation before it was done too. After: nothing that comes of this one was. Within: a write is torn. */
const PLACES = ["before", "within", "after"] as const;

/**
 * For each operation of the disk that the program comes to: a fresh journal, the program from its start, `kill -9` before, within and after that operation, the
 * journal opened again, and the program from its start once more, as whoever restarts it would. `program` is a whole one: it starts its actors (those
 * that exist are left as they are) and waits for their end. `options` are made anew each time, so that fakes begin with nothing; they outlive the kill, as the
 * world outside does. Resolves with the number of kills. What `program` throws comes out, with the kill at which it did.
 */
export async function killEverywhere<O extends TestActorsOptions>(
  options: () => O,
  program: (actors: TestActors, options: O) => Promise<void>,
): Promise<number> {
  for (let operation = 1; operation <= OPERATIONS_MAX; operation += 1) {
    for (const place of PLACES) if (!(await survives(options(), program, { operation, place }))) return (operation - 1) * PLACES.length;
  }
  throw new RangeError(`after ${OPERATIONS_MAX} operations of its disk the program has not ended`);
}

/** False: it came to its end before the kill. */
async function survives<O extends TestActorsOptions>(
  options: O,
  program: (actors: TestActors, options: O) => Promise<void>,
  kill: Kill,
): Promise<boolean> {
  const actors = new TestActors(options);
  try {
    if (!(await wasKilled(actors, kill, () => program(actors, options)))) return false;
    await actors.begin(null);
    await program(actors, options);
    return true;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`killed ${kill.place} operation ${kill.operation}: ${reason}`, { cause });
  } finally {
    await actors.stop();
  }
}

async function wasKilled(actors: TestActors, kill: Kill, program: () => Promise<void>): Promise<boolean> {
  try {
    await actors.begin(kill);
    await program();
  } catch (error) {
    // Whatever it threw, it was thrown by a process that is gone.
    if (actors.isRunning) throw error;
  }
  return !actors.isRunning;
}
