import { expect, test } from "vitest";
import { statePaths } from "../../sdk/paths.ts";

const alice = { uid: 1000, gid: 1000, name: "alice", home: "/home/alice" };
const system = { uid: 999, gid: 999, name: "cohort", home: "/var/lib/cohort" };

test("a person's state is below XDG_STATE_HOME, else below the home", () => {
  expect(statePaths(alice, {}, false)).toEqual({
    directory: "/home/alice/.local/state/cohort",
    socket: "/home/alice/.local/state/cohort/cohortd.sock",
    token: "/home/alice/.local/state/cohort/token",
    log: "/home/alice/.local/state/cohort/cohortd.log",
    startLock: "/home/alice/.local/state/cohort/start.lock",
    wardenSocket: "/run/cohort/1000/warden.sock",
  });
  expect(statePaths(alice, { XDG_STATE_HOME: "/state" }, false).directory).toBe("/state/cohort");
});

test("root finds the same place as the person behind sudo, whatever sudo kept of the environment; the system user's is its home", () => {
  expect(statePaths(alice, { XDG_STATE_HOME: "/root/state" }, true).directory).toBe("/home/alice/.local/state/cohort");
  expect(statePaths(system, {}, true).directory).toBe("/var/lib/cohort");
});

test("each COHORT_HOME has a warden of its own; COHORT_WARDEN_SOCKET decides over both", () => {
  const one = statePaths(alice, { COHORT_HOME: "/tmp/one" }, false);
  const two = statePaths(alice, { COHORT_HOME: "/tmp/two" }, false);
  expect(one.directory).toBe("/tmp/one");
  expect(one.wardenSocket).toMatch(/^\/run\/cohort\/1000-[0-9a-f]{12}\/warden\.sock$/);
  expect(two.wardenSocket).not.toBe(one.wardenSocket);
  expect(statePaths(alice, { COHORT_HOME: "/tmp/one", COHORT_WARDEN_SOCKET: "/w.sock" }, false).wardenSocket).toBe("/w.sock");
});

test("a path that no socket can have is refused with what to do", () => {
  expect(() => statePaths(alice, { COHORT_HOME: `/tmp/${"long".repeat(30)}` }, false)).toThrow(
    expect.objectContaining({ code: "DAEMON_UNREACHABLE", hint: "set COHORT_HOME to a shorter path" }),
  );
});
