/* What one sandbox was refused and the codec was not told yet: counts by kind, and how many notices may go now. */
#ifndef COHORT_DENIAL_TALLY_H
#define COHORT_DENIAL_TALLY_H

#include "witness.h"

/* Equal when call, detail and program are. */
struct denial_kind {
	uint32_t count;
	struct caller caller;
	char call[DENIAL_CALL_SIZE], detail[DENIAL_DETAIL_SIZE];
};

struct tally {
	int codec_fd;
	uint32_t uid, ordinal;
	uint32_t notices;            /* that may be sent now */
	uint64_t refilled_ms;
	struct denial_kind *kinds;   /* NULL until the first has to wait */
	uint32_t used;
};

void tally_start(struct tally *tally, int codec_fd, uint32_t uid);
void tally_free(struct tally *tally);
/* Told at once, or counted. */
void tally_count(struct tally *tally, const struct denial_kind *kind, uint64_t now_ms);
/* Tells what was counted, as far as it may; true when nothing is left. */
bool tally_tell(struct tally *tally, uint64_t now_ms);
/* Somebody waits for it: as many notices as there can ever be. */
void tally_hurry(struct tally *tally);
void tally_refill(struct tally *tally, uint64_t now_ms);
/* Nothing of it waits for the clock. */
bool tally_rests(const struct tally *tally);

#endif
