/* Preloaded into the agent: stands between it and bpf(BPF_PROG_LOAD).
 *
 * VERIFIER_LOG=FILE   the verifier's statistics on each program that is loaded are appended to FILE:
 *                     a line "program NAME", then the kernel's own lines.
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

static void write_down(const char *file, const char *name, const char *log)
{
	FILE *out = fopen(file, "a");
	if (!out)
		abort();
	fprintf(out, "program %s\n%s", name, log);
	fclose(out);
}

static long load(syscall_t real, union bpf_attr *given, unsigned int size)
{
	const char *file = getenv("VERIFIER_LOG"), *refused = getenv("VERIFIER_REFUSE");
	union bpf_attr attr = { 0 };
	struct bpf_insn *copy = NULL;
	char *log = NULL;
	long result;

	memcpy(&attr, given, size < sizeof(attr) ? size : sizeof(attr));
	if (refused && strncmp(refused, attr.prog_name, sizeof(attr.prog_name)) == 0)
		refuse(&attr, &copy);
	if (file && attr.log_level == 0) {
		log = calloc(1, LOG_SIZE);
		attr.log_level = 4; /* BPF_LOG_STATS */
		attr.log_size = LOG_SIZE;
		attr.log_buf = (unsigned long)log;
	}
	result = real(SYS_bpf, BPF_PROG_LOAD, &attr, size);
	if (log && result >= 0)
		write_down(file, attr.prog_name, log);
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
