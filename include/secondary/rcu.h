/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The one door to liburcu.
 *
 * Everything here that is read by hooks is published by one pointer exchange and freed after a grace period. knotd calls
 * hooks inside its own read section of liburcu's memb flavour; the module links the same library, so both share one
 * domain: a borrow costs nothing in a hook, and knotd's own long read sections (3.2 holds one for a whole outgoing
 * native AXFR) delay our grace periods. Therefore nothing that a client or a timer depends on may wait for a grace
 * period: retire with call_rcu(), never with synchronize_rcu().
 *
 * Rules:
 *  - a thread that reads registers itself first (rcu_register_thread()); knotd's workers are registered;
 *  - never inside a read section: sleeping, I/O, synchronize_rcu(), rcu_barrier();
 *  - call_rcu() runs callbacks on one helper thread; secondary_rcu_prime() creates it with all signals blocked (liburcu
 *    0.13 does not block them itself, and knotd handles HUP, INT and TERM in its main thread only).
 *
 * ThreadSanitizer cannot see the ordering that liburcu 0.13 makes by membarrier(2). A build with SECONDARY_TSAN replaces
 * the library by primitives that it can see (counters of readers and a queue) beside those of the library, with
 * the same contract. Where knotd synchronises for us, by its own read sections around hooks and by its grace periods between
 * load() and hooks and between hooks and unload(), the door says so (rcu_hook_enter(), rcu_host_handover()); in other builds that is nothing.
 */
#pragma once

#ifndef SECONDARY_TSAN

#include <urcu.h>
#include <urcu/wfcqueue.h>

#define rcu_hook_enter()    ((void)0)
#define rcu_hook_leave()    ((void)0)
#define rcu_host_handover() ((void)0)

#else

#include <stddef.h>

struct rcu_head {
	struct rcu_head *next;
	void (*func)(struct rcu_head *head);
};

void secondary_tsan_register(void);
void secondary_tsan_unregister(void);
void secondary_tsan_hook_enter(void);
void secondary_tsan_hook_leave(void);
void secondary_tsan_handover(void);
void secondary_tsan_read_lock(void);
void secondary_tsan_read_unlock(void);
int secondary_tsan_read_ongoing(void);
void secondary_tsan_synchronize(void);
void secondary_tsan_call(struct rcu_head *head, void (*func)(struct rcu_head *head));
void secondary_tsan_barrier(void);

#define rcu_hook_enter()             secondary_tsan_hook_enter()
#define rcu_hook_leave()             secondary_tsan_hook_leave()
#define rcu_host_handover()          secondary_tsan_handover()
#define rcu_register_thread()        secondary_tsan_register()
#define rcu_unregister_thread()      secondary_tsan_unregister()
#define rcu_read_lock()              secondary_tsan_read_lock()
#define rcu_read_unlock()            secondary_tsan_read_unlock()
#define rcu_read_ongoing()           secondary_tsan_read_ongoing()
#define rcu_dereference(p)           __atomic_load_n(&(p), __ATOMIC_ACQUIRE)
#define rcu_assign_pointer(p, v)     __atomic_store_n(&(p), (v), __ATOMIC_RELEASE)
#define rcu_xchg_pointer(p, v)       __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
#define synchronize_rcu()            secondary_tsan_synchronize()
#define call_rcu(head, func)         secondary_tsan_call((head), (func))
#define rcu_barrier()                secondary_tsan_barrier()

#ifndef caa_container_of
#define caa_container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))
#endif

#endif

/*!
 * \brief Creates the call_rcu() helper thread, with all signals blocked.
 *
 * Thread: any registered one; idempotent. RCU: outside read sections. Blocks: until the thread is created.
 */
void secondary_rcu_prime(void);
