/*
 * A kernel on a host with AMX, as far as ptrace() is concerned: the registers
 * have 11,008 bytes, may be read in part, and must be written whole. For the
 * test of shim.c, preloaded behind it.
 */
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#define REGISTERS 11008

static unsigned char registers[REGISTERS];

long ptrace(enum __ptrace_request request, ...)
{
	va_list arguments;
	struct iovec *part;
	void *data;

	va_start(arguments, request);
	(void)va_arg(arguments, pid_t);
	(void)va_arg(arguments, void *);
	data = va_arg(arguments, void *);
	va_end(arguments);

	part = data;
	switch ((int)request) {
	case PTRACE_GETREGSET:
		if (part->iov_len > REGISTERS)
			part->iov_len = REGISTERS;
		memcpy(part->iov_base, registers, part->iov_len);
		return 0;
	case PTRACE_SETREGSET:
		if (part->iov_len < REGISTERS) {
			errno = EINVAL;
			return -1;
		}
		memcpy(registers, part->iov_base, REGISTERS);
		return 0;
	case PTRACE_SETOPTIONS:
	case 21: /* PTRACE_OLDSETOPTIONS */
		printf("options %#lx\n", (long)data);
		return 0;
	}
	return 0;
}
