/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Preloaded into a server: tells whoever connects to the socket $HEAP_SOCKET how many octets are allocated.
 *
 * A sanitizer keeps freed memory back, so the size of the process tells little. Its allocator knows what is in use, and glibc's
 * does where there is none.
 */
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t allocated(void)
{
	if (__sanitizer_get_current_allocated_bytes != NULL) {
		return __sanitizer_get_current_allocated_bytes();
	}
	const struct mallinfo2 info = mallinfo2();
	return info.uordblks + info.hblkhd;
}

static int listener = -1;
static pthread_t thread;

static void *serve(void *unused)
{
	(void)unused;
	int client;
	while ((client = accept(listener, NULL, NULL)) >= 0) {
		dprintf(client, "%zu\n", allocated());
		close(client);
	}
	return NULL;
}

static int listener_open(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unlink(path);
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 8) != 0) {
		perror("HEAP_SOCKET");
		abort();
	}
	return fd;
}

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv("HEAP_SOCKET");
	if (path == NULL) {
		return;
	}
	listener = listener_open(path);

	/* Signals are the server's. */
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&thread, NULL, serve, NULL) != 0) {
		abort();
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* Comes before the search for leaks, which wants to be alone. */
__attribute__((destructor)) static void stop(void)
{
	if (listener >= 0) {
		shutdown(listener, SHUT_RDWR);
		pthread_join(thread, NULL);
		close(listener);
	}
}
