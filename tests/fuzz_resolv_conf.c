/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Fuzzes resolv_conf.h: any text; each server found is an address.
 */
#include <assert.h>
#include <stdint.h>

#include "secondary/resolv_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sockaddr_storage servers[4];
	const unsigned count = resolv_conf_parse((const char *)data, size, servers, 4);
	assert(count <= 4);
	for (unsigned i = 0; i < count; i++) {
		assert(servers[i].ss_family == AF_INET || servers[i].ss_family == AF_INET6);
	}
	return 0;
}
