/* SPDX-License-Identifier: MIT */
/* atomics.h: how both sides read and write the fields of the shared memory.
 *
 * Context: every one. MT-Safe | AS-Safe
 */
#ifndef GP_ATOMICS_H
#define GP_ATOMICS_H

/* abi.h declares plain integers, since cffi reads it too. All access to shared fields goes through these. */
#define gp_load(p) __atomic_load_n ((p), __ATOMIC_RELAXED)
#define gp_load_acquire(p) __atomic_load_n ((p), __ATOMIC_ACQUIRE)
#define gp_store(p, v) __atomic_store_n ((p), (v), __ATOMIC_RELAXED)
#define gp_store_release(p, v) __atomic_store_n ((p), (v), __ATOMIC_RELEASE)
#define gp_add(p, v) __atomic_fetch_add ((p), (v), __ATOMIC_RELAXED)

#endif
