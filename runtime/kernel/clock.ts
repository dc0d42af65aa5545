/** The wall clock as the runtime takes it: milliseconds since the epoch, replaceable in tests. */
export type Clock = () => number;

export const systemClock: Clock = () => Date.now();
