/* Stands in for the codec (it provides codec_main) and so drives the root half of
 * the warden alone: real broker, zygote, inits; no frames. Which scenario runs is
 * COHORT_DRIVER in the environment. Exits with 0 when every check held. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../vm/warden/base.h"
#include "../../vm/warden/codec.h"

enum { WAIT_MS_MAX = 20000, OUTPUT_SIZE = 1 << 20, BULK_MAX = 1000 };

static const struct codec_config *config;
static char scenario[4096], mount_source[2048];
static unsigned int failures, checks;
static uint32_t next_seq = 1;

/* The warden clears its environment before it forks the codec. */
__attribute__((constructor)) static void read_environment(void)
{
	const char *name = getenv("COHORT_DRIVER"), *mount = getenv("COHORT_DRIVER_MOUNT");
	snprintf(scenario, sizeof(scenario), "%s", name == NULL ? "smoke" : name);
	snprintf(mount_source, sizeof(mount_source), "%s", mount == NULL ? "" : mount);
}

PRINTF_LIKE(2, 3) static void check(bool holds, const char *format, ...)
{
	va_list arguments;
	checks++;
	if (holds)
		return;
	failures++;
	fputs("FAILED: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

static void wait_readable(int fd, const char *what)
{
	struct pollfd waited = { .fd = fd, .events = POLLIN };
	if (poll(&waited, 1, WAIT_MS_MAX) != 1)
		die("driver: no answer in time: %s", what);
}

/* The next packet from the zygote or, as a refusal, from the broker. */
union answer {
	uint32_t kind;
	struct create_reply created;
	struct op_reply op;
	struct died_notice died;
};

static void next_answer(union answer *answer, int *init_fd)
{
	struct pollfd waited[2] = { { .fd = config->zygote_fd, .events = POLLIN }, { .fd = config->broker_fd, .events = POLLIN } };
	int fds[1] = { -1 };
	size_t count = 0;
	if (poll(waited, 2, WAIT_MS_MAX) < 1)
		die("driver: no answer in time");
	int from = waited[0].revents != 0 ? config->zygote_fd : config->broker_fd;
	if (receive_packet(from, answer, sizeof(*answer), fds, 1, &count) <= 0)
		die_errno("driver: the warden's side is gone");
	if (init_fd != NULL && count == 1)
		*init_fd = fds[0];
	else if (count == 1)
		close(fds[0]);
}

static struct create_request request_for(const char *name)
{
	struct create_request request = {
		.seq = next_seq++, .op = OP_CREATE,
		.limits = { .memory_bytes = 128u << 20, .disk_bytes = 8u << 20, .tmp_bytes = 4u << 20, .disk_inodes = 4096, .pids_max = 64, .open_files_max = 1024 },
	};
	snprintf(request.name, sizeof(request.name), "%s", name);
	return request;
}

static struct create_reply create(const struct create_request *request, int *init_fd)
{
	union answer answer;
	if (send_packet(config->broker_fd, request, create_request_size(request->mount_count), NULL, 0) != 0)
		die_errno("driver: cannot send a create_request");
	next_answer(&answer, init_fd);
	if (answer.kind != FROM_CREATE_REPLY)
		die("driver: answer of kind %u to a create_request", answer.kind);
	return answer.created;
}

static int create_ok(const char *name)
{
	int init_fd = -1;
	struct create_request request = request_for(name);
	struct create_reply reply = create(&request, &init_fd);
	check(reply.error == E_NONE && reply.layers == LAYERS_ALL, "create %s: %s %s", name, warden_error_names[reply.error], reply.detail);
	if (reply.error != E_NONE)
		die("driver: cannot go on");
	return init_fd;
}

static void send_op(uint32_t op, const char *name, uint32_t reason)
{
	struct op_request request = { .seq = next_seq++, .op = op, .reason = reason };
	snprintf(request.name, sizeof(request.name), "%s", name);
	if (send_packet(config->zygote_fd, &request, sizeof(request), NULL, 0) != 0)
		die_errno("driver: cannot send an op_request");
}

/* The reply to the operation; a death on the way is counted. */
static struct op_reply operate(uint32_t op, const char *name, uint32_t reason, struct died_notice *died)
{
	send_op(op, name, reason);
	for (;;) {
		union answer answer;
		next_answer(&answer, NULL);
		if (answer.kind == FROM_OP_REPLY)
			return answer.op;
		if (answer.kind == FROM_DIED && died != NULL)
			*died = answer.died;
	}
}

static struct died_notice next_death(void)
{
	union answer answer;
	next_answer(&answer, NULL);
	if (answer.kind != FROM_DIED)
		die("driver: answer of kind %u, not a death", answer.kind);
	return answer.died;
}

struct outcome {
	struct init_message started, exited;
	char output[OUTPUT_SIZE];
	size_t output_size;
};

static int make_blob(const char *const argv[], uint32_t *argc, uint32_t *size)
{
	static const char environment[] = "PATH=/usr/local/bin:/usr/bin:/bin";
	int fd = memfd_create("blob", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		die_errno("driver: memfd");
	*size = 0;
	for (*argc = 0; argv[*argc] != NULL; (*argc)++) {
		size_t length = strlen(argv[*argc]) + 1;
		if (write(fd, argv[*argc], length) != (ssize_t)length)
			die_errno("driver: memfd");
		*size += (uint32_t)length;
	}
	if (write(fd, environment, sizeof(environment)) != (ssize_t)sizeof(environment) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) != 0)
		die_errno("driver: memfd");
	*size += (uint32_t)sizeof(environment);
	return fd;
}

/* Sends the exec; returns the read end of its output. */
static int send_exec(int init_fd, uint32_t exec_id, uint32_t kind, const char *const argv[], const char *cwd)
{
	int output[2];
	struct exec_request request = { .kind = TO_INIT_EXEC, .exec_id = exec_id, .exec_kind = kind, .envc = 1 };
	snprintf(request.cwd, sizeof(request.cwd), "%s", cwd);
	int blob = make_blob(argv, &request.argc, &request.blob_size);
	if (pipe2(output, O_CLOEXEC) != 0 || fchmod(output[1], 0666) != 0)
		die_errno("driver: pipe");
	int fds[4] = { blob, output[0], output[1], output[1] };
	if (send_packet(init_fd, &request, sizeof(request), fds, 4) != 0)
		die_errno("driver: cannot send an exec_request");
	close(blob);
	close(output[1]);
	return output[0];
}

static void run(int init_fd, uint32_t kind, const char *const argv[], struct outcome *outcome)
{
	static uint32_t exec_id = 100;
	int output_fd = send_exec(init_fd, ++exec_id, kind, argv, "/tmp");
	memset(&outcome->started, 0, sizeof(outcome->started));
	memset(&outcome->exited, 0, sizeof(outcome->exited));
	outcome->output_size = 0;
	wait_readable(init_fd, "started");
	if (receive_packet(init_fd, &outcome->started, sizeof(outcome->started), NULL, 0, NULL) != (ssize_t)sizeof(outcome->started))
		die("driver: the init is gone");
	while (outcome->output_size < OUTPUT_SIZE - 1) {
		wait_readable(output_fd, "output");
		ssize_t count = read(output_fd, outcome->output + outcome->output_size, OUTPUT_SIZE - 1 - outcome->output_size);
		if (count <= 0)
			break;
		outcome->output_size += (size_t)count;
	}
	outcome->output[outcome->output_size] = '\0';
	close(output_fd);
	if (outcome->started.error != E_NONE)
		return;
	wait_readable(init_fd, "exited");
	if (receive_packet(init_fd, &outcome->exited, sizeof(outcome->exited), NULL, 0, NULL) != (ssize_t)sizeof(outcome->exited))
		die("driver: the init is gone");
}

static struct outcome outcome;

static void shell(int init_fd, const char *script)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	run(init_fd, EXEC_COMMAND, argv, &outcome);
}

static void expect(int init_fd, const char *script, const char *wanted)
{
	shell(init_fd, script);
	check(outcome.started.error == E_NONE && strcmp(outcome.output, wanted) == 0, "`%s` printed \"%s\", not \"%s\" (%s)", script,
	      outcome.output, wanted, outcome.started.detail);
}

static void destroy_ok(const char *name)
{
	struct op_reply reply = operate(OP_DESTROY, name, 0, NULL);
	check(reply.error == E_NONE && reply.values[0] == 0 && reply.values[1] == 0, "destroy %s: %s", name, reply.detail);
}

/* COHORT_DRIVER=shell:SCRIPT runs one script and shows what it printed. */
static void scenario_shell(const char *script)
{
	int init_fd = -1;
	struct create_request request = request_for("shell-under-test");
	request.limits.memory_bytes = 1u << 30;
	request.limits.disk_bytes = 256u << 20;
	if (mount_source[0] != '\0') {
		request.mount_count = 1;
		request.mounts[0].mode = mount_source[0] == '+' ? MOUNT_RW : MOUNT_RO;
		snprintf(request.mounts[0].source, MOUNT_SOURCE_SIZE, "%s", mount_source + (mount_source[0] == '+'));
		snprintf(request.mounts[0].target, MOUNT_TARGET_SIZE, "granted");
	}
	struct create_reply reply = create(&request, &init_fd);
	if (reply.error != E_NONE) {
		check(false, "create: %s %s", warden_error_names[reply.error], reply.detail);
		return;
	}
	shell(init_fd, script);
	fprintf(stderr, "%s", outcome.output);
	if (outcome.started.error != E_NONE)
		fprintf(stderr, "not started: %s\n", outcome.started.detail);
	else
		fprintf(stderr, "wait status %#x\n", (unsigned int)outcome.exited.wait_status);
	destroy_ok("shell-under-test");
}

static void scenario_smoke(void)
{
	struct died_notice died = { 0 };
	struct op_reply reply;
	int init_fd = create_ok("brave-quiet-noether");
	expect(init_fd, "echo hello", "hello\n");
	expect(init_fd, "pwd; hostname; ls /sessions; id -un; echo ~", "/tmp\nbrave-quiet-noether\nbrave-quiet-noether\nchild\n~\n");
	expect(init_fd, "exec 2>&1; touch /usr/x /etc/x /dev/x /x; ls / | tr '\\n' ' '", "touch: cannot touch '/usr/x': Read-only file system\n"
	       "touch: cannot touch '/etc/x': Read-only file system\ntouch: cannot touch '/dev/x': Read-only file system\n"
	       "touch: cannot touch '/x': Read-only file system\nbin dev etc lib lib64 proc run sbin sessions tmp usr var ");
	expect(init_fd, "cd /sessions/*; mkdir a b; echo x > a/f; mv a/f b/f; cat b/f; mkfifo p; ls", "x\na\nb\nmnt\nout\np\n");
	expect(init_fd, "cat /etc/shadow /proc/kallsyms /proc/keys; mv /sessions/*/mnt /sessions/brave-quiet-noether/m2; ls -l /proc/self/fd | wc -l",
	       "cat: /etc/shadow: No such file or directory\nmv: cannot move '/sessions/brave-quiet-noether/mnt' to '/sessions/brave-quiet-noether/m2': "
	       "Device or resource busy\n5\n");
	expect(init_fd, "dd if=/dev/zero of=/tmp/big bs=1M count=99 2>&1 | grep -o 'No space.*'; rm /tmp/big; echo x >/dev/shm/x; cat /dev/shm/x",
	       "No space left on device\nx\n");
	expect(init_fd, "echo to-stderr > /dev/stderr", "to-stderr\n");
	shell(init_fd, "exit 7");
	check(WIFEXITED(outcome.exited.wait_status) && WEXITSTATUS(outcome.exited.wait_status) == 7, "exit 7: %d", outcome.exited.wait_status);
	const char *const absent[] = { "no-such-program", NULL };
	run(init_fd, EXEC_COMMAND, absent, &outcome);
	check(outcome.started.error == E_EXEC_FAILED && outcome.started.sys_errno == ENOENT, "absent program: %s", outcome.started.detail);
	shell(init_fd, "cd /sessions/*/out; echo one > 1; mkdir d; echo two > d/2; ln -s /etc/passwd l; sleep 100 >/dev/null 2>&1 &");
	const char *const collect[] = { "1000000", "100", NULL };
	run(init_fd, EXEC_COLLECT, collect, &outcome);
	check(outcome.started.error == E_NONE && outcome.output_size == 1 + 2 + 1 + 4 + 8 + 4 + 1 + 2 + 3 + 4 + 8 + 4 + 1 + 2 + 1 + 1 + 1,
	      "collect: %zu bytes, %s", outcome.output_size, outcome.started.detail);
	reply = operate(OP_STATS, "brave-quiet-noether", 0, NULL);
	check(reply.error == E_NONE && reply.values[0] > 0 && reply.values[2] == 1 && reply.values[3] > 0, "stats: %s", reply.detail);
	reply = operate(OP_PROBE, "brave-quiet-noether", 0, NULL);
	fprintf(stderr, "outside %#llx of %#x\n", (unsigned long long)reply.values[0], LAYERS_ALL);
	reply = operate(OP_FREEZE, "brave-quiet-noether", 0, NULL);
	check(reply.error == E_NONE, "freeze: %s", reply.detail);
	reply = operate(OP_THAW, "brave-quiet-noether", 0, NULL);
	check(reply.error == E_NONE, "thaw: %s", reply.detail);
	expect(init_fd, "echo after thaw", "after thaw\n");
	reply = operate(OP_KILL, "brave-quiet-noether", DEATH_LEASE, NULL);
	check(reply.error == E_NONE, "kill: %s", reply.detail);
	died = next_death();
	check(died.reason == DEATH_LEASE, "reason %u", died.reason);
	destroy_ok("brave-quiet-noether");
	destroy_ok("never-was");
	close(init_fd);
	struct create_request request = request_for("short-lived");
	request.timeout_ms = 50;
	check(create(&request, NULL).error == E_NONE, "create with a deadline");
	died = next_death();
	check(died.reason == DEATH_DEADLINE || died.reason == DEATH_ITSELF, "deadline: reason %u", died.reason);
}

/* An init that is told nonsense ends, and the zygote says so; so does one whose codec closes. */
static void scenario_hostile(void)
{
	static const char nonsense[] = "this is no packet that an init knows";
	int init_fd = create_ok("told-nonsense");
	check(send_packet(init_fd, nonsense, sizeof(nonsense), NULL, 0) == 0, "send nonsense");
	struct died_notice died = next_death();
	check(died.reason == DEATH_ITSELF && strcmp(died.name, "told-nonsense") == 0, "nonsense: reason %u of %s", died.reason, died.name);
	close(init_fd);
	init_fd = create_ok("left-alone");
	close(init_fd);
	died = next_death();
	check(died.reason == DEATH_ITSELF && strcmp(died.name, "left-alone") == 0, "closed: reason %u of %s", died.reason, died.name);
	init_fd = create_ok("attacked-init");
	expect(init_fd, "for s in 1 2 3 6 9 11 15 19 20; do kill -$s 1; done; echo sent", "sent\n");
	expect(init_fd, "echo alive", "alive\n");
	destroy_ok("attacked-init");
	struct create_request request = request_for("../escape");
	check(create(&request, NULL).error == E_NAME_INVALID, "a name with a path in it");
	request = request_for("twice");
	check(create(&request, &init_fd).error == E_NONE, "create once");
	check(create(&request, NULL).error == E_NAME_INVALID, "the same name twice");
	request = request_for("bad-target");
	request.mount_count = 1;
	snprintf(request.mounts[0].source, MOUNT_SOURCE_SIZE, "/usr");
	snprintf(request.mounts[0].target, MOUNT_TARGET_SIZE, "../up");
	check(create(&request, NULL).error == E_MOUNT_TARGET_INVALID, "a target with a path in it");
	/* The last word is left unread: an end with answers in the queue is still an orderly end. */
	send_op(OP_DESTROY, "never-was", 0);
	struct pollfd answered = { .fd = config->zygote_fd, .events = POLLIN };
	check(poll(&answered, 1, WAIT_MS_MAX) == 1, "the zygote answers");
}

static int compare(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
	return a < b ? -1 : a > b;
}

static void scenario_speed(unsigned int rounds)
{
	static uint64_t create_us[BULK_MAX], started_us[BULK_MAX], total_us[BULK_MAX], destroy_us[BULK_MAX];
	const char *const argv[] = { "/bin/true", NULL };
	for (unsigned int i = 0; i < rounds; i++) {
		char name[64];
		snprintf(name, sizeof(name), "speed-%u", i);
		uint64_t start = boot_us();
		int init_fd = create_ok(name);
		create_us[i] = boot_us() - start;
		struct init_message message;
		int output_fd = send_exec(init_fd, 1, EXEC_COMMAND, argv, "/");
		wait_readable(init_fd, "started");
		receive_packet(init_fd, &message, sizeof(message), NULL, 0, NULL);
		check(message.error == E_NONE, "exec: %s", message.detail);
		started_us[i] = boot_us() - start;
		wait_readable(init_fd, "exited");
		receive_packet(init_fd, &message, sizeof(message), NULL, 0, NULL);
		total_us[i] = boot_us() - start;
		close(output_fd);
		uint64_t before = boot_us();
		destroy_ok(name);
		destroy_us[i] = boot_us() - before;
		close(init_fd);
	}
	qsort(create_us, rounds, sizeof(uint64_t), compare);
	qsort(started_us, rounds, sizeof(uint64_t), compare);
	qsort(total_us, rounds, sizeof(uint64_t), compare);
	qsort(destroy_us, rounds, sizeof(uint64_t), compare);
	fprintf(stderr, "p50 µs: create %llu, to exec %llu, to exit %llu, destroy %llu; to exec p5 %llu, p95 %llu\n", (unsigned long long)create_us[rounds / 2],
		(unsigned long long)started_us[rounds / 2], (unsigned long long)total_us[rounds / 2], (unsigned long long)destroy_us[rounds / 2],
		(unsigned long long)started_us[rounds * 5 / 100], (unsigned long long)started_us[rounds * 95 / 100]);
}

static void scenario_bulk(unsigned int count)
{
	static int init_fds[BULK_MAX];
	uint64_t start = boot_us();
	for (unsigned int i = 0; i < count; i++) {
		char name[64];
		snprintf(name, sizeof(name), "bulk-%u", i);
		init_fds[i] = create_ok(name);
	}
	uint64_t created = boot_us();
	for (unsigned int i = 0; i < count; i++) {
		char name[64];
		snprintf(name, sizeof(name), "bulk-%u", i);
		send_op(OP_DESTROY, name, 0);
		/* Both directions stay within the socket's buffer. */
		if (i % 32 != 31 && i + 1 != count)
			continue;
		for (unsigned int answered = 0; answered < i % 32 + 1;) {
			union answer answer;
			next_answer(&answer, NULL);
			if (answer.kind != FROM_OP_REPLY)
				continue;
			check(answer.op.error == E_NONE, "destroy %s: %s", answer.op.name, answer.op.detail);
			answered++;
		}
	}
	for (unsigned int i = 0; i < count; i++)
		close(init_fds[i]);
	uint64_t end = boot_us();
	fprintf(stderr, "%u sandboxes: %llu µs each to create, %llu to destroy\n", count, (unsigned long long)((created - start) / count),
		(unsigned long long)((end - created) / count));
}

int codec_main(const struct codec_config *given)
{
	config = given;
	if (strncmp(scenario, "shell:", 6) == 0)
		scenario_shell(scenario + 6);
	else if (strncmp(scenario, "speed:", 6) == 0)
		scenario_speed((unsigned int)strtoul(scenario + 6, NULL, 10) % (BULK_MAX + 1));
	else if (strncmp(scenario, "bulk:", 5) == 0)
		scenario_bulk((unsigned int)strtoul(scenario + 5, NULL, 10) % (BULK_MAX + 1));
	else if (strcmp(scenario, "hold") == 0) {
		struct create_request request = request_for("held-open");
		int init_fd = -1;
		fprintf(stderr, "holding cohort.%.16s/s%u\n", config->warden_id, create(&request, &init_fd).uid);
		pause();
	} else if (strcmp(scenario, "hostile") == 0)
		scenario_hostile();
	else
		scenario_smoke();
	fprintf(stderr, "%u checks, %u failed\n", checks, failures);
	return failures == 0 ? 0 : 3;
}
