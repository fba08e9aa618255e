/* What user-mode Linux does with ptrace(), in short. For the test of shim.c. */
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#define NT_X86_XSTATE ((void *)0x202)
#define ROOM 2696

int main(void)
{
	static unsigned char buffer[ROOM], whole[16384];
	struct iovec part = {.iov_base = buffer, .iov_len = ROOM};
	struct iovec all = {.iov_base = whole, .iov_len = sizeof(whole)};
	size_t i;

	memset(whole, 7, sizeof(whole));
	all.iov_len = 11008;
	printf("fill %ld\n", ptrace(PTRACE_SETREGSET, 1, NT_X86_XSTATE, &all));
	printf("get %ld", ptrace(PTRACE_GETREGSET, 1, NT_X86_XSTATE, &part));
	printf(" %zu bytes, the first %d\n", part.iov_len, buffer[0]);
	memset(buffer, 9, ROOM);
	printf("set %ld\n", ptrace(PTRACE_SETREGSET, 1, NT_X86_XSTATE, &part));
	all.iov_len = sizeof(whole);
	ptrace(PTRACE_GETREGSET, 1, NT_X86_XSTATE, &all);
	for (i = 0; i < all.iov_len && whole[i] == 9; i++)
		;
	printf("set %zu of %zu bytes, the next %d\n", i, all.iov_len, whole[i]);
	ptrace(PTRACE_SETOPTIONS, 1, NULL, (void *)1);
	return 0;
}
