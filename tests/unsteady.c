/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The world around a process, unsteady: a wall clock that jumps, calls that are interrupted or do less than asked, disks that fail.
 *
 * To be preloaded (LD_PRELOAD) into knotd with the module. The file that UNSTEADY names holds a control_t, through which a test changes
 * what happens while the process runs; tests/system/unsteady.py is the other end. Only calls of the module and of its libraries are
 * disturbed, and knotd's own on connections if the control says so: what it makes of others is its own affair.
 *
 * What the kernel never does is not done: a datagram is not cut, what goes between threads that take no signals is not interrupted (an eventfd,
 * libunbound's socket pairs), and EAGAIN comes only from a descriptor that does not block.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/*! Kinds of calls, as bits of control_t's mask and places of its counters. */
enum { KIND_READ, KIND_WRITE, KIND_CONNECT, KIND_ACCEPT, KIND_WAIT, KIND_DISK, KINDS };

/*! Whose calls are disturbed. */
enum { WHOSE_MODULE = 1, WHOSE_LIBRARY = 2, WHOSE_HOST = 4 };

typedef struct {
	int64_t ahead_s;          /*!< Seconds that the wall clock is ahead of the machine's. */
	uint64_t state;           /*!< Of the generator: the seed, and then one step a call. */
	uint32_t rate;            /*!< Of 65,536 calls so many are disturbed. */
	uint32_t mask;            /*!< Kinds of calls. */
	uint32_t whose;
	int32_t disk_error;       /*!< errno of each call that changes a file; 0: they succeed. */
	uint64_t disturbed[KINDS];
} control_t;

static control_t nothing;
static control_t *control = &nothing;

__attribute__((constructor)) static void control_open(void)
{
	const char *path = getenv("UNSTEADY");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0) {
		return;
	}
	void *shared = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (shared != MAP_FAILED) {
		control = shared;
	}
}

/*! \name The clock */

static int64_t ahead(void)
{
	return __atomic_load_n(&control->ahead_s, __ATOMIC_RELAXED);
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int done = syscall(SYS_clock_gettime, clock, ret);
	if (done == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
		ret->tv_sec += ahead();
	}
	return done;
}

time_t time(time_t *ret)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (ret != NULL) {
		*ret = now.tv_sec;
	}
	return now.tv_sec;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
	(void)zone;
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	*ret = (struct timeval) { .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
	return 0;
}

/*! \name Chance */

/*! SplitMix64. */
static uint64_t chance(void)
{
	uint64_t z = __atomic_add_fetch(&control->state, 0x9E3779B97F4A7C15u, __ATOMIC_RELAXED);
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

/*! Whose code it is at this address; libraries that work for the module alone. */
static unsigned whose_is(void *caller)
{
	static const char *const libraries[] = { "/libuv.so", "/libunbound.so", "/libevent" };
	struct dl_find_object found;
	if (_dl_find_object(caller, &found) != 0) {
		return WHOSE_HOST;
	}
	const char *name = found.dlfo_link_map->l_name;
	if (strstr(name, "/secondary.so") != NULL) {
		return WHOSE_MODULE;
	}
	for (unsigned i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++) {
		if (strstr(name, libraries[i]) != NULL) {
			return WHOSE_LIBRARY;
		}
	}
	return WHOSE_HOST;
}

static bool is_disturbed(unsigned whose)
{
	return whose & __atomic_load_n(&control->whose, __ATOMIC_RELAXED);
}

/*! \param ret_value  Random, for those that are disturbed. */
static bool strikes(unsigned kind, void *caller, uint64_t *ret_value)
{
	const uint32_t rate = __atomic_load_n(&control->rate, __ATOMIC_RELAXED);
	if (rate == 0 || !(__atomic_load_n(&control->mask, __ATOMIC_RELAXED) & 1u << kind)) {
		return false;
	}
	const uint64_t value = chance();
	if ((value & 0xFFFF) >= rate || !is_disturbed(whose_is(caller))) {
		return false;
	}
	*ret_value = value >> 16;
	return true;
}

static int fails(unsigned kind, int error)
{
	__atomic_add_fetch(&control->disturbed[kind], 1, __ATOMIC_RELAXED);
	errno = error;
	return -1;
}

/*! What kind of descriptor it is. */
typedef struct {
	bool is_known;            /*!< A connection, datagrams, or a file of the module's; else it is left alone. */
	bool is_stream;           /*!< Octets have no borders: some may come sooner than others. */
	bool may_be_busy;         /*!< EAGAIN may come. */
} nature_t;

static int socket_option(int fd, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);
	getsockopt(fd, SOL_SOCKET, option, &value, &len);
	return value;
}

static nature_t nature_of(int fd, unsigned whose)
{
	const int error = errno;
	struct stat st = { 0 };
	nature_t nature = { 0 };
	(void)fstat(fd, &st);
	if (S_ISREG(st.st_mode)) {
		nature = (nature_t) { .is_known = whose != WHOSE_HOST, .is_stream = true };
	} else if (S_ISSOCK(st.st_mode)) {
		const bool is_stream = socket_option(fd, SO_TYPE) == SOCK_STREAM;
		nature = (nature_t) {
			.is_known = whose == WHOSE_MODULE || (socket_option(fd, SO_DOMAIN) != AF_UNIX && (is_stream || whose != WHOSE_HOST)),
			.is_stream = is_stream,
			.may_be_busy = fcntl(fd, F_GETFL) & O_NONBLOCK,
		};
	}
	errno = error;
	return nature;
}

/*!
 * Judges a call that moves \a size octets.
 *
 * \return -1: it fails, errno is set; else the octets that it is to move.
 */
static ssize_t judge(unsigned kind, int fd, size_t size, int flags, void *caller)
{
	uint64_t value;
	if (!strikes(kind, caller, &value)) {
		return size;
	}
	const nature_t nature = nature_of(fd, whose_is(caller));
	if (!nature.is_known) {
		return size;
	}
	switch (value % 3) {
	case 0:
		return fails(kind, EINTR);
	case 1:
		if (nature.may_be_busy || (flags & MSG_DONTWAIT)) {
			return fails(kind, EAGAIN);
		}
		/* Fall through. */
	default:
		if (!nature.is_stream || size < 2) {
			return size;
		}
		__atomic_add_fetch(&control->disturbed[kind], 1, __ATOMIC_RELAXED);
		return 1 + (value >> 8) % (size - 1);
	}
}

/*! \brief Shortens a vector to \a size octets of it; returns its parts. */
static int iov_cut(struct iovec *to, const struct iovec *from, int count, size_t size)
{
	int used = 0;
	for (; used < count && size > 0; used++) {
		to[used] = from[used];
		if (to[used].iov_len > size) {
			to[used].iov_len = size;
		}
		size -= to[used].iov_len;
	}
	return used;
}

static size_t iov_size(const struct iovec *iov, int count)
{
	size_t size = 0;
	for (int i = 0; i < count; i++) {
		size += iov[i].iov_len;
	}
	return size;
}

/*! Of longer vectors the rest is not moved, which is what a disturbed call may do. */
#define PARTS_MAX 64

#define CALLER __builtin_return_address(0)

/*! The function of that name that comes behind this one: libc's, or a sanitizer's. */
#define NEXT(name) ({ \
	static __typeof__(&name) next; \
	if (next == NULL) { \
		next = (__typeof__(&name))dlsym(RTLD_NEXT, #name); \
	} \
	next; \
})

/*! \name Reading */

ssize_t read(int fd, void *buf, size_t size)
{
	const ssize_t now = judge(KIND_READ, fd, size, 0, CALLER);
	return now < 0 ? -1 : NEXT(read)(fd, buf, now);
}

ssize_t recv(int fd, void *buf, size_t size, int flags)
{
	const ssize_t now = judge(KIND_READ, fd, size, flags, CALLER);
	return now < 0 ? -1 : NEXT(recv)(fd, buf, now, flags);
}

ssize_t recvfrom(int fd, void *restrict buf, size_t size, int flags, struct sockaddr *restrict from, socklen_t *restrict len)
{
	const ssize_t now = judge(KIND_READ, fd, size, flags, CALLER);
	return now < 0 ? -1 : NEXT(recvfrom)(fd, buf, now, flags, from, len);
}

ssize_t readv(int fd, const struct iovec *iov, int count)
{
	const size_t size = iov_size(iov, count);
	const ssize_t now = judge(KIND_READ, fd, size, 0, CALLER);
	struct iovec part[PARTS_MAX];
	if (now < 0) {
		return -1;
	}
	if ((size_t)now == size) {
		return NEXT(readv)(fd, iov, count);
	}
	return NEXT(readv)(fd, part, iov_cut(part, iov, count < PARTS_MAX ? count : PARTS_MAX, now));
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	const size_t size = iov_size(msg->msg_iov, msg->msg_iovlen);
	const ssize_t now = judge(KIND_READ, fd, size, flags, CALLER);
	if (now < 0) {
		return -1;
	}
	if ((size_t)now == size || msg->msg_iovlen > PARTS_MAX) {
		return NEXT(recvmsg)(fd, msg, flags);
	}
	struct iovec part[PARTS_MAX], *whole = msg->msg_iov;
	const size_t parts = msg->msg_iovlen;
	msg->msg_iovlen = iov_cut(part, whole, parts, now);
	msg->msg_iov = part;
	const ssize_t done = NEXT(recvmsg)(fd, msg, flags);
	msg->msg_iov = whole;
	msg->msg_iovlen = parts;
	return done;
}

/*! \name Writing */

ssize_t write(int fd, const void *buf, size_t size)
{
	const ssize_t now = judge(KIND_WRITE, fd, size, 0, CALLER);
	return now < 0 ? -1 : NEXT(write)(fd, buf, now);
}

ssize_t send(int fd, const void *buf, size_t size, int flags)
{
	const ssize_t now = judge(KIND_WRITE, fd, size, flags, CALLER);
	return now < 0 ? -1 : NEXT(send)(fd, buf, now, flags);
}

ssize_t sendto(int fd, const void *buf, size_t size, int flags, const struct sockaddr *to, socklen_t len)
{
	const ssize_t now = judge(KIND_WRITE, fd, size, flags, CALLER);
	return now < 0 ? -1 : NEXT(sendto)(fd, buf, now, flags, to, len);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	const size_t size = iov_size(iov, count);
	const ssize_t now = judge(KIND_WRITE, fd, size, 0, CALLER);
	struct iovec part[PARTS_MAX];
	if (now < 0) {
		return -1;
	}
	if ((size_t)now == size) {
		return NEXT(writev)(fd, iov, count);
	}
	return NEXT(writev)(fd, part, iov_cut(part, iov, count < PARTS_MAX ? count : PARTS_MAX, now));
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	const size_t size = iov_size(msg->msg_iov, msg->msg_iovlen);
	const ssize_t now = judge(KIND_WRITE, fd, size, flags, CALLER);
	if (now < 0) {
		return -1;
	}
	if ((size_t)now == size || msg->msg_iovlen > PARTS_MAX) {
		return NEXT(sendmsg)(fd, msg, flags);
	}
	struct iovec part[PARTS_MAX];
	struct msghdr shorter = *msg;
	shorter.msg_iovlen = iov_cut(part, msg->msg_iov, msg->msg_iovlen, now);
	shorter.msg_iov = part;
	return NEXT(sendmsg)(fd, &shorter, flags);
}

/*! \name Connections, and waiting */

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
	uint64_t value;
	if (strikes(KIND_CONNECT, CALLER, &value)) {
		return fails(KIND_CONNECT, EINTR);
	}
	return NEXT(connect)(fd, to, len);
}

int accept4(int fd, struct sockaddr *restrict from, socklen_t *restrict len, int flags)
{
	static const int errors[] = { EINTR, EAGAIN, ECONNABORTED };
	uint64_t value;
	if (strikes(KIND_ACCEPT, CALLER, &value)) {
		return fails(KIND_ACCEPT, errors[value % 3]);
	}
	return NEXT(accept4)(fd, from, len, flags);
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
	uint64_t value;
	if (strikes(KIND_WAIT, CALLER, &value)) {
		return fails(KIND_WAIT, EINTR);
	}
	return NEXT(poll)(fds, count, timeout);
}

int epoll_wait(int fd, struct epoll_event *events, int count, int timeout)
{
	uint64_t value;
	if (strikes(KIND_WAIT, CALLER, &value)) {
		return fails(KIND_WAIT, EINTR);
	}
	return NEXT(epoll_wait)(fd, events, count, timeout);
}

int epoll_pwait(int fd, struct epoll_event *events, int count, int timeout, const sigset_t *signals)
{
	uint64_t value;
	if (strikes(KIND_WAIT, CALLER, &value)) {
		return fails(KIND_WAIT, EINTR);
	}
	return NEXT(epoll_pwait)(fd, events, count, timeout, signals);
}

/*! \name Disks */

/*! \return The disk is to fail: errno is set. */
static bool disk_fails(void *caller)
{
	const int error = __atomic_load_n(&control->disk_error, __ATOMIC_RELAXED);
	return error != 0 && is_disturbed(whose_is(caller)) && fails(KIND_DISK, error) != 0;
}

ssize_t pwrite64(int fd, const void *buf, size_t size, off64_t at)
{
	if (disk_fails(CALLER)) {
		return -1;
	}
	const ssize_t now = judge(KIND_WRITE, fd, size, 0, CALLER);
	return now < 0 ? -1 : NEXT(pwrite64)(fd, buf, now, at);
}

int fdatasync(int fd)
{
	return disk_fails(CALLER) ? -1 : NEXT(fdatasync)(fd);
}

int fsync(int fd)
{
	return disk_fails(CALLER) ? -1 : NEXT(fsync)(fd);
}

int ftruncate64(int fd, off64_t size)
{
	return disk_fails(CALLER) ? -1 : NEXT(ftruncate64)(fd, size);
}

int renameat(int from, const char *name, int to, const char *other)
{
	return disk_fails(CALLER) ? -1 : NEXT(renameat)(from, name, to, other);
}
