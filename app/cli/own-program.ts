/** How root is told to start this very program: sudo has a PATH of its own, on which a checkout's bin/cohort is not. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { shellQuote } from "./map/template.ts";

/** Where sudo looks by default, too. */
const INSTALLED = ["/usr/local/bin/cohort", "/usr/bin/cohort"];

/** From source it is two folders up, from a bundle one. */
function ownPath(): string | null {
  const places = ["../../bin/cohort", "../bin/cohort"].map((place) => fileURLToPath(new URL(place, import.meta.url)));
  return places.find((place) => existsSync(place)) ?? null;
}

/** `sudo cohort …` in a hint becomes what works here. */
export function withOwnPath(hint: string): string {
  if (!hint.includes("sudo cohort ") || INSTALLED.some((path) => existsSync(path))) return hint;
  const own = ownPath();
  return own === null ? hint : hint.replace("sudo cohort ", () => `sudo ${shellQuote(own)} `);
}
