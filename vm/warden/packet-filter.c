/* nftables in a network namespace of a sandbox: what does not go over the
 * loopback device, or is not TCP, is dropped. The second layer: the namespace
 * has no other device and no route, and a child may not make either.
 *
 * One batch over netlink, written by hand: it is five kinds of message, and a
 * library or program would be more to trust. */
#include "network-proxied.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH_MAX = 4096 };

static const char table[] = "cohort";

/* The batch, and where it ends. All sizes are known: it never comes near its limit. */
static _Alignas(struct nlmsghdr) uint8_t batch[BATCH_MAX];
static size_t batch_size;

static void *grow(size_t size)
{
	if (batch_size + NLMSG_ALIGN(size) > sizeof(batch))
		die("the packet filter is too long");
	void *at = batch + batch_size;
	memset(at, 0, NLMSG_ALIGN(size));
	batch_size += NLMSG_ALIGN(size);
	return at;
}

static size_t begin_message(unsigned int type, unsigned int flags, unsigned int family, unsigned int resource)
{
	size_t start = batch_size;
	struct nlmsghdr *header = grow(sizeof(*header));
	*header = (struct nlmsghdr){ .nlmsg_type = (uint16_t)type, .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) };
	struct nfgenmsg *generic = grow(sizeof(*generic));
	*generic = (struct nfgenmsg){ .nfgen_family = (uint8_t)family, .version = NFNETLINK_V0, .res_id = htons((uint16_t)resource) };
	return start;
}

static size_t begin_table_message(unsigned int message, unsigned int flags)
{
	return begin_message(NFNL_SUBSYS_NFTABLES << 8 | message, NLM_F_CREATE | flags, NFPROTO_INET, 0);
}

static void end_message(size_t start)
{
	((struct nlmsghdr *)(void *)(batch + start))->nlmsg_len = (uint32_t)(batch_size - start);
}

static void put(unsigned int type, const void *value, size_t size)
{
	struct nlattr *attribute = grow(sizeof(*attribute));
	*attribute = (struct nlattr){ .nla_type = (uint16_t)type, .nla_len = (uint16_t)(sizeof(*attribute) + size) };
	memcpy(grow(size), value, size);
}

static void put_text(unsigned int type, const char *text)
{
	put(type, text, strlen(text) + 1);
}

static void put_number(unsigned int type, uint32_t number)
{
	uint32_t big_endian = htonl(number);
	put(type, &big_endian, sizeof(big_endian));
}

static size_t begin_nest(unsigned int type)
{
	size_t start = batch_size;
	struct nlattr *attribute = grow(sizeof(*attribute));
	attribute->nla_type = (uint16_t)(type | NLA_F_NESTED);
	return start;
}

static void end_nest(size_t start)
{
	((struct nlattr *)(void *)(batch + start))->nla_len = (uint16_t)(batch_size - start);
}

static void put_chain(const char *name, uint32_t hook)
{
	size_t message = begin_table_message(NFT_MSG_NEWCHAIN, 0);
	put_text(NFTA_CHAIN_TABLE, table);
	put_text(NFTA_CHAIN_NAME, name);
	size_t nest = begin_nest(NFTA_CHAIN_HOOK);
	put_number(NFTA_HOOK_HOOKNUM, hook);
	put_number(NFTA_HOOK_PRIORITY, 0);
	end_nest(nest);
	put_number(NFTA_CHAIN_POLICY, NF_DROP);
	put_text(NFTA_CHAIN_TYPE, "filter");
	end_message(message);
}

/* `meta KEY == VALUE` */
static void put_comparison(uint32_t key, const void *value, size_t size)
{
	size_t element = begin_nest(NFTA_LIST_ELEM);
	put_text(NFTA_EXPR_NAME, "meta");
	size_t data = begin_nest(NFTA_EXPR_DATA);
	put_number(NFTA_META_DREG, NFT_REG_1);
	put_number(NFTA_META_KEY, key);
	end_nest(data);
	end_nest(element);
	element = begin_nest(NFTA_LIST_ELEM);
	put_text(NFTA_EXPR_NAME, "cmp");
	data = begin_nest(NFTA_EXPR_DATA);
	put_number(NFTA_CMP_SREG, NFT_REG_1);
	put_number(NFTA_CMP_OP, NFT_CMP_EQ);
	size_t nest = begin_nest(NFTA_CMP_DATA);
	put(NFTA_DATA_VALUE, value, size);
	end_nest(nest);
	end_nest(data);
	end_nest(element);
}

static void put_accept(void)
{
	size_t element = begin_nest(NFTA_LIST_ELEM);
	put_text(NFTA_EXPR_NAME, "immediate");
	size_t data = begin_nest(NFTA_EXPR_DATA);
	put_number(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	size_t nest = begin_nest(NFTA_IMMEDIATE_DATA);
	size_t verdict = begin_nest(NFTA_DATA_VERDICT);
	put_number(NFTA_VERDICT_CODE, NF_ACCEPT);
	end_nest(verdict);
	end_nest(nest);
	end_nest(data);
	end_nest(element);
}

/* TCP over the loopback device goes on; the policy of the chain is for all else. */
static void put_rule(const char *chain, uint32_t interface_key)
{
	static const char loopback[IFNAMSIZ] = "lo";
	static const uint8_t tcp = IPPROTO_TCP;
	size_t message = begin_table_message(NFT_MSG_NEWRULE, NLM_F_APPEND | NLM_F_ACK);
	put_text(NFTA_RULE_TABLE, table);
	put_text(NFTA_RULE_CHAIN, chain);
	size_t expressions = begin_nest(NFTA_RULE_EXPRESSIONS);
	put_comparison(interface_key, loopback, sizeof(loopback));
	put_comparison(NFT_META_L4PROTO, &tcp, sizeof(tcp));
	put_accept();
	end_nest(expressions);
	end_message(message);
}

static void write_batch(void)
{
	batch_size = 0;
	end_message(begin_message(NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
	size_t message = begin_table_message(NFT_MSG_NEWTABLE, 0);
	put_text(NFTA_TABLE_NAME, table);
	end_message(message);
	put_chain("input", NF_INET_LOCAL_IN);
	put_chain("output", NF_INET_LOCAL_OUT);
	put_chain("forward", NF_INET_FORWARD);
	put_rule("input", NFT_META_IIFNAME);
	put_rule("output", NFT_META_OIFNAME);
	end_message(begin_message(NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

/* The kernel has answered by the time send() returns. 0, or the first error of any message; ENOMSG when nothing was answered. */
static int read_answers(int fd)
{
	static _Alignas(struct nlmsghdr) uint8_t answers[8192];
	int result = ENOMSG;
	for (int i = 0; i < 16; i++) {
		ssize_t size = recv(fd, answers, sizeof(answers), MSG_DONTWAIT);
		if (size < 0)
			return errno == EAGAIN ? result : errno;
		const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)answers;
		const struct nlmsgerr *error = NLMSG_DATA(header);
		if ((size_t)size < sizeof(*header) + sizeof(*error) || header->nlmsg_type != NLMSG_ERROR)
			return EBADMSG;
		if (error->error != 0)
			return -error->error;
		result = 0;
	}
	return EBADMSG;
}

int packet_filter_load(struct fault *fault)
{
	static const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	CLEANUP_FD int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (fd < 0)
		return errno == EPROTONOSUPPORT ? 0 : fail(fault, E_SETUP_FAILED, errno, "cannot open a netlink socket for the packet filter");
	write_batch();
	if (sendto(fd, batch, batch_size, 0, (const struct sockaddr *)&kernel, sizeof(kernel)) != (ssize_t)batch_size)
		return fail(fault, E_SETUP_FAILED, errno, "cannot send the packet filter");
	int error_number = read_answers(fd);
	/* Netlink without nf_tables, or without one of its parts. */
	if (error_number != 0 && error_number != EOPNOTSUPP && error_number != ENOENT)
		return fail(fault, E_LAYER_MISSING, error_number, "cannot load the packet filter");
	return 0;
}
