/** Answers given with a run: which of them decides an ask. Pure. */
import { isWithin } from "../../machines/approval-context.ts";
import type { DirectoryAsk, PreAnswer } from "../../machines/messages/approval.ts";
import type { Decision } from "../../machines/messages/approval-events.ts";
import { GRANT_TTL_MS_DEFAULT } from "../../machines/messages/grant.ts";
import { isBelow } from "../run-request.ts";
import { cleanPath } from "./path-rules.ts";

/** Links cannot lead out of a prefix: the warden follows none. */
export function preAnswerOf(answers: readonly PreAnswer[], { path, mode }: DirectoryAsk): Decision | null {
  for (const answer of answers) {
    if (!isBelow(path, cleanPath(answer.path))) continue;
    const { decision, ttlMs = GRANT_TTL_MS_DEFAULT } = answer;
    const fits = decision === "approve" ? isWithin(mode, answer.mode) : isWithin(answer.mode, mode);
    // With the directory a child would get what lies below it, too: then a person is asked.
    const holdsDenied = answers.some((other) => other.decision === "deny" && isBelow(cleanPath(other.path), path));
    if (fits) return decision === "approve" && holdsDenied ? null : { decision, mode, ttlMs, uses: 1 };
  }
  return null;
}
