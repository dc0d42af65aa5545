/** How cohortd ends (sysexits.h where there is one that fits). */

export const EXIT_SOFTWARE = 70;
/** EX_TEMPFAIL: another cohortd has the journal; the start step tries again. */
export const EXIT_JOURNAL_LOCKED = 75;
/** EX_NOPERM: it was started as root. */
export const EXIT_REFUSED = 77;
