/**
 * Walks the chain over event rows in slices, and says where it does not hold.
 * Owns nothing: what it knows of the walk goes along from slice to slice.
 */
import { CHAIN_START, commitmentOf, linkOf, type EventFactsRow } from "./event-chain.ts";
import type { ChainProblem, ChainWalk } from "../kernel/inspection.ts";
import type { Statements } from "./statements.ts";

/** Nobody reads more of them. */
const PROBLEMS_MAX = 100;

interface LinkedRow extends EventFactsRow {
  readonly payload: string;
  readonly detail: string | null;
  readonly salt: string | null;
  readonly commitment: string | null;
  readonly link: string | null;
}

interface Gap {
  readonly first_seq: number;
  readonly last_seq: number;
  readonly events: number;
  readonly before: string;
  readonly after: string;
}

const ROWS = `SELECT seq, at_ms, actor, cause, source, source_id, type, payload, outcome, detail, state_hash, salt, commitment, link
  FROM event WHERE seq > ? ORDER BY seq LIMIT ?`;
const GAPS = "SELECT * FROM event_gap WHERE first_seq > ? ORDER BY first_seq LIMIT ?";
const HEAD = "SELECT seq, link, events FROM chain";

class Walk {
  state: { -readonly [K in keyof ChainWalk]: ChainWalk[K] };

  constructor(state: ChainWalk) {
    this.state = { ...state };
  }

  problem(seq: number, what: ChainProblem["what"]): void {
    if (this.state.problems.length < PROBLEMS_MAX) this.state.problems = [...this.state.problems, { seq, what }];
  }

  gap(gap: Gap): void {
    if (gap.before !== this.state.link) this.problem(gap.first_seq, "missing");
    this.state.removed += gap.events;
    this.state.gaps++;
    this.state.link = gap.after;
    this.state.seq = gap.last_seq;
  }

  row(row: LinkedRow): void {
    this.state.seq = row.seq;
    this.state.events++;
    if (row.link === null || row.commitment === null) {
      // Only before the first link: an older format wrote it.
      if (this.state.link !== CHAIN_START) this.problem(row.seq, "changed");
      this.state.unlinked++;
      return;
    }
    if (row.salt === null) this.state.erased++;
    if (row.salt === null ? row.payload !== "" : commitmentOf(row.salt, row) !== row.commitment) this.problem(row.seq, "content");
    if (linkOf(this.state.link, row, row.commitment) !== row.link) this.problem(row.seq, "changed");
    // From here on, so that one change is told once.
    this.state.link = row.link;
  }
}

export function walkChain(statements: Statements, from: ChainWalk, limit: number): ChainWalk {
  const walk = new Walk(from);
  const rows = statements.all<LinkedRow>(ROWS, from.seq, limit);
  const gaps = statements.all<Gap>(GAPS, from.seq, limit);
  for (let taken = 0; taken < limit; taken++) {
    const [row, gap] = [rows[0], gaps[0]];
    if (gap !== undefined && (row === undefined || gap.first_seq < row.seq)) {
      walk.gap(gap);
      gaps.shift();
    } else if (row !== undefined) {
      walk.row(row);
      rows.shift();
    } else {
      finish(walk, statements);
      break;
    }
  }
  return walk.state;
}

function finish(walk: Walk, statements: Statements): void {
  const head = statements.one<{ seq: number; link: string; events: number }>(HEAD);
  const { seq, link, events, removed, unlinked } = walk.state;
  const all = events - unlinked + removed;
  if (head === undefined || head.link !== link || head.events !== all) walk.problem(Math.max(seq, head?.seq ?? 0), "missing");
  walk.state.done = true;
}
