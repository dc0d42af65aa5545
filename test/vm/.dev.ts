import { SandboxBench } from "./sandbox-bench.ts";
const b = await SandboxBench.start();
try {
  const n = await b.sandbox();
  await new Promise((r) => setTimeout(r, 200));
  console.log(await b.vm.list(), b.events.deaths, b.events.notices);
  console.log(await b.sh(n, "id; ls -la / ~ /dev; cat /proc/self/mountinfo").catch((e) => e.message));
} finally {
  console.log(b.warden.stderr, b.events.deaths);
  await b.stop();
}
