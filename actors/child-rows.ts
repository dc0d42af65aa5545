/** Every living child, as the journal has it. */
import type { Runtime } from "../runtime/contract.ts";
import type { ChildRow } from "../machines/messages/facts.ts";

const CHILDREN_PAGE_ROWS = 1000;

export async function childRows(runtime: Runtime): Promise<{ readonly name: string; readonly row: ChildRow }[]> {
  const found: { readonly name: string; readonly row: ChildRow }[] = [];
  for (let after: string | undefined; ;) {
    const page = await runtime.list("children", { ...(after === undefined ? {} : { after }), limit: CHILDREN_PAGE_ROWS });
    for (const { key, value } of page) found.push({ name: key, row: value as unknown as ChildRow });
    const last = page.at(-1);
    if (last === undefined || page.length < CHILDREN_PAGE_ROWS) return found;
    after = last.key;
  }
}
