/** Which answer of a run decides an ask. */
import { expect, test } from "vitest";
import { preAnswerOf } from "../../actors/permissions/pre-answers.ts";
import type { DirectoryAsk, PreAnswer } from "../../machines/messages/approval.ts";

const answers: readonly PreAnswer[] = [
  { path: "/data/secret", mode: "ro", decision: "deny" },
  { path: "/data", mode: "staged", decision: "approve" },
];

const ask = (path: string, mode: DirectoryAsk["mode"] = "ro"): DirectoryAsk => ({ path, mode, why: "" });

test("a directory with a denied one below it is given by no answer: a person is asked", () => {
  expect(preAnswerOf(answers, ask("/data"))).toBeNull();
});

test("beside it the approval holds, in its mode and weaker ones", () => {
  expect(preAnswerOf(answers, ask("/data/other"))).toMatchObject({ decision: "approve", mode: "ro" });
  expect(preAnswerOf(answers, ask("/data/other", "staged"))).toMatchObject({ decision: "approve", mode: "staged" });
  expect(preAnswerOf(answers, ask("/data/other", "rw"))).toBeNull();
});

test("what is denied, and all below it, is denied", () => {
  for (const path of ["/data/secret", "/data/secret/deep"])
    expect(preAnswerOf(answers, ask(path, "rw"))).toMatchObject({ decision: "deny" });
  expect(preAnswerOf(answers, ask("/data/secrets"))).toMatchObject({ decision: "approve" });
});
