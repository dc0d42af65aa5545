/** Cuts a page of results where it becomes large: previews and lists of files make a thousand results many megabytes. Pure. */
import type { CallAnswers } from "../../machines/messages/api.ts";

type Page = CallAnswers["run.results"];

const PAGE_CHARS_MAX = 2 * 1024 ** 2;
/** Fields besides texts and files, and each file's hash and punctuation. */
const RESULT_CHARS = 600;
const FILE_CHARS = 120;

/** At least one result stays; `next` names the last one that did. */
export function boundedPage(page: Page): Page {
  let chars = 0;
  for (const [position, { result }] of page.results.entries()) {
    chars += RESULT_CHARS + result.stdout.preview.length + result.stderr.preview.length + result.title.length + result.detail.length;
    for (const { path } of [...result.out, ...result.outSkipped]) chars += FILE_CHARS + path.length;
    if (chars <= PAGE_CHARS_MAX || position === 0) continue;
    const results = page.results.slice(0, position);
    return { results, next: results.at(-1)?.cursor ?? null };
  }
  return page;
}
