/**
 * Owns content/<run>/permissions/: what was asked for and given, in words and paths, a file for each grant and approval.
 * Does not own facts: who, when and how long stand in the journal.
 *
 * 1. A file is whole and on the disk before the event that refers to it is journaled.
 * 2. Where a run's content was deleted, what is read is blank, and nothing is written again.
 */
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { hasCode, syncDirectory, type Content } from "../content.ts";

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

  writeGrant(run: string, grant: string, words: GrantWords): Promise<void> {
    return this.#write(run, grant, words);
  }

  writeApproval(run: string, approval: string, words: ApprovalWords): Promise<void> {
    return this.#write(run, approval, words);
  }

  directory(run: string): string {
    return join(this.#content.runDirectory(run), "permissions");
  }

  async #read<T extends GrantWords | ApprovalWords>(run: string, id: string, blank: T): Promise<T> {
    const key = `${run}/${id}`;
    const kept = this.#kept.get(key);
    if (kept !== undefined) return kept as T;
    try {
      const words = { ...blank, ...(JSON.parse(await readFile(this.#path(run, id), "utf8")) as Partial<T>) };
      this.#keep(key, words);
      return words;
    } catch (error) {
      if (!hasCode(error, "ENOENT")) throw error;
      return blank;
    }
  }

  async #write(run: string, id: string, words: GrantWords | ApprovalWords): Promise<void> {
    const path = this.#path(run, id);
    await this.#makeDirectory(run);
    const file = await open(`${path}.new`, "w", 0o600);
    try {
      await file.writeFile(JSON.stringify(words));
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(`${path}.new`, path);
    await syncDirectory(dirname(path));
    this.#keep(`${run}/${id}`, words);
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
