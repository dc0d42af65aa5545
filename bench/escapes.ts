/** `escapes`: the attempts of test/security, run as a child in each network mode: how many are refused, by layer and by mode, and how many are not. */
import { EscapeBench, networkUnavailable } from "../test/security/escape-bench.ts";
import { groups, isRefusal, networks, type Network } from "../test/security/escapes/attempt.ts";
import { atLeast, atMost, rounded, type Measurement } from "./result.ts";

interface Mode {
  readonly network: Network;
  readonly tookMs: number;
  readonly attempts: readonly { readonly layer: string; readonly what: string; readonly refused: boolean; readonly result: string }[];
}

async function measureMode(escapes: EscapeBench, network: Network): Promise<Mode> {
  const name = await escapes.sandbox({ network });
  const attempts = await escapes.attempts(name);
  const startedAt = performance.now();
  const results = await escapes.tried(
    name,
    attempts.map(({ how }) => how),
  );
  const tookMs = rounded(performance.now() - startedAt);
  await escapes.bench.destroy(name);
  return {
    network,
    tookMs,
    attempts: attempts.map((attempt, index) => {
      const result = results[index] ?? "no answer";
      return { layer: attempt.layer, what: attempt.what, refused: isRefusal(attempt, network, result), result };
    }),
  };
}

export async function measureEscapes(): Promise<Measurement> {
  const escapes = await EscapeBench.start();
  const modes: Mode[] = [];
  const notMeasured: string[] = [];
  try {
    for (const network of networks) {
      const unavailable = await networkUnavailable(escapes, network);
      if (unavailable === null) modes.push(await measureMode(escapes, network));
      else notMeasured.push(`network ${network}: this warden builds none: ${unavailable}`);
    }
  } finally {
    await escapes.stop();
  }
  return summarize(modes, notMeasured);
}

function summarize(modes: readonly Mode[], notMeasured: readonly string[]): Measurement {
  const all = modes.flatMap(({ network, attempts }) => attempts.map((attempt) => ({ ...attempt, network })));
  const figures: Record<string, number> = { attempts: all.length, refused: 0, escaped: 0 };
  for (const { network, layer, refused } of all) {
    const verdict = refused ? "refused" : "escaped";
    for (const key of [verdict, `${network}.${verdict}`, `${network}.${layer}.${verdict}`]) figures[key] = (figures[key] ?? 0) + 1;
  }
  for (const { network } of modes) for (const layer of groups) figures[`${network}.${layer}.escaped`] ??= 0;
  const out = all.filter(({ refused }) => !refused).map(({ network, what, result }) => `GOT OUT, network ${network}: ${what}: ${result}`);
  const goals = [
    atMost("escaped", "attempts", 0, figures["escaped"] ?? 0),
    // An empty run escapes nothing.
    atLeast("attempts", "attempts", 500, all.length),
  ];
  return {
    figures,
    samples: Object.fromEntries(modes.map(({ network, tookMs }) => [`${network}TookMs`, [tookMs]])),
    goals,
    peers: [],
    notMeasured: [
      ...out,
      ...notMeasured,
      "attempts that take long or need a grant: floods, bombs, races and revocations are tests of test/security",
      "holes of the kernel in what is allowed",
      "that an attempt can succeed at all: test/security/controls.test.ts takes each layer away",
    ],
  };
}
