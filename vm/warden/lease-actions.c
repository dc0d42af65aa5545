/* What the lease does to the sandboxes; when it does is lease.c's. */
#include "codec-state.h"

static void freeze_all(struct codec *codec)
{
	complain("nothing was heard of the supervisor: %u sandboxes are frozen", codec->table.count);
	if (codec->table.count == 0)
		return;
	operation_start(codec, PURPOSE_LEASE, OP_FREEZE_ALL, "", 0, NULL);
	tell_event(codec, "", "frozen-by-lease", "nothing was heard of the supervisor");
}

static bool any_frozen_by_request(const struct codec *codec)
{
	for (const struct sandbox *sandbox = codec->table.first; sandbox != NULL; sandbox = sandbox->next)
		if (sandbox->frozen && sandbox->state == SANDBOX_ALIVE)
			return true;
	return false;
}

static void thaw_all(struct codec *codec)
{
	if (codec->table.count == 0)
		return;
	if (!any_frozen_by_request(codec)) {
		operation_start(codec, PURPOSE_LEASE, OP_THAW_ALL, "", 0, NULL);
	} else {
		/* Not all and then some again: what the person froze must not run for a moment. Of that only the init goes on. */
		for (const struct sandbox *sandbox = codec->table.first; sandbox != NULL; sandbox = sandbox->next)
			if (sandbox->state == SANDBOX_ALIVE)
				operation_start(codec, PURPOSE_LEASE, sandbox->frozen ? OP_FREEZE : OP_THAW, sandbox->name, 0, NULL);
	}
	tell_event(codec, "", "thawed", "the supervisor is heard again");
}

static void kill_all(struct codec *codec)
{
	complain("the lease of the supervisor expired: %u sandboxes are killed", codec->table.count);
	if (codec->table.count == 0)
		return;
	for (struct sandbox *sandbox = codec->table.first; sandbox != NULL; sandbox = sandbox->next) {
		sandbox->ending = true;
		if (sandbox->state == SANDBOX_CREATING)
			sandbox->destroy_wanted = true;
		if (sandbox->state == SANDBOX_ALIVE)
			sandbox->death_flags |= EXIT_LEASE;
	}
	tell_event(codec, "", "killed-by-lease", "nothing was heard of the supervisor");
	operation_start(codec, PURPOSE_LEASE_KILL, OP_KILL_ALL, "", DEATH_LEASE, NULL);
}

/* The kill was answered: what is dead or not is destroyed, so that only exit records stay. */
void lease_killed(struct codec *codec)
{
	for (struct sandbox *sandbox = codec->table.first; sandbox != NULL; sandbox = sandbox->next)
		if (sandbox->ending && (sandbox->state == SANDBOX_ALIVE || sandbox->state == SANDBOX_DEAD))
			sandbox_destroy(codec, sandbox);
}

void lease_act(struct codec *codec, enum lease_action action)
{
	switch (action) {
	case LEASE_DO_NOTHING: break;
	case LEASE_DO_FREEZE: freeze_all(codec); break;
	case LEASE_DO_THAW: thaw_all(codec); break;
	case LEASE_DO_KILL: kill_all(codec); break;
	}
}
