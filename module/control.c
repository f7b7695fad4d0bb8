/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The control socket.
 */
#include "secondary/control.h"

#include <assert.h>
#include <errno.h>
#include <libknot/libknot.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "secondary/control_commands.h"
#include "secondary/rcu.h"
#include "secondary/report.h"
#include "signals.h"

/*! Clients that wait to be accepted: knotc does not wait for room among them. */
#define BACKLOG 64
/*! Pause after accept failed (out of descriptors, mostly): clients wait in the backlog meanwhile. */
#define ACCEPT_PAUSE_MS 100

typedef struct client {
	struct client *next;
	control_client_t is;
} client_t;

static struct {
	struct sockaddr_un addr;
	int listener;
	int wake;                 /*!< eventfd: a client has gone, or all is to end. */
	pthread_t thread;
	pthread_mutex_t lock;     /*!< Of clients and their number. */
	pthread_cond_t gone;
	client_t *clients;
	unsigned count;
	unsigned waiting;         /*!< Clients in blocking mode. Atomic. */
	bool stopping;            /*!< Atomic. */
} control = { .lock = PTHREAD_MUTEX_INITIALIZER, .gone = PTHREAD_COND_INITIALIZER };

static bool is_stopping(void)
{
	return __atomic_load_n(&control.stopping, __ATOMIC_ACQUIRE);
}

static void wake(void)
{
	(void)!write(control.wake, &(uint64_t) { 1 }, sizeof(uint64_t));
}

/*! \name Clients */

static void clients_add(client_t *client)
{
	pthread_mutex_lock(&control.lock);
	client->next = control.clients;
	control.clients = client;
	control.count++;
	pthread_mutex_unlock(&control.lock);
}

/*! \param client  Taken. */
static void clients_remove(client_t *client)
{
	pthread_mutex_lock(&control.lock);
	client_t **link = &control.clients;
	while (*link != client) {
		link = &(*link)->next;
	}
	*link = client->next;
	close(client->is.stream.fd); /* Not before it is off the list: clients_drop() may use the number. */
	free(client);
	control.count--;
	wake();
	pthread_cond_signal(&control.gone);
	pthread_mutex_unlock(&control.lock);
}

static bool is_full(void)
{
	pthread_mutex_lock(&control.lock);
	const bool full = control.count == CONTROL_CLIENTS_MAX;
	pthread_mutex_unlock(&control.lock);
	return full;
}

/*! Ends the connections, which ends what their threads wait for, and waits for the threads. */
static void clients_drop(void)
{
	pthread_mutex_lock(&control.lock);
	for (const client_t *client = control.clients; client != NULL; client = client->next) {
		shutdown(client->is.stream.fd, SHUT_RDWR);
	}
	while (control.count > 0) {
		pthread_cond_wait(&control.gone, &control.lock);
	}
	pthread_mutex_unlock(&control.lock);
}

/*! Serves a client until it has finished, is too slow, or has gone. */
static void *client_main(void *arg)
{
	client_t *client = arg;
	rcu_register_thread();
	while (!is_stopping() && control_stream_receive(&client->is.stream) == KNOT_EOK &&
	       control_answer(&client->is) == KNOT_EOK) {
	}
	control_stream_clear(&client->is.stream);
	rcu_unregister_thread();
	clients_remove(client);
	return NULL;
}

static int thread_create(pthread_t *thread, void *(*run)(void *), void *arg, int state)
{
	pthread_attr_t attributes;
	if (pthread_attr_init(&attributes) != 0) {
		return KNOT_ENOMEM;
	}
	pthread_attr_setdetachstate(&attributes, state);
	int ret = pthread_create(thread, &attributes, run, arg);
	pthread_attr_destroy(&attributes);
	return ret == 0 ? KNOT_EOK : KNOT_EAGAIN;
}

static void client_begin(int fd)
{
	client_t *client = malloc(sizeof(*client));
	if (client == NULL) {
		close(fd);
		return;
	}
	control_stream_init(&client->is.stream, fd);
	client->is.stopping = &control.stopping;
	client->is.waiting = &control.waiting;
	clients_add(client);
	pthread_t thread;
	if (thread_create(&thread, client_main, client, PTHREAD_CREATE_DETACHED) != KNOT_EOK) {
		clients_remove(client);
	}
}

/*! \name The thread that accepts them */

static void drain_wake(void)
{
	uint64_t times;
	(void)!read(control.wake, &times, sizeof(times));
}

static void accept_one(void)
{
	int fd = accept4(control.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		client_begin(fd);
	} else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		nanosleep(&(struct timespec) { .tv_nsec = ACCEPT_PAUSE_MS * 1000000L }, NULL);
	}
}

static void *control_main(void *arg)
{
	(void)arg;
	while (!is_stopping()) {
		struct pollfd ready[] = {
			{ .fd = control.wake, .events = POLLIN },
			{ .fd = is_full() ? -1 : control.listener, .events = POLLIN },
		};
		(void)poll(ready, 2, -1);
		if (ready[0].revents != 0) {
			drain_wake();
		}
		if (ready[1].revents != 0) {
			accept_one();
		}
	}
	return NULL;
}

static int start_thread(void)
{
	sigset_t before;
	signals_block(&before);
	int ret = thread_create(&control.thread, control_main, NULL, PTHREAD_CREATE_JOINABLE);
	signals_restore(&before);
	return ret;
}

/*! \name Starting and stopping */

/*! A socket that a killed server has left; whatever else may stand there is left alone. */
static void remove_stale(const char *path)
{
	struct stat there;
	if (lstat(path, &there) == 0 && S_ISSOCK(there.st_mode)) {
		(void)unlink(path);
	}
}

/*! Does a server listen there? A second one that is started by mistake is told so by knotd only after modules were loaded. */
static bool is_served(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return false;
	}
	/* EAGAIN: its backlog is full. */
	const bool found = connect(fd, (const struct sockaddr *)&control.addr, sizeof(control.addr)) == 0 || errno == EAGAIN;
	close(fd);
	return found;
}

/*! Those may connect who may write: knotd's user and group, as with its own socket. Nobody can before it listens. */
static bool bind_listener(int fd)
{
	return bind(fd, (const struct sockaddr *)&control.addr, sizeof(control.addr)) == 0 &&
	       chmod(control.addr.sun_path, S_IWUSR | S_IWGRP) == 0 && listen(fd, BACKLOG) == 0;
}

static int open_listener(void)
{
	if (is_served()) {
		return KNOT_EBUSY;
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return knot_map_errno();
	}
	remove_stale(control.addr.sun_path);
	if (!bind_listener(fd)) {
		int ret = knot_map_errno();
		close(fd);
		return ret;
	}
	control.listener = fd;
	return KNOT_EOK;
}

static void close_listener(void)
{
	(void)unlink(control.addr.sun_path);
	close(control.listener);
}

static int launch(void)
{
	control.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (control.wake < 0) {
		return knot_map_errno();
	}
	control.stopping = false;
	int ret = open_listener();
	if (ret == KNOT_EOK && (ret = start_thread()) != KNOT_EOK) {
		close_listener();
	}
	if (ret != KNOT_EOK) {
		close(control.wake);
	}
	return ret;
}

int control_start(const char *path)
{
	assert(strlen(path) < sizeof(control.addr.sun_path));

	control.addr.sun_family = AF_UNIX;
	strcpy(control.addr.sun_path, path);
	int ret = launch();
	if (ret != KNOT_EOK) {
		report(NULL, LOG_WARNING, "control socket %s, failed (%s)", path, knot_strerror(ret));
		return ret;
	}
	report(NULL, LOG_INFO, "control socket %s", path);
	return KNOT_EOK;
}

void control_stop(void)
{
	__atomic_store_n(&control.stopping, true, __ATOMIC_RELEASE);
	wake();
	pthread_join(control.thread, NULL);
	clients_drop();
	close_listener();
	close(control.wake);
}
