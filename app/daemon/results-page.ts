/** Cuts a page of results where it becomes large: previews and lists of files make a thousand results many megabytes. Pure. */
import type { CallAnswers } from "../../machines/messages/api.ts";
import type { TaskResult } from "../../machines/messages/result.ts";

type Page = CallAnswers["run.results"];

const PAGE_CHARS_MAX = 2 * 1024 ** 2;
/** Fields besides texts and files, and each file's hash and punctuation. */
const RESULT_CHARS = 600;
const FILE_CHARS = 120;

function charsOf(result: TaskResult): number {
  let chars = RESULT_CHARS + result.stdout.preview.length + result.stderr.preview.length + result.title.length + result.detail.length;
  for (const { path } of [...result.out, ...result.outSkipped]) chars += FILE_CHARS + path.length;
  return chars;
}

/** How many fit: at least one. */
function fitting(chars: readonly number[]): number {
  let sum = 0;
  const over = chars.findIndex((some, position) => (sum += some) > PAGE_CHARS_MAX && position > 0);
  return over === -1 ? chars.length : over;
}

/** At least one result stays; `next` names the last one that did. */
export function boundedPage(page: Page): Page {
  const count = fitting(page.results.map(({ result }) => charsOf(result)));
  if (count === page.results.length) return page;
  const results = page.results.slice(0, count);
  return { results, next: results.at(-1)?.cursor ?? null };
}

/** The same of events: those that were cut off come with the next question. */
export function boundedEvents(page: CallAnswers["run.poll"]): CallAnswers["run.poll"] {
  const count = fitting(page.events.map(({ event }) => (event.type === "task-finished" ? charsOf(event.result) : RESULT_CHARS)));
  if (count === page.events.length) return page;
  const events = page.events.slice(0, count);
  return { events, next: events.at(-1)?.cursor ?? page.next, finished: false };
}
