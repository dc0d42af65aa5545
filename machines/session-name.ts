/** Session names adjective-adjective-scientist: a pure bijection of a durable counter, so that no two live sessions share one. */
import { firstAdjectives, scientists, secondAdjectives } from "./session-words.ts";

/** 128 × 128 × 128: after so many sessions the names come round again. */
export const SESSION_NAMES = 2 ** 21;

const MASK = SESSION_NAMES - 1;

/** Multiplication by an odd number and xor with a right shift are each invertible modulo 2^21: neighbours look unlike each other, and none collide. */
export function scrambleCounter(counter: number): number {
  let mixed = Math.imul(counter & MASK, 0x0bca39) & MASK;
  mixed ^= mixed >>> 11;
  mixed = Math.imul(mixed, 0x1c4ecd) & MASK;
  return mixed ^ (mixed >>> 9);
}

function word(list: readonly string[], position: number): string {
  const found = list[position];
  if (found === undefined) throw new RangeError(`no word ${position}`);
  return found;
}

/** The name of one attempt; the first carries no number. */
export function sessionName(counter: number, attempt: number): string {
  const mixed = scrambleCounter(counter);
  const name = `${word(firstAdjectives, mixed & 127)}-${word(secondAdjectives, (mixed >>> 7) & 127)}-${word(scientists, mixed >>> 14)}`;
  return attempt === 1 ? name : `${name}-${attempt}`;
}
