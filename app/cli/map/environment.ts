/** Pure: `--env`. Nothing of the caller's environment reaches a task unless it is named. */
import { CohortError } from "../../../runtime/kernel/error.ts";

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Each request is `K=V`, or names separated by commas whose values are copied. A name that is not set is an error: silence would hide it. */
export function chooseEnvironment(requests: readonly string[], own: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const chosen: Record<string, string> = {};
  for (const request of requests) {
    const equals = request.indexOf("=");
    if (equals !== -1) {
      const name = request.slice(0, equals);
      if (!NAME.test(name)) throw new CohortError("USAGE", { on: `--env ${request}: ${name || "an empty name"} is no variable name` });
      chosen[name] = request.slice(equals + 1);
      continue;
    }
    for (const name of request.split(",")) {
      if (!NAME.test(name)) throw new CohortError("USAGE", { on: `--env ${request}: ${name || "an empty name"} is no variable name` });
      const value = own[name];
      if (value === undefined)
        throw new CohortError("USAGE", { on: `--env ${name}: it is not set`, hint: `set it, or give a value: --env ${name}=…` });
      chosen[name] = value;
    }
  }
  return chosen;
}
