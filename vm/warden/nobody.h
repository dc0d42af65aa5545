/* How a fork of root becomes nobody. Each step ends the process when it fails. */
#ifndef COHORT_NOBODY_H
#define COHORT_NOBODY_H

#include "base.h"

/* Dies with the broker, has a name, all the descriptors it may have, and no core. */
void nobody_prepare(const char *name);
/* Descriptors to 3, 4, … in order, one that is -1 stays so; everything else, the locks above all, is closed. */
void nobody_keep(int *const kept[], size_t count);
void nobody_enter_empty_root(void);
void nobody_become(uint32_t uid);

#endif
