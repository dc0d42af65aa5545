/** Carries out the faults of a scenario at their times. Owns nothing. */
import type { Computer } from "../machine/computer.ts";
import type { SimulatedWarden } from "../warden/simulated-warden.ts";
import type { Daemon } from "./daemon.ts";
import type { Fault, Scenario } from "./scenario.ts";

export function storm({ faults, calmAtMs }: Scenario, computer: Computer, warden: SimulatedWarden, daemon: Daemon): void {
  let isCalm = false;
  for (const fault of faults) {
    computer.environment.after(fault.atMs, () => {
      // Timers come late.
      if (isCalm) return;
      computer.trace.add(`fault ${fault.type}`, JSON.stringify(fault));
      carryOut(fault, computer, warden, daemon);
    });
  }
  computer.environment.after(calmAtMs, () => {
    isCalm = true;
    computer.gate.planned = null;
    warden.failures = 0;
    computer.trace.add("calm");
  });
}

function carryOut(fault: Fault, computer: Computer, warden: SimulatedWarden, daemon: Daemon): void {
  const { gate, environment } = computer;
  switch (fault.type) {
    case "death":
      // The computer loses its power whether the process lives or not.
      if (gate.dead && fault.death === "power" && !warden.down) return warden.die(fault.downMs);
      if (gate.dead) return;
      daemon.downMs = fault.downMs;
      return computer.die(fault.death);
    case "death-at":
      if (gate.dead) return;
      daemon.downMs = fault.downMs;
      gate.planned = { at: gate.operations + fault.operations, place: fault.place, death: fault.death };
      return;
    case "disconnect":
      return warden.disconnect();
    case "stall":
      return warden.stall(fault.ms);
    case "warden-death":
      if (!warden.down) warden.die(fault.downMs);
      return;
    case "warden-fails":
      warden.failures = fault.times;
      return;
    case "disk-full":
      gate.full = true;
      environment.after(fault.ms, () => {
        gate.full = false;
        computer.trace.add("disk has room");
      });
      return;
    case "disk-slow":
      computer.slowness = fault.times;
      environment.after(fault.ms, () => {
        computer.slowness = 1;
      });
      return;
    case "clock-jump":
      return environment.jumpWallClock(fault.byMs);
  }
}
