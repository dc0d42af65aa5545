/* Counts refusals by kind, and tells the codec of them in few notices: the first ones at once, more of them together. Bounded. */
#include "denial-tally.h"

#include <stdlib.h>
#include <string.h>

enum { KINDS_MAX = 16, NOTICES_BURST = 16, NOTICE_REFILL_MS = 50 };

void tally_start(struct tally *tally, int codec_fd, uint32_t uid)
{
	*tally = (struct tally){ .codec_fd = codec_fd, .uid = uid, .notices = NOTICES_BURST };
}

void tally_free(struct tally *tally)
{
	free(tally->kinds);
	tally->kinds = NULL;
}

static bool tell(struct tally *tally, const struct denial_kind *kind, uint64_t now_ms)
{
	struct denial_notice notice = {
		.uid = tally->uid, .ordinal = tally->ordinal + 1, .repeated = kind->count, .pid = kind->caller.inner_pid,
	};
	if (tally->notices == 0)
		return false;
	memcpy(notice.program, kind->caller.program, sizeof(notice.program));
	memcpy(notice.call, kind->call, sizeof(notice.call));
	memcpy(notice.detail, kind->detail, sizeof(notice.detail));
	if (send_packet(tally->codec_fd, &notice, sizeof(notice), NULL, 0) != 0) {
		if (errno != EAGAIN)
			die_errno("witness: the codec is gone");
		/* It takes nothing now: it has no supervisor, or one that is slow. */
		tally->notices = 0;
		tally->refilled_ms = now_ms;
		return false;
	}
	if (tally->notices-- == NOTICES_BURST)
		tally->refilled_ms = now_ms;
	tally->ordinal++;
	return true;
}

static bool same_kind(const struct denial_kind *one, const struct denial_kind *other)
{
	return strcmp(one->call, other->call) == 0 && strcmp(one->detail, other->detail) == 0 &&
	       strcmp(one->caller.program, other->caller.program) == 0;
}

static void keep(struct tally *tally, const struct denial_kind *kind)
{
	if (tally->kinds == NULL)
		tally->kinds = calloc(KINDS_MAX, sizeof(*tally->kinds));
	if (tally->kinds == NULL)
		return; /* one count is lost; the refusal itself needs no memory */
	for (uint32_t i = 0; i < tally->used; i++)
		if (same_kind(&tally->kinds[i], kind)) {
			tally->kinds[i].count += kind->count;
			return;
		}
	if (tally->used < KINDS_MAX) {
		tally->kinds[tally->used++] = *kind;
		return;
	}
	/* The last one becomes the one for all that has no place. */
	struct denial_kind *rest = &tally->kinds[KINDS_MAX - 1];
	uint32_t count = rest->count + kind->count;
	*rest = (struct denial_kind){ .count = count, .call = "other calls" };
}

void tally_count(struct tally *tally, const struct denial_kind *kind, uint64_t now_ms)
{
	if (tally->used > 0 || !tell(tally, kind, now_ms))
		keep(tally, kind);
}

bool tally_tell(struct tally *tally, uint64_t now_ms)
{
	uint32_t told = 0;
	while (told < tally->used && tell(tally, &tally->kinds[told], now_ms))
		told++;
	tally->used -= told;
	if (told > 0)
		memmove(tally->kinds, tally->kinds + told, tally->used * sizeof(*tally->kinds));
	return tally->used == 0;
}

void tally_hurry(struct tally *tally)
{
	tally->notices = NOTICES_BURST;
}

void tally_refill(struct tally *tally, uint64_t now_ms)
{
	if (tally->notices == NOTICES_BURST || now_ms < tally->refilled_ms + NOTICE_REFILL_MS)
		return;
	uint64_t more = (now_ms - tally->refilled_ms) / NOTICE_REFILL_MS;
	tally->notices = more > NOTICES_BURST - tally->notices ? NOTICES_BURST : tally->notices + (uint32_t)more;
	tally->refilled_ms = now_ms;
}

bool tally_rests(const struct tally *tally)
{
	return tally->used == 0 && tally->notices == NOTICES_BURST;
}
