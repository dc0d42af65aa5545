/* The words for a refused call: its name and, where numbers say it, what it asked for. Pure: from the registers alone, as whatever they
 * point to is the caller's to change. */
#include "witness.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum shape { PLAIN, SOCKET, NAMESPACES_0, NAMESPACES_1, REQUEST, MODE_1, MODE_2, MODE_3, COMMAND };

/* More than the filter notifies of: a name is never missing because a rule was added. */
static const struct {
	int number;
	enum shape shape;
	const char *name;
} calls[] = {
	{ __NR_socket, SOCKET, "socket" }, { __NR_socketpair, SOCKET, "socketpair" }, { __NR_connect, PLAIN, "connect" },
	{ __NR_bind, PLAIN, "bind" }, { __NR_listen, PLAIN, "listen" },
	{ __NR_unshare, NAMESPACES_0, "unshare" }, { __NR_setns, NAMESPACES_1, "setns" }, { __NR_clone, NAMESPACES_0, "clone" },
	{ __NR_mount, PLAIN, "mount" }, { __NR_umount2, PLAIN, "umount" }, { __NR_pivot_root, PLAIN, "pivot_root" },
	{ __NR_chroot, PLAIN, "chroot" }, { __NR_open_tree, PLAIN, "open_tree" }, { __NR_move_mount, PLAIN, "move_mount" },
	{ __NR_fsopen, PLAIN, "fsopen" }, { __NR_mount_setattr, PLAIN, "mount_setattr" },
	{ __NR_ptrace, REQUEST, "ptrace" }, { __NR_process_vm_readv, PLAIN, "process_vm_readv" },
	{ __NR_process_vm_writev, PLAIN, "process_vm_writev" }, { __NR_pidfd_getfd, PLAIN, "pidfd_getfd" },
	{ __NR_bpf, COMMAND, "bpf" }, { __NR_perf_event_open, PLAIN, "perf_event_open" }, { __NR_userfaultfd, PLAIN, "userfaultfd" },
	{ __NR_keyctl, COMMAND, "keyctl" }, { __NR_add_key, PLAIN, "add_key" }, { __NR_request_key, PLAIN, "request_key" },
	{ __NR_init_module, PLAIN, "init_module" }, { __NR_finit_module, PLAIN, "finit_module" },
	{ __NR_delete_module, PLAIN, "delete_module" }, { __NR_kexec_load, PLAIN, "kexec_load" },
	{ __NR_kexec_file_load, PLAIN, "kexec_file_load" }, { __NR_reboot, PLAIN, "reboot" },
	{ __NR_open_by_handle_at, PLAIN, "open_by_handle_at" }, { __NR_swapon, PLAIN, "swapon" }, { __NR_acct, PLAIN, "acct" },
	{ __NR_sethostname, PLAIN, "sethostname" }, { __NR_settimeofday, PLAIN, "settimeofday" },
	{ __NR_clock_settime, PLAIN, "clock_settime" }, { __NR_fchmod, MODE_1, "fchmod" }, { __NR_fchmodat, MODE_2, "fchmodat" },
	{ 452, MODE_2, "fchmodat2" }, { __NR_mknodat, MODE_2, "mknodat" }, { __NR_openat, MODE_3, "openat" },
	{ __NR_ioctl, REQUEST, "ioctl" },
#ifdef __NR_chmod
	{ __NR_chmod, MODE_1, "chmod" }, { __NR_creat, MODE_1, "creat" }, { __NR_mknod, MODE_1, "mknod" }, { __NR_open, MODE_2, "open" },
#endif
#ifdef __NR_iopl
	{ __NR_iopl, PLAIN, "iopl" }, { __NR_ioperm, PLAIN, "ioperm" },
#endif
};

struct word {
	uint64_t value;
	const char *name;
};

static const struct word families[] = {
	{ AF_UNIX, "AF_UNIX" }, { AF_INET, "AF_INET" }, { AF_INET6, "AF_INET6" }, { AF_NETLINK, "AF_NETLINK" }, { AF_PACKET, "AF_PACKET" },
	{ AF_VSOCK, "AF_VSOCK" }, { AF_ALG, "AF_ALG" }, { AF_BLUETOOTH, "AF_BLUETOOTH" }, { AF_CAN, "AF_CAN" }, { AF_TIPC, "AF_TIPC" },
	{ AF_KEY, "AF_KEY" }, { AF_XDP, "AF_XDP" }, { AF_QIPCRTR, "AF_QIPCRTR" },
};

static const struct word types[] = {
	{ SOCK_STREAM, "SOCK_STREAM" }, { SOCK_DGRAM, "SOCK_DGRAM" }, { SOCK_RAW, "SOCK_RAW" }, { SOCK_SEQPACKET, "SOCK_SEQPACKET" },
	{ SOCK_PACKET, "SOCK_PACKET" }, { SOCK_RDM, "SOCK_RDM" },
};

static const struct word namespaces[] = {
	{ CLONE_NEWUSER, "CLONE_NEWUSER" }, { CLONE_NEWNS, "CLONE_NEWNS" }, { CLONE_NEWNET, "CLONE_NEWNET" }, { CLONE_NEWPID, "CLONE_NEWPID" },
	{ CLONE_NEWIPC, "CLONE_NEWIPC" }, { CLONE_NEWUTS, "CLONE_NEWUTS" }, { CLONE_NEWCGROUP, "CLONE_NEWCGROUP" },
};

static const struct word requests[] = {
	{ TIOCSTI, "TIOCSTI" }, { TIOCLINUX, "TIOCLINUX" }, { TIOCSETD, "TIOCSETD" }, { TIOCCONS, "TIOCCONS" },
};

static const struct word trace_requests[] = {
	{ PTRACE_TRACEME, "PTRACE_TRACEME" }, { PTRACE_ATTACH, "PTRACE_ATTACH" }, { PTRACE_SEIZE, "PTRACE_SEIZE" },
};

static void name_or_number(char *text, size_t size, const char *kind, const struct word *words, size_t count, uint64_t value)
{
	for (size_t i = 0; i < count; i++)
		if (words[i].value == value) {
			append_text(text, size, "%s", words[i].name);
			return;
		}
	append_text(text, size, "%s %u", kind, (unsigned int)value);
}

static void namespaces_text(char *text, size_t size, uint64_t flags)
{
	for (size_t i = 0; i < ARRAY_LENGTH(namespaces); i++)
		if ((flags & namespaces[i].value) != 0)
			append_text(text, size, "%s%s", text[0] == '\0' ? "" : "|", namespaces[i].name);
}

static void shape_text(enum shape shape, const struct seccomp_data *data, char detail[DENIAL_DETAIL_SIZE])
{
	/* In all of these the kernel's parameter is 32 bits wide. */
	const uint32_t *low = (const uint32_t *)data->args;
	switch (shape) {
	case PLAIN:
		return;
	case SOCKET:
		name_or_number(detail, DENIAL_DETAIL_SIZE, "family", families, ARRAY_LENGTH(families), low[0]);
		append_text(detail, DENIAL_DETAIL_SIZE, ", ");
		name_or_number(detail, DENIAL_DETAIL_SIZE, "type", types, ARRAY_LENGTH(types), low[2] & 0xf);
		return;
	case NAMESPACES_0:
		namespaces_text(detail, DENIAL_DETAIL_SIZE, data->args[0]);
		return;
	case NAMESPACES_1:
		namespaces_text(detail, DENIAL_DETAIL_SIZE, data->args[1]);
		return;
	case REQUEST:
		if (data->nr == __NR_ptrace)
			name_or_number(detail, DENIAL_DETAIL_SIZE, "request", trace_requests, ARRAY_LENGTH(trace_requests), low[0]);
		else
			name_or_number(detail, DENIAL_DETAIL_SIZE, "request", requests, ARRAY_LENGTH(requests), low[2]);
		return;
	case MODE_1:
	case MODE_2:
	case MODE_3:
		append_text(detail, DENIAL_DETAIL_SIZE, "mode %06o", low[2 * (shape - MODE_1 + 1)] & 0xffffu);
		return;
	case COMMAND:
		append_text(detail, DENIAL_DETAIL_SIZE, "command %u", low[0]);
		return;
	}
}

void denial_text(const struct seccomp_data *data, char call[DENIAL_CALL_SIZE], char detail[DENIAL_DETAIL_SIZE])
{
	call[0] = detail[0] = '\0';
	for (size_t i = 0; i < ARRAY_LENGTH(calls); i++)
		if (calls[i].number == data->nr) {
			append_text(call, DENIAL_CALL_SIZE, "%s", calls[i].name);
			shape_text(calls[i].shape, data, detail);
			return;
		}
	append_text(call, DENIAL_CALL_SIZE, "system call %d", data->nr);
}
