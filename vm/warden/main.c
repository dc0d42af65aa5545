/* cohort-warden: makes what must exist before any request,
 * splits into broker, zygote and codec, and at the end removes everything.
 * Root; reads nothing here that a person or a child could write. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>

#include "broker.h"
#include "cgroup.h"
#include "codec.h"
#include "command-line.h"
#include "options.h"
#include "relay.h"
#include "witness.h"
#include "zygote.h"
#include "sha256.h"

enum { REMOVE_MS_MAX = 15000, MINUTE_MS = 60000 };

/* Whoever starts us may have ignored signals, closed stdio or left descriptors open; none of it may reach a sandbox. */
static void reset_inheritance(void)
{
	sigset_t none;
	sigemptyset(&none);
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int fd = open("/dev/null", O_RDWR | O_CLOEXEC); fd >= 0 && fd <= STDERR_FILENO;)
		fd = fcntl(fd, F_DUPFD, 0);
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &files) != 0)
			die_errno("cannot raise the limit of open files");
	}
	umask(022);
	clearenv();
	if (chdir("/") != 0)
		die_errno("cannot enter /");
}

/* The launcher waits in the parent for one byte: the socket is listening. Returns the descriptor to write it to. */
static int detach(void)
{
	int ready[2];
	char byte;
	if (pipe2(ready, O_CLOEXEC) != 0)
		die_errno("cannot make a pipe");
	pid_t pid = fork();
	if (pid < 0)
		die_errno("cannot fork");
	if (pid > 0) {
		close(ready[1]);
		_exit(read(ready[0], &byte, 1) == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	close(ready[0]);
	if (setsid() < 0)
		die_errno("cannot start a session");
	return ready[1];
}

/* What is said from now on is read after the fact: a small file beside the socket. */
static void redirect_output(const struct listener *listener)
{
	char name[sizeof(listener->name) + 8];
	format_text(name, sizeof(name), "%s.log", listener->name);
	CLEANUP_FD int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	CLEANUP_FD int log_fd = openat(listener->directory_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (null_fd < 0 || log_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 || dup2(log_fd, STDERR_FILENO) < 0)
		die_errno("cannot redirect the output to a log");
}

static pid_t start_zygote(const struct cgroup_set *cgroups, const struct person *person, const struct zygote_sockets *sockets)
{
	int ready[2];
	char byte;
	pid_t broker_pid = getpid();
	if (pipe2(ready, O_CLOEXEC) != 0)
		die_errno("cannot make a pipe");
	pid_t pid = fork();
	if (pid == 0) {
		close(ready[0]);
		if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || prctl(PR_SET_NAME, "cohort-zygote", 0, 0, 0) != 0 || getppid() != broker_pid)
			_exit(EXIT_FAILURE);
		command_line_forget();
		zygote_main(cgroups, person, sockets, ready[1]);
	}
	close(ready[1]);
	bool stands = pid > 0 && read(ready[0], &byte, 1) == 1;
	close(ready[0]);
	if (!stands)
		/* It has said why. */
		return -1;
	return pid;
}

static pid_t start_codec(const struct options *options, struct codec_config *config, uint32_t uid)
{
	struct sysinfo machine;
	if (sysinfo(&machine) != 0)
		die_errno("cannot read the size of the memory");
	config->devpts_fd = devpts_open();
	config->person_uid = options->person.uid;
	config->exit_when_idle_ms = options->exit_when_idle_ms;
	config->memory_total_bytes = (uint64_t)machine.totalram * machine.mem_unit;
	/* Short enough for a test, long enough for a night. */
	config->freeze_after_ms_min = 100;
	config->freeze_after_ms_max = 24 * 60 * (uint64_t)MINUTE_MS;
	config->kill_after_ms_min = 200;
	config->kill_after_ms_max = 7 * config->freeze_after_ms_max;
	pid_t pid = fork();
	if (pid == 0)
		codec_process_main(config, uid);
	if (pid < 0)
		die_errno("cannot start the codec");
	close_fd(&config->devpts_fd);
	return pid;
}

static pid_t start_witness(int zygote_fd, int codec_fd, uint32_t uid)
{
	struct witness_config config = { .zygote_fd = zygote_fd, .codec_fd = codec_fd, .proc_fd = witness_proc_open() };
	pid_t pid = fork();
	if (pid == 0)
		witness_process_main(&config, uid);
	if (pid < 0)
		die_errno("cannot start the witness");
	close_fd(&config.proc_fd);
	return pid;
}

static pid_t start_relay(int zygote_fd, uint32_t uid)
{
	pid_t pid = fork();
	if (pid == 0)
		relay_process_main(zygote_fd, uid);
	if (pid < 0)
		die_errno("cannot start the relay");
	return pid;
}

static int watch_signals(void)
{
	sigset_t watched;
	sigemptyset(&watched);
	sigaddset(&watched, SIGTERM);
	sigaddset(&watched, SIGINT);
	sigaddset(&watched, SIGHUP);
	sigaddset(&watched, SIGCHLD);
	int fd = sigprocmask(SIG_BLOCK, &watched, NULL) == 0 ? signalfd(-1, &watched, SFD_CLOEXEC) : -1;
	if (fd < 0)
		die_errno("cannot watch signals");
	return fd;
}

static void end_process(pid_t pid)
{
	/* ESRCH: it was the one that ended first, and is reaped. */
	if (pid > 0 && kill(pid, SIGKILL) == 0)
		waitpid(pid, NULL, 0);
}

/* The two processes share all their parent's locks and the socket; each closes what is not its own. */
static int serve(const struct options *options, struct listener *listener, struct instance *instance, const char id[33], int ready_fd)
{
	int to_codec[2], to_zygote[2], between[2], listeners[2], denials[2], networks[2];
	struct cgroup_set cgroups;
	struct fault fault;
	uint32_t codec_uid, witness_uid, relay_uid;
	struct uid_source uids = options->uids;
	struct broker broker = { .person = &options->person, .uids = &uids };
	struct codec_config config = { .listen_fd = listener->socket_fd };
	int status = EXIT_FAILURE;
	int opened = cgroup_set_open(&cgroups, instance->id, &fault);
	instance_record(instance, cgroups.paths);
	if (opened == 0)
		copies_open(&cgroups);
	if (sha256_file("/proc/self/exe", config.binary_sha256) != 0)
		die_errno("cannot read the own binary");
	format_text(config.warden_id, sizeof(config.warden_id), "%s", id);
	packet_pair(to_codec);
	packet_pair(to_zygote);
	packet_pair(between);
	packet_pair(listeners);
	packet_pair(denials);
	packet_pair(networks);
	const struct zygote_sockets zygote_ends = { .broker = to_zygote[1], .codec = between[1], .witness = listeners[0], .relay = networks[0] };
	if (opened != 0 || uids_next(&uids, &codec_uid, &fault) != 0 || uids_next(&uids, &witness_uid, &fault) != 0 ||
	    uids_next(&uids, &relay_uid, &fault) != 0)
		complain("%s", fault.detail);
	else
		broker.zygote_pid = start_zygote(&cgroups, &options->person, &zygote_ends);
	if (broker.zygote_pid > 0) {
		config.broker_fd = to_codec[1];
		config.zygote_fd = between[0];
		config.witness_fd = denials[0];
		const int ends[] = { to_codec[1], between[0], denials[0], denials[1], networks[0] };
		for (size_t i = 0; i < ARRAY_LENGTH(ends); i++)
			if (fcntl(ends[i], F_SETFL, O_NONBLOCK) != 0)
				die_errno("cannot arrange a socket");
		broker.witness_pid = start_witness(listeners[1], denials[1], witness_uid);
		broker.relay_pid = start_relay(networks[1], relay_uid);
		broker.codec_pid = start_codec(options, &config, codec_uid);
		broker.codec_fd = to_codec[0];
		broker.zygote_fd = to_zygote[0];
		const int given[] = { to_codec[1], to_zygote[1], between[0], between[1], listeners[0], listeners[1], denials[0], denials[1],
				      networks[0], networks[1] };
		for (size_t i = 0; i < ARRAY_LENGTH(given); i++)
			close(given[i]);
		close_fd(&listener->socket_fd);
		broker.signal_fd = watch_signals();
		if (ready_fd >= 0) {
			redirect_output(listener);
			if (write(ready_fd, "", 1) != 1)
				die_errno("the launcher is gone");
			close(ready_fd);
		}
		status = broker_serve(&broker);
	}
	/* First who could make more, then all that was made. */
	end_process(broker.codec_pid);
	end_process(broker.zygote_pid);
	end_process(broker.witness_pid);
	end_process(broker.relay_pid);
	if (!cgroup_set_remove(cgroups.paths, REMOVE_MS_MAX)) {
		complain("cgroups of %s are left; the next start removes them", instance->id);
		return EXIT_FAILURE;
	}
	instance_close(instance);
	return status;
}

int main(int argc, char *argv[])
{
	struct options options;
	struct listener listener;
	struct instance instance;
	unsigned char random[16];
	char id[33], instance_id[17];
	options_parse(argc, argv, &options);
	command_line_remember(argc, argv);
	if (geteuid() != 0)
		die("it must be run as root: sudo cohort vm up");
	reset_inheritance();
	int ready_fd = options.foreground ? -1 : detach();
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		die_errno("no random bytes");
	for (size_t i = 0; i < sizeof(random); i++)
		format_text(id + 2 * i, 3, "%02x", random[i]);
	format_text(instance_id, sizeof(instance_id), "%.16s", id);
	uids_open(&options.uids);
	listener_open(&listener, options.socket_path, &options.person);
	instance_open(&instance, instance_id);
	int status = serve(&options, &listener, &instance, id, ready_fd);
	listener_close(&listener);
	return status;
}
