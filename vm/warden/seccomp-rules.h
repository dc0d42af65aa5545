/* What the filter says to system calls other than "allowed". Included by seccomp.c
 * with RULE(name, action); numbers that headers of a build machine may lack are given below. */

/* Refused with EPERM: other processes, sockets, namespaces and mounts, keys, kernel
 * interfaces with a history of holes, the machine's own state, files by handle. NOTIFY is the same, and told: what says something of
 * the program that tried. Not told is what follows from another refusal (there is no socket to connect), and what harmless programs try. */
RULE(ptrace, NOTIFY)
RULE(process_vm_readv, NOTIFY)
RULE(process_vm_writev, NOTIFY)
RULE(pidfd_getfd, NOTIFY)
RULE(kcmp, REFUSE)
RULE(process_madvise, REFUSE)
RULE(socket, NOTIFY)
RULE(connect, REFUSE)
RULE(bind, REFUSE)
RULE(listen, REFUSE)
RULE(accept, REFUSE)
RULE(accept4, REFUSE)
RULE(unshare, NOTIFY)
RULE(setns, NOTIFY)
RULE(mount, NOTIFY)
RULE(umount2, NOTIFY)
RULE(pivot_root, NOTIFY)
RULE(chroot, NOTIFY)
RULE(open_tree, NOTIFY)
RULE(move_mount, NOTIFY)
RULE(fsopen, NOTIFY)
RULE(fsconfig, REFUSE)
RULE(fsmount, REFUSE)
RULE(fspick, REFUSE)
RULE(mount_setattr, NOTIFY)
RULE(keyctl, NOTIFY)
RULE(add_key, NOTIFY)
RULE(request_key, NOTIFY)
RULE(bpf, NOTIFY)
RULE(perf_event_open, NOTIFY)
RULE(userfaultfd, NOTIFY)
RULE(kexec_load, NOTIFY)
RULE(kexec_file_load, NOTIFY)
RULE(init_module, NOTIFY)
RULE(finit_module, NOTIFY)
RULE(delete_module, NOTIFY)
RULE(reboot, NOTIFY)
RULE(syslog, REFUSE)
RULE(sethostname, NOTIFY)
RULE(setdomainname, REFUSE)
RULE(settimeofday, NOTIFY)
RULE(clock_settime, NOTIFY)
RULE(adjtimex, REFUSE)
RULE(clock_adjtime, REFUSE)
RULE(quotactl, REFUSE)
RULE(quotactl_fd, REFUSE)
RULE(acct, NOTIFY)
RULE(swapon, NOTIFY)
RULE(swapoff, REFUSE)
RULE(personality, REFUSE)
RULE(name_to_handle_at, REFUSE)
RULE(open_by_handle_at, NOTIFY)
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
RULE(iopl, NOTIFY)
RULE(ioperm, NOTIFY)
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
/* What these leave in a pipe, a socket or a watch holds pages or an inode of a file, and no mount: a revocation could neither see nor end it. */
RULE(splice, ABSENT)
RULE(tee, ABSENT)
RULE(vmsplice, ABSENT)
RULE(sendfile, ABSENT)
#ifdef __NR_inotify_init
RULE(inotify_init, ABSENT)
#endif
RULE(inotify_init1, ABSENT)

/* Allowed for some arguments only. */
RULE(clone, CLONE)
RULE(seccomp, OWN_FILTER)
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
RULE(prctl, PRCTL)
RULE(madvise, MADVISE)

/* Huge pages come from a store of the whole machine, and no limit of a sandbox counts them. ENOMEM, as where none are set aside. */
RULE(mmap, MMAP)
RULE(memfd_create, MEMFD)
RULE(shmget, SHMGET)

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
