/*
 * Preloaded into linux.uml (user-mode Linux 6.1, x86-64, dynamically linked).
 * Three defects make it useless as a test machine on present hosts; each has
 * its part here.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif

#define OLD_SETOPTIONS 21 /* PTRACE_OLDSETOPTIONS, the name that UML knows it by */
#define XSTATE_MAX (64 * 1024)

typedef long ptrace_function(int request, ...);

static long real_ptrace(int request, pid_t pid, void *addr, void *data)
{
	static ptrace_function *next;

	if (next == NULL)
		next = (ptrace_function *)dlsym(RTLD_NEXT, "ptrace");
	return next(request, pid, addr, data);
}

/*
 * Part 1: registers of hosts with AMX.
 *
 * UML reads and writes a process's extended registers with a buffer of 2,696
 * bytes. A CPU with AMX has 11,008: reading stops short, which the kernel
 * allows, but writing back that beginning alone is refused (EINVAL), and UML
 * panics. So both go through a buffer of our own that holds them all: what UML
 * doesn't know stays as it was. On a CPU with fewer registers than UML has room
 * for nothing changes. Only the thread that traces calls this.
 */
static char xstate[XSTATE_MAX];

static size_t shorter(size_t a, size_t b)
{
	return a < b ? a : b;
}

static long get_xstate(pid_t pid, struct iovec *want)
{
	struct iovec all = {.iov_base = xstate, .iov_len = sizeof(xstate)};

	if (real_ptrace(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &all) != 0)
		return -1;
	want->iov_len = shorter(want->iov_len, all.iov_len);
	memcpy(want->iov_base, xstate, want->iov_len);
	return 0;
}

static long set_xstate(pid_t pid, const struct iovec *have)
{
	struct iovec all = {.iov_base = xstate, .iov_len = sizeof(xstate)};

	if (real_ptrace(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &all) != 0)
		return -1;
	memcpy(xstate, have->iov_base, shorter(have->iov_len, all.iov_len));
	return real_ptrace(PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE, &all);
}

/*
 * Part 2: no escape.
 *
 * A guest's process is a process of the host whose system calls UML intercepts
 * by ptrace. When linux.uml is killed, the kernel detaches what it traced, and
 * the guest's programs run on natively, as root, on the host. With
 * PTRACE_O_EXITKILL they die with it.
 */
long ptrace(enum __ptrace_request request, ...)
{
	va_list arguments;
	pid_t pid;
	void *addr, *data;

	va_start(arguments, request);
	pid = va_arg(arguments, pid_t);
	addr = va_arg(arguments, void *);
	data = va_arg(arguments, void *);
	va_end(arguments);

	switch ((int)request) {
	case PTRACE_GETREGSET:
		if ((long)addr == NT_X86_XSTATE)
			return get_xstate(pid, data);
		break;
	case PTRACE_SETREGSET:
		if ((long)addr == NT_X86_XSTATE)
			return set_xstate(pid, data);
		break;
	case PTRACE_SETOPTIONS:
	case OLD_SETOPTIONS:
		data = (void *)((long)data | PTRACE_O_EXITKILL);
		break;
	}
	return real_ptrace(request, pid, addr, data);
}

/*
 * Part 3: no lost wake-up.
 *
 * The idle loop looks whether there is work, then sleeps in sigsuspend(). A
 * SIGIO between the two only leaves a note, and the packet that it announced
 * waits for the next timer: seconds, in an idle guest. But UML takes events from
 * its one epoll descriptor only once it handles them, so whatever is waiting
 * can be seen there: sleep with ppoll() on it, under the same mask. What came
 * without a SIGIO, such as room in the console's pipe, gets one: else it would
 * stay there, and an idle guest would never sleep again.
 */
static int events = -1;

int epoll_create(int size)
{
	(void)size;
	events = epoll_create1(0);
	return events;
}

int sigsuspend(const sigset_t *mask)
{
	struct pollfd waiting = {.fd = events, .events = POLLIN};

	if (ppoll(&waiting, 1, NULL, mask) > 0)
		raise(SIGIO);
	errno = EINTR; /* the only way sigsuspend() ever returns */
	return -1;
}
