/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Fuzzes what the door reads out of NOTIFY and IXFR requests (packet.h), behind libknot's parser as in knotd.
 *
 * A serial is told only where the first record of the section is the SOA of the name asked for.
 */
#include <assert.h>
#include <libknot/libknot.h>
#include <stdlib.h>
#include <string.h>

#include "../module/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_serial(const knot_pkt_t *query, knot_section_t section)
{
	uint32_t serial = 0;
	if (!packet_serial(query, section, &serial)) {
		return;
	}
	const knot_rrset_t *soa = knot_pkt_rr(knot_pkt_section(query, section), 0);
	assert(soa->type == KNOT_RRTYPE_SOA && soa->rclass == KNOT_CLASS_IN && soa->rrs.count == 1);
	assert(knot_dname_is_equal(soa->owner, knot_pkt_qname(query)));
	assert(serial == knot_wire_read_u32(soa->rrs.rdata->data + soa->rrs.rdata->len - 20));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > UINT16_MAX) {
		return 0;
	}
	/* A copy that ends where the message ends: libknot changes the question's case, and a read beyond is seen. */
	uint8_t *wire = malloc(size > 0 ? size : 1);
	if (wire == NULL) {
		return 0;
	}
	memcpy(wire, data, size);
	knot_pkt_t *query = knot_pkt_new(wire, size, NULL);
	if (query != NULL && knot_pkt_parse(query, 0) == KNOT_EOK && knot_wire_get_qdcount(query->wire) == 1) {
		check_serial(query, KNOT_ANSWER);
		check_serial(query, KNOT_AUTHORITY);
	}
	knot_pkt_free(query);
	free(wire);
	return 0;
}
