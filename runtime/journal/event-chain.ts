/**
 * The chain over event rows: each link covers the facts of its event and the link before, so that a row that was removed, changed or moved shows. What
 * an event says is covered by a salted commitment only: it may be deleted, salt and all, and the link still verifies, while nobody can guess from the
 * commitment what was said. Pure.
 */
import { hash } from "node:crypto";

export interface EventContent {
  readonly payload: string;
  readonly detail: string | null;
}

export interface EventFactsRow {
  readonly seq: number;
  readonly at_ms: number;
  readonly actor: string;
  readonly cause: string;
  readonly source: string | null;
  readonly source_id: number | null;
  readonly type: string;
  readonly outcome: string;
  readonly state_hash: string | null;
}

/** Before the first event. */
export const CHAIN_START = "";

const SALT_CHARS = 22;

/** Of one event, from the chance that came with its batch: a replay of the batch makes the same. */
export function saltOf(chance: string, seq: number): string {
  return hash("sha256", `${chance}\0${seq}`, "base64").slice(0, SALT_CHARS);
}

export function commitmentOf(salt: string, { payload, detail }: EventContent): string {
  return hash("sha256", `${salt}\0${payload.length}\0${payload}${detail === null ? "" : `\0${detail}`}`, "base64");
}

export function linkOf(before: string, row: EventFactsRow, commitment: string): string {
  const { seq, at_ms, actor, cause, source, source_id, type, outcome, state_hash } = row;
  return hash(
    "sha256",
    JSON.stringify([before, seq, at_ms, actor, cause, source, source_id, type, outcome, state_hash, commitment]),
    "base64",
  );
}
