/* Empty network namespaces, made ahead and used again: network-stock.c. */
#ifndef COHORT_NETWORK_STOCK_H
#define COHORT_NETWORK_STOCK_H

#include "base.h"

/* Forks the maker, and orders a full stock. Returns the socket on which namespaces arrive; -1: there will be none. */
int network_stock_open(int proc_fd);
/* One has arrived, or the maker ended: then the socket is closed and -1. */
void network_stock_receive(int *maker_fd);
/* One in which nothing is, or -1 when none is ready; orders another when few are left. */
int network_stock_take(int *maker_fd);
/* Takes back one in which no process is left; closes what is too much. */
void network_stock_give(int *network_fd);

#endif
