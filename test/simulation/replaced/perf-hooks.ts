/** Stands in for node:perf_hooks: in simulated time there is no delay of the event loop. */
export function monitorEventLoopDelay(): object {
  const nothing = (): void => {};
  return { count: 0, max: 0, percentile: () => 0, enable: nothing, disable: nothing, reset: nothing };
}
