/* Preloaded into the agent: stands between it and bpf(BPF_PROG_LOAD).
 *
 * VERIFIER_LOG=FILE   the verifier's statistics on each program that is loaded are appended to FILE:
 *                     a line "program NAME", lines "call FROM TO" with the numbers of functions (0 is the program
 *                     itself, the others follow in the order of the kernel's "stack depth"), then the kernel's own lines.
 * VERIFIER_REFUSE=NAME  the first instruction of the programs of that name (the kernel's 15 characters) is replaced by
 *                     one that reads above the stack, so that the kernel's own verifier refuses them.
 *
 * Nothing else is changed, and no other system call is touched.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

enum { LOG_SIZE = 1 << 16 };

typedef long (*syscall_t)(long, ...);

static void refuse(union bpf_attr *attr, struct bpf_insn **copy)
{
	size_t size = attr->insn_cnt * sizeof(struct bpf_insn);
	struct bpf_insn above_the_stack = {
		.code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_0, .src_reg = BPF_REG_10, .off = 8,
	};
	*copy = malloc(size);
	if (!*copy)
		abort();
	memcpy(*copy, (void *)(unsigned long)attr->insns, size);
	(*copy)[0] = above_the_stack;
	attr->insns = (unsigned long)*copy;
}

/* The instructions as the kernel runs them: it leaves out what it found can never be reached, whole functions too. */
static struct bpf_insn *translated(syscall_t real, int program, unsigned int *count)
{
	struct bpf_prog_info info = { 0 };
	union bpf_attr attr = { .info = { .bpf_fd = program, .info_len = sizeof(info) } };
	struct bpf_insn *insns;
	unsigned int size;

	attr.info.info = (unsigned long)&info;
	if (real(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr.info)) < 0)
		abort();
	size = info.xlated_prog_len;
	insns = malloc(size);
	memset(&info, 0, sizeof(info));
	info.xlated_prog_insns = (unsigned long)insns;
	info.xlated_prog_len = size;
	attr.info.info_len = sizeof(info);
	if (!insns || real(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr.info)) < 0)
		abort();
	*count = size / sizeof(*insns);
	return insns;
}

/* Which instruction a call of a function goes to; the call's own number if it is none. */
static unsigned int target(const struct bpf_insn *insns, unsigned int at)
{
	/* Of a translated call the distance is in `off`, and in `imm` the number of the function. */
	if (insns[at].code == (BPF_JMP | BPF_CALL) && insns[at].src_reg == BPF_PSEUDO_CALL)
		return at + insns[at].off + 1;
	return at;
}

static unsigned int function_at(const char *begins, unsigned int at)
{
	unsigned int number = 0;

	for (unsigned int i = 1; i <= at; i++)
		number += begins[i];
	return number;
}

static void write_down(syscall_t real, const char *file, const union bpf_attr *attr, const char *log, int program)
{
	unsigned int count;
	struct bpf_insn *insns = translated(real, program, &count);
	char *begins = calloc(1, count + 1);
	FILE *out = fopen(file, "a");

	if (!out || !begins)
		abort();
	fprintf(out, "program %s\n", attr->prog_name);
	for (unsigned int i = 0; i < count; i++)
		if (target(insns, i) != i)
			begins[target(insns, i)] = 1;
	for (unsigned int i = 0; i < count; i++)
		if (target(insns, i) != i)
			fprintf(out, "call %u %u\n", function_at(begins, i),
				function_at(begins, target(insns, i)));
	fputs(log, out);
	fclose(out);
	free(begins);
	free(insns);
}

static long load(syscall_t real, union bpf_attr *given, unsigned int size)
{
	const char *file = getenv("VERIFIER_LOG"), *refused = getenv("VERIFIER_REFUSE");
	/* The caller's structure may be of newer headers, and larger. */
	union {
		union bpf_attr attr;
		char room[512];
	} own = { .room = { 0 } };
	struct bpf_insn *copy = NULL;
	char *log = NULL;
	long result;

	if (size > sizeof(own))
		abort();
	memcpy(&own, given, size);
	if (refused && strncmp(refused, own.attr.prog_name, sizeof(own.attr.prog_name)) == 0)
		refuse(&own.attr, &copy);
	if (file && own.attr.log_level == 0) {
		log = calloc(1, LOG_SIZE);
		own.attr.log_level = 4; /* BPF_LOG_STATS */
		own.attr.log_size = LOG_SIZE;
		own.attr.log_buf = (unsigned long)log;
	}
	result = real(SYS_bpf, BPF_PROG_LOAD, &own, size);
	if (log && result >= 0)
		write_down(real, file, &own.attr, log, (int)result);
	free(log);
	free(copy);
	return result;
}

long syscall(long number, ...)
{
	static syscall_t real;
	unsigned long a[6];
	va_list arguments;

	if (!real)
		real = (syscall_t)dlsym(RTLD_NEXT, "syscall");
	va_start(arguments, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(arguments, unsigned long);
	va_end(arguments);
	if (number == SYS_bpf && a[0] == BPF_PROG_LOAD)
		return load(real, (union bpf_attr *)a[1], (unsigned int)a[2]);
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
