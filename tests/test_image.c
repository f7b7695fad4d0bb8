/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Blocks that are not what they should be: each length is checked, and what all come to. (That whole ones come back: test_store.c.)
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

#include "secondary/image.h"
#include "support.h"

static const uint8_t example[] = "\7example";

static const char text[] =
	"@ SOA a. b. 1 2 3 4 5\n@ NS a.\n@ RRSIG SOA 13 1 5 20300101000000 20200101000000 1 @ AAAA\n"
	"name A 192.0.2.1\nname A 192.0.2.2\nname TXT \"t\"\n"
	"0p9mhaveqvm6t7vbl5lop2u3t2rp3tom NSEC3 1 0 0 - 0p9mhaveqvm6t7vbl5lop2u3t2rp3tom SOA\n";

/*! \brief The one block of the zone, and what it comes to. Own: buffer_clear(). */
static buffer_t make_block(image_sums_t *ret_sums)
{
	snapshot_t *snapshot = support_zone("example.", text);
	buffer_t block = { 0 };
	image_writer_t writer;
	image_begin(&writer, snapshot);
	ck_assert_int_eq(image_next(&writer, &block), KNOT_EOK);
	ck_assert_int_eq(image_next(&writer, &block), KNOT_ENOENT);
	*ret_sums = image_sums(snapshot);
	snapshot_unpin(snapshot);
	return block;
}

static int try_read(const uint8_t *block, size_t size, const image_sums_t *sums)
{
	image_reader_t *reader = image_reader_new(example, 0);
	ck_assert_ptr_nonnull(reader);
	/* In memory of its own size, so that reading beyond its end is seen. */
	uint8_t *copy = malloc(size > 0 ? size : 1);
	memcpy(copy, block, size);
	int ret = image_read(reader, copy, size);
	free(copy);
	snapshot_t *snapshot = NULL;
	if (ret == KNOT_EOK) {
		ret = image_finish(reader, sums, &snapshot);
	}
	snapshot_unpin(snapshot);
	image_reader_free(reader);
	return ret;
}

START_TEST(test_whole)
{
	image_sums_t sums;
	buffer_t block = make_block(&sums);
	ck_assert(sums.names == 2 && sums.nsec3 == 1 && sums.records == 7 && sums.serial == 1);
	ck_assert_int_eq(try_read(block.at, block.size, &sums), KNOT_EOK);

	const image_sums_t right = sums;
	sums.names++;
	ck_assert_int_eq(try_read(block.at, block.size, &sums), KNOT_EMALF);
	sums = right;
	sums.nsec3--;
	ck_assert_int_eq(try_read(block.at, block.size, &sums), KNOT_EMALF);
	sums = right;
	sums.serial++;
	ck_assert_int_eq(try_read(block.at, block.size, &sums), KNOT_EMALF);
	ck_assert_int_eq(try_read(block.at, 0, &right), KNOT_EMALF);
	buffer_clear(&block);
	image_reader_free(NULL);
}
END_TEST

START_TEST(test_cut)
{
	image_sums_t sums;
	buffer_t block = make_block(&sums);
	for (size_t size = 0; size < block.size; size++) {
		ck_assert_int_eq(try_read(block.at, size, &sums), KNOT_EMALF);
	}
	buffer_clear(&block);
}
END_TEST

/*! \brief An owner that comes twice. */
START_TEST(test_twice)
{
	image_sums_t sums;
	buffer_t block = make_block(&sums);
	uint8_t *twice = malloc(2 * block.size);
	memcpy(twice, block.at, block.size);
	memcpy(twice + block.size, block.at, block.size);
	ck_assert_int_eq(try_read(twice, 2 * block.size, &sums), KNOT_EMALF);
	free(twice);
	buffer_clear(&block);
}
END_TEST

/*! \brief Every number of the form, one after the other, with other values: the node's own lengths and counts never fit then. */
START_TEST(test_lengths)
{
	/* Of the apex: octets, trie; owner's length, number of RRsets; of NS its count, size, and that of its item; of the SOA the same, and of its signatures. */
	static const struct {
		size_t at, size;
	} numbers[] = {
		{ 0, 4 }, { 6, 2 }, { 8, 1 }, { 9, 1 }, { 12, 2 }, { 18, 3 }, { 22, 2 }, { 29, 2 }, { 35, 3 }, { 39, 2 }, { 45, 4 }, { 49, 2 },
	};
	image_sums_t sums;
	buffer_t block = make_block(&sums);
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		for (unsigned value = 0; value < 256; value++) {
			for (size_t octet = 0; octet < numbers[i].size; octet++) {
				uint8_t *at = block.at + numbers[i].at + octet;
				const uint8_t was = *at;
				if (was == value) {
					continue;
				}
				*at = value;
				int ret = try_read(block.at, block.size, &sums);
				ck_assert_msg(ret == KNOT_EMALF, "octet %zu is %u: %d", numbers[i].at + octet, value, ret);
				*at = was;
			}
		}
	}
	buffer_clear(&block);
}
END_TEST

static void enter(void)
{
	rcu_register_thread();
}

static void leave(void)
{
	rcu_barrier();
	rcu_unregister_thread();
}

int main(void)
{
	TCase *tcase = tcase_create("image");
	tcase_add_checked_fixture(tcase, enter, leave);
	tcase_add_test(tcase, test_whole);
	tcase_add_test(tcase, test_cut);
	tcase_add_test(tcase, test_twice);
	tcase_add_test(tcase, test_lengths);

	Suite *suite = suite_create("image");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
