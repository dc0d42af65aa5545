/** Counts what a replay told, actor by actor, and keeps those few that are shown. */
import type { ActorReplayed, Verdict } from "../../../sdk/index.ts";

type VerdictType = Verdict["type"];

/** More would not be read; --json has all of them. */
const SHOWN_MAX = 5;

export interface KindTally {
  readonly kind: string;
  actors: number;
  events: number;
  states: number;
  readonly verdicts: Map<VerdictType, number>;
  /** Actors that a changed machine was asked about, and those where it departs. */
  asked: number;
  departures: number;
}

/** Nothing was proven of these. */
const UNPROVEN: ReadonlySet<VerdictType> = new Set(["other-version", "cut", "unknown-kind"]);

export class Tally {
  readonly kinds = new Map<string, KindTally>();
  /** Whose verdict is to be told. */
  readonly shown: ActorReplayed[] = [];
  readonly departing: ActorReplayed[] = [];

  add(replayed: ActorReplayed): void {
    const { kind, events, states, verdict, departure } = replayed;
    const verdicts = new Map<VerdictType, number>();
    const tally: KindTally = this.kinds.get(kind) ?? { kind, actors: 0, events: 0, states: 0, verdicts, asked: 0, departures: 0 };
    this.kinds.set(kind, tally);
    tally.actors += 1;
    tally.events += events;
    tally.states += states;
    tally.verdicts.set(verdict.type, (tally.verdicts.get(verdict.type) ?? 0) + 1);
    if (verdict.type === "departs" || UNPROVEN.has(verdict.type)) keep(this.shown, replayed);
    if (departure === undefined) return;
    tally.asked += 1;
    if (departure === null) return;
    tally.departures += 1;
    keep(this.departing, replayed);
  }

  sum(count: (tally: KindTally) => number): number {
    return [...this.kinds.values()].reduce((sum, tally) => sum + count(tally), 0);
  }

  verdicts(type: VerdictType): number {
    return this.sum((tally) => tally.verdicts.get(type) ?? 0);
  }

  /** Of none is anything else known than that it is the same. */
  get proven(): boolean {
    return this.verdicts("departs") === 0 && [...UNPROVEN].every((type) => this.verdicts(type) === 0);
  }
}

function keep(list: ActorReplayed[], replayed: ActorReplayed): void {
  if (list.length < SHOWN_MAX) list.push(replayed);
}
