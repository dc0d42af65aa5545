/**
 * Owns content/<run>/permissions/: what was asked for and given, in words and paths, a file for each grant and approval, and one more for what was
 * added later (an answer's reason, why something was not attached).
 * Does not own facts: who, when and how long stand in the journal.
 *
 * 1. The words of a grant or approval become durable with its actor, in the journal's own step; what is added is on the disk before its event.
 * 2. Where a run's content was deleted, what is read is blank.
 */
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { FileWrite } from "../../runtime/contract.ts";
import { explainFull, hasCode, syncDirectory, type Content } from "../content.ts";

export interface GrantWords {
  readonly path: string;
  readonly as: string;
  readonly reason: string;
  /** Why it was not attached. */
  readonly detail: string;
  readonly stagedBytes: number;
}

export interface ApprovalWords {
  readonly path: string;
  /** The child's. */
  readonly why: string;
  /** The person's. */
  readonly reason: string;
}

const noGrant: GrantWords = { path: "", as: "", reason: "", detail: "", stagedBytes: 0 };
const noApproval: ApprovalWords = { path: "", why: "", reason: "" };
/** Read again and again while they live; the oldest are forgotten. */
const KEPT_MAX = 2000;

export class PermissionContent {
  readonly #content: Content;
  readonly #kept = new Map<string, GrantWords | ApprovalWords>();

  readonly #keeps: boolean;

  /** Of several that read the same files, one writes them; only that one may keep what it read. */
  constructor(content: Content, keeps = true) {
    this.#content = content;
    this.#keeps = keeps;
  }

  grant(run: string, grant: string): Promise<GrantWords> {
    return this.#read(run, grant, noGrant);
  }

  approval(run: string, approval: string): Promise<ApprovalWords> {
    return this.#read(run, approval, noApproval);
  }

  /** To be written by the transaction that makes its actor. Read back from now on. */
  grantFile(run: string, grant: string, words: GrantWords): FileWrite {
    return this.#file(run, grant, words);
  }

  approvalFile(run: string, approval: string, words: ApprovalWords): FileWrite {
    return this.#file(run, approval, words);
  }

  async addToGrant(run: string, grant: string, added: Pick<GrantWords, "detail">): Promise<void> {
    await this.#add(run, grant, added);
    this.#keep(`${run}/${grant}`, { ...(await this.grant(run, grant)), ...added });
  }

  async addToApproval(run: string, approval: string, added: Pick<ApprovalWords, "reason">): Promise<void> {
    await explainFull(`the reason of ${approval}`, () => this.#add(run, approval, added));
    this.#keep(`${run}/${approval}`, { ...(await this.approval(run, approval)), ...added });
  }

  directory(run: string): string {
    return join(this.#content.runDirectory(run), "permissions");
  }

  async #read<T extends GrantWords | ApprovalWords>(run: string, id: string, blank: T): Promise<T> {
    const key = `${run}/${id}`;
    const kept = this.#kept.get(key);
    if (kept !== undefined) return kept as T;
    const words = { ...blank, ...(await readJson<T>(this.#path(run, id))), ...(await readJson<T>(this.#path(run, `${id}.added`))) };
    if (words.path !== "") this.#keep(key, words);
    return words;
  }

  #file(run: string, id: string, words: GrantWords | ApprovalWords): FileWrite {
    this.#keep(`${run}/${id}`, words);
    return { path: `${run}/permissions/${id}.json`, offset: 0, bytes: Buffer.from(JSON.stringify(words)), fresh: true };
  }

  /** In a file of its own: the journal may write the first one again after a crash. */
  async #add(run: string, id: string, added: object): Promise<void> {
    const path = this.#path(run, `${id}.added`);
    await this.#makeDirectory(run);
    const file = await open(`${path}.new`, "w", 0o600);
    try {
      await file.writeFile(JSON.stringify(added));
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(`${path}.new`, path);
    await syncDirectory(dirname(path));
  }

  /** Only where its run still has content. */
  async #makeDirectory(run: string): Promise<void> {
    try {
      await mkdir(this.directory(run), { mode: 0o700 });
    } catch (error) {
      if (!hasCode(error, "EEXIST")) throw error;
    }
  }

  #path(run: string, id: string): string {
    return join(this.directory(run), `${id}.json`);
  }

  #keep(key: string, words: GrantWords | ApprovalWords): void {
    if (!this.#keeps) return;
    this.#kept.delete(key);
    this.#kept.set(key, words);
    if (this.#kept.size <= KEPT_MAX) return;
    for (const oldest of this.#kept.keys()) {
      this.#kept.delete(oldest);
      return;
    }
  }
}

async function readJson<T>(path: string): Promise<Partial<T>> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Partial<T>;
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
    return {};
  }
}
