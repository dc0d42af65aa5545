import { SandboxBench } from "./sandbox-bench.ts";
const b = await SandboxBench.start();
try {
  const n = await b.sandbox({ limits: { pidsMax: 200 } });
  const o = await b.sh(n, process.argv[2] ?? "id");
  console.log(o.stdout, o.stderr, o.exit.code, o.exit.cause);
} finally {
  console.log(b.warden.stderr);
  await b.stop();
}
