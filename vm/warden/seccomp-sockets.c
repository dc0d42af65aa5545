/* Which sockets the system call filter lets a sandbox make, by mode of its network. */
#include "seccomp-emit.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* As in linux/tcp.h and linux/in6.h, which do not go together with libc's. */
enum { OPTION_TCP_ULP = 31, OPTION_IPV6_ADDRFORM = 1 };

void emit_socketpair(void)
{
	/* A datagram pair could sendto() a host daemon's socket path through a mount; streams cannot. */
	emit_load_argument(0);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 4, AF_UNIX);
	emit_load_argument(1);
	emit(BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xf);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 2, 0, SOCK_STREAM);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, SOCK_SEQPACKET);
	emit_notified_refusal();
	emit_return(SECCOMP_RET_ALLOW);
}

/* TCP over IPv4 or IPv6. Protocol 0 means it too; others of the same type are MPTCP and SCTP, each a large piece of kernel more. */
void emit_socket_tcp(void)
{
	emit_load_argument(0);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AF_INET);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 7, AF_INET6);
	emit_load_argument(1);
	emit(BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xf);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 4, SOCK_STREAM);
	emit_load_argument(2);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, IPPROTO_TCP);
	emit_return(SECCOMP_RET_ALLOW);
	emit_told_refusal();
}

/* What turns a plain TCP socket into something else: encryption or another protocol in the kernel, programs for its packets, the change
 * from IPv6 to IPv4. No program needs them. */
void emit_setsockopt(void)
{
	emit_load_argument(1);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 3, 0, IPPROTO_TCP);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 4, 0, SOL_SOCKET);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 8, 0, IPPROTO_IPV6);
	emit_return(SECCOMP_RET_ALLOW);
	emit_load_argument(2);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 8, 7, OPTION_TCP_ULP);
	emit_load_argument(2);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 6, 0, SO_ATTACH_FILTER);
	/* Whoever closes such a socket waits as long as the child chose: in the end the kernel's own worker, for the whole machine. */
	emit(BPF_JMP | BPF_JEQ | BPF_K, 5, 0, SO_LINGER);
	/* Holds pages of a mapped file, and no mount. */
	emit(BPF_JMP | BPF_JEQ | BPF_K, 4, 0, SO_ZEROCOPY);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 3, 2, SO_ATTACH_REUSEPORT_CBPF);
	emit_load_argument(2);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, OPTION_IPV6_ADDRFORM);
	emit_return(SECCOMP_RET_ALLOW);
	emit_refusal(EPERM);
}
