/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Memory that runs out when a test wants it to.
 *
 * Include it, and then the room under test as source: its allocations go through these functions.
 */
#pragma once

#include <stdlib.h>
#include <sys/mman.h>

/*! Allocations that still succeed; negative: all do. */
static long alloc_budget = -1;

static int alloc_fails(void)
{
	if (alloc_budget > 0) {
		alloc_budget--;
		return 0;
	}
	return alloc_budget == 0;
}

static void *failing_malloc(size_t size)
{
	return alloc_fails() ? NULL : malloc(size);
}

static void *failing_calloc(size_t count, size_t size)
{
	return alloc_fails() ? NULL : calloc(count, size);
}

static void *failing_realloc(void *old, size_t size)
{
	return alloc_fails() ? NULL : realloc(old, size);
}

static void *failing_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	return alloc_fails() ? MAP_FAILED : mmap(addr, size, prot, flags, fd, offset);
}

#define malloc  failing_malloc
#define calloc  failing_calloc
#define realloc failing_realloc
#define mmap    failing_mmap
