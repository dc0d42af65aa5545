/* What the filter says to system calls other than "allowed". Included by seccomp.c
 * with RULE(name, action); numbers that headers of a build machine may lack are given below. */

/* Refused with EPERM: other processes, sockets, namespaces and mounts, keys, kernel
 * interfaces with a history of holes, the machine's own state, files by handle. */
RULE(ptrace, REFUSE)
RULE(process_vm_readv, REFUSE)
RULE(process_vm_writev, REFUSE)
RULE(pidfd_getfd, REFUSE)
RULE(kcmp, REFUSE)
RULE(process_madvise, REFUSE)
RULE(socket, REFUSE)
RULE(connect, REFUSE)
RULE(bind, REFUSE)
RULE(listen, REFUSE)
RULE(accept, REFUSE)
RULE(accept4, REFUSE)
RULE(unshare, REFUSE)
RULE(setns, REFUSE)
RULE(mount, REFUSE)
RULE(umount2, REFUSE)
RULE(pivot_root, REFUSE)
RULE(chroot, REFUSE)
RULE(open_tree, REFUSE)
RULE(move_mount, REFUSE)
RULE(fsopen, REFUSE)
RULE(fsconfig, REFUSE)
RULE(fsmount, REFUSE)
RULE(fspick, REFUSE)
RULE(mount_setattr, REFUSE)
RULE(keyctl, REFUSE)
RULE(add_key, REFUSE)
RULE(request_key, REFUSE)
RULE(bpf, REFUSE)
RULE(perf_event_open, REFUSE)
RULE(userfaultfd, REFUSE)
RULE(kexec_load, REFUSE)
RULE(kexec_file_load, REFUSE)
RULE(init_module, REFUSE)
RULE(finit_module, REFUSE)
RULE(delete_module, REFUSE)
RULE(reboot, REFUSE)
RULE(syslog, REFUSE)
RULE(sethostname, REFUSE)
RULE(setdomainname, REFUSE)
RULE(settimeofday, REFUSE)
RULE(clock_settime, REFUSE)
RULE(adjtimex, REFUSE)
RULE(clock_adjtime, REFUSE)
RULE(quotactl, REFUSE)
RULE(quotactl_fd, REFUSE)
RULE(acct, REFUSE)
RULE(swapon, REFUSE)
RULE(swapoff, REFUSE)
RULE(personality, REFUSE)
RULE(name_to_handle_at, REFUSE)
RULE(open_by_handle_at, REFUSE)
#ifdef __NR_lookup_dcookie
RULE(lookup_dcookie, REFUSE)
#endif
RULE(fanotify_init, REFUSE)
RULE(fanotify_mark, REFUSE)
RULE(migrate_pages, REFUSE)
RULE(move_pages, REFUSE)
RULE(vhangup, REFUSE)
#ifdef __NR_nfsservctl
RULE(nfsservctl, REFUSE)
#endif
#if defined(__x86_64__)
RULE(iopl, REFUSE)
RULE(ioperm, REFUSE)
RULE(modify_ldt, REFUSE)
RULE(uselib, REFUSE)
RULE(ustat, REFUSE)
RULE(sysfs, REFUSE)
RULE(_sysctl, REFUSE)
RULE(create_module, REFUSE)
RULE(query_module, REFUSE)
RULE(get_kernel_syms, REFUSE)
#endif

/* ENOSYS, so that libraries fall back: clone3 hides its flags behind a pointer, io_uring goes around the
 * filter, kernel AIO takes from a number that the whole machine shares, and openat2 hides its mode. */
RULE(clone3, ABSENT)
RULE(io_uring_setup, ABSENT)
RULE(io_uring_enter, ABSENT)
RULE(io_uring_register, ABSENT)
RULE(io_setup, ABSENT)
RULE(io_submit, ABSENT)
RULE(io_getevents, ABSENT)
RULE(io_cancel, ABSENT)
RULE(io_destroy, ABSENT)
RULE(io_pgetevents, ABSENT)
RULE(openat2, ABSENT)

/* Allowed for some arguments only. */
RULE(clone, CLONE)
RULE(socketpair, SOCKETPAIR)
RULE(ioctl, IOCTL)
#ifdef __NR_mknod
RULE(mknod, MKNOD)
#endif
RULE(mknodat, MKNODAT)
#ifdef __NR_chmod
RULE(chmod, CHMOD)
RULE(creat, CHMOD)
RULE(open, OPEN)
#endif
RULE(fchmod, CHMOD)
RULE(fchmodat, FCHMODAT)
RULE(openat, OPENAT)
RULE(fcntl, FCNTL)
RULE(prlimit64, PRLIMIT)
RULE(renameat2, RENAMEAT2)

/* By number, equal on all machines. */
#define __NR_cohort_memfd_secret 447
#define __NR_cohort_process_mrelease 448
#define __NR_cohort_cachestat 451       /* shows other users' page cache */
#define __NR_cohort_fchmodat2 452
#define __NR_cohort_statmount 457       /* shows mounts by id */
#define __NR_cohort_listmount 458
#define __NR_cohort_lsm_set_self_attr 460
RULE(cohort_memfd_secret, REFUSE)
RULE(cohort_process_mrelease, REFUSE)
RULE(cohort_cachestat, ABSENT)
RULE(cohort_fchmodat2, FCHMODAT)
RULE(cohort_statmount, ABSENT)
RULE(cohort_listmount, ABSENT)
RULE(cohort_lsm_set_self_attr, ABSENT)
