/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief A steady load over UDP, and how long each answer took.
 *
 *     steady ADDRESS PORT RATE <questions     each line: CLASS NAME; asked for type A, RD=1, EDNS, RATE a second
 *
 * Prints when it began (nanoseconds of CLOCK_MONOTONIC), at once; and in the end a line for each question: CLASS, when it was sent and how
 * long the answer took (microseconds; -1: lost), RCODE, answers, and how late it was sent (microseconds).
 *
 * The load is open: what is slow holds up nothing that comes after it. Questions come from many ports in turns, as knotd spreads
 * ports over its workers. Answers that take longer than LOST_MS count as lost.
 *
 * A client on a machine of its own would neither wait for a processor that the server uses nor be woken late. So this one has
 * real-time priority, where that is permitted: else what it measures is in good part its own waiting.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <libknot/libknot.h>

#define SOCKETS       32
#define QUESTIONS_MAX 65536 /* Each has an id of its own. */
#define LOST_MS       3000

typedef struct {
	char class[16];
	char name[128];
	int64_t sent;             /* Nanoseconds since start. */
	int64_t late;             /* Behind its time. */
	int64_t took;             /* -1: no answer. */
	unsigned rcode, answers;
} question_t;

static question_t *question;
static unsigned count, answered;
static struct pollfd sock[SOCKETS];
static int64_t began;

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec - began;
}

/* Less than the kernel's own threads, more than anybody's else. */
static void come_first(void)
{
	const struct sched_param priority = { .sched_priority = 1 };
	if (sched_setscheduler(0, SCHED_FIFO, &priority) != 0) {
		perror("steady: no real-time priority, it waits for processors like others");
	}
	prctl(PR_SET_TIMERSLACK, 1); /* ns: questions leave when they are due */
}

static void fail(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static void read_questions(void)
{
	question = calloc(QUESTIONS_MAX, sizeof(*question));
	if (question == NULL) {
		fail("memory");
	}
	while (count < QUESTIONS_MAX && scanf("%15s %127s", question[count].class, question[count].name) == 2) {
		question[count++].took = -1;
	}
}

static void open_sockets(const char *address, const char *port)
{
	struct sockaddr_in remote = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
	if (inet_pton(AF_INET, address, &remote.sin_addr) != 1) {
		fail(address);
	}
	for (unsigned i = 0; i < SOCKETS; i++) {
		sock[i].fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		sock[i].events = POLLIN;
		if (sock[i].fd < 0 || connect(sock[i].fd, (struct sockaddr *)&remote, sizeof(remote)) != 0) {
			fail("socket");
		}
	}
}

static void ask(unsigned number)
{
	uint8_t wire[512] = { 0 };
	knot_wire_set_id(wire, number);
	knot_wire_set_rd(wire);
	knot_wire_set_qdcount(wire, 1);
	knot_wire_set_arcount(wire, 1);
	if (knot_dname_from_str(wire + KNOT_WIRE_HEADER_SIZE, question[number].name, KNOT_DNAME_MAXLEN) == NULL) {
		fail(question[number].name);
	}
	uint8_t *at = wire + KNOT_WIRE_HEADER_SIZE + knot_dname_size(wire + KNOT_WIRE_HEADER_SIZE);
	memcpy(at, "\0\1\0\1" "\0\0\51\4\320\0\0\0\0\0\0", 15); /* A IN; OPT, 1232 octets */
	question[number].sent = now_ns();
	(void)send(sock[number % SOCKETS].fd, wire, at + 15 - wire, 0);
}

static void take_answers(int fd)
{
	uint8_t wire[4096];
	ssize_t size;
	while ((size = recv(fd, wire, sizeof(wire), 0)) >= KNOT_WIRE_HEADER_SIZE) {
		question_t *about = &question[knot_wire_get_id(wire)];
		if (about->took < 0) {
			about->took = now_ns() - about->sent;
			about->rcode = knot_wire_get_rcode(wire);
			about->answers = knot_wire_get_ancount(wire);
			answered++;
		}
	}
}

/* Takes answers until that time, or until all are there. */
static void take_until(int64_t deadline)
{
	for (int64_t left = deadline - now_ns(); left > 0 && answered < count; left = deadline - now_ns()) {
		const struct timespec pause = { .tv_sec = left / 1000000000, .tv_nsec = left % 1000000000 };
		if (ppoll(sock, SOCKETS, &pause, NULL) <= 0) {
			continue;
		}
		for (unsigned i = 0; i < SOCKETS; i++) {
			if (sock[i].revents != 0) {
				take_answers(sock[i].fd);
			}
		}
	}
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: steady ADDRESS PORT RATE <questions\n");
		return EXIT_FAILURE;
	}
	read_questions();
	open_sockets(argv[1], argv[2]);
	const int64_t step = INT64_C(1000000000) / atoi(argv[3]);
	come_first();
	began = now_ns();
	printf("%lld\n", (long long)began);
	fflush(stdout);
	for (unsigned i = 0; i < count; i++) {
		take_until(i * step);
		ask(i);
		question[i].late = question[i].sent - i * step;
	}
	take_until(now_ns() + LOST_MS * INT64_C(1000000));
	for (unsigned i = 0; i < count; i++) {
		printf("%s %lld %lld %u %u %lld\n", question[i].class, (long long)question[i].sent / 1000,
		       question[i].took < 0 ? -1LL : (long long)question[i].took / 1000, question[i].rcode, question[i].answers,
		       (long long)question[i].late / 1000);
	}
	return EXIT_SUCCESS;
}
