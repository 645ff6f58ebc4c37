/* SPDX-License-Identifier: MIT */
/* reader.h: the shared memory, from the agent's side. Layout: abi.h.
 *
 * Read by the C compiler and by cffi: '#' lines and plain declarations only. There is one agent, and it calls all of
 * this from one thread (gp_reader_log: from any). Nothing here needs the host to be alive.
 *
 * Context: agent.
 */
#ifndef GP_READER_H
#define GP_READER_H

#include "shared/abi.h"

/* What one call of gp_reader_drain() did. */
struct gp_drained
{
  uint64_t bytes; /* written to buf: whole records, one behind the other */
  uint32_t records;
  uint32_t unfinished;    /* skipped: their thread died, or was stopped, between reserve and commit */
  uint64_t corrupt_words; /* thrown away: no record could be made out */
};

struct gp_account_row
{
  uint32_t state; /* enum gp_slot_state */
  uint32_t label;
  uint32_t label_serial;
  uint32_t thread;
  uint32_t serial; /* of the thread's slot */
  uint32_t reserved;
  uint64_t ns; /* since the thread's birth; of gp_reader_take_accounts(): what was not told before */
};

struct gp_thread_row
{
  uint32_t slot;
  uint32_t state;
  uint32_t serial;
  int32_t tid;
  char comm[16];
};

struct gp_label_row
{
  uint32_t label;
  uint32_t serial;
  uint64_t ns;
};

struct gp_link_row
{
  uint32_t source;
  uint32_t source_serial;
  uint32_t sink;
  uint32_t sink_serial;
};

/* A label and its serial as one number: serial << GP_LABEL_BITS | label. Frames of drained records have it so. */
enum gp_label_key
{
  GP_LABEL_BITS = 24,
  GP_TAGGED = 0x80 /* in the highest byte of a frame that is none: enum gp_frame_tag in the bits below */
};

/* Maps the segment of a descriptor, which may be closed afterwards; NULL and *error (static text) where it cannot. */
struct gp_segment *gp_reader_map (int fd, const char **error);
void gp_reader_unmap (struct gp_segment *segment);

/* Words reserved so far by writers. MT-Safe */
uint64_t gp_reader_head (const struct gp_segment *segment);

/* Copies committed records, in order, into buf, with the serials of their labels; zeroes what it read and gives the
 * room back. Stops at the first record that is still being written, unless final: then such a record is skipped.
 * cap_bytes: at least one record of the greatest size (gp_reader_buffer_bytes()). */
void gp_reader_drain (struct gp_segment *segment, void *buf, uint64_t cap_bytes, int final, struct gp_drained *out);
uint64_t gp_reader_buffer_bytes (void);

/* Slots in use, LIVE and ENDED, or ENDED ones only. Returns their number; at most cap rows are written. */
uint32_t gp_reader_threads (const struct gp_segment *segment, int ended_only, struct gp_thread_row *rows, uint32_t cap);

/* Gives slots back to the shim that the agent saw ENDED, and whose records and accounts it has read. */
void gp_reader_free_threads (struct gp_segment *segment, const uint32_t *slots, uint32_t count);

/* Accounts in use, with their totals. Any number of readers may look. Returns their number; at most cap rows are
 * written. */
uint32_t gp_reader_accounts (const struct gp_segment *segment, struct gp_account_row *rows, uint32_t cap);

/* Accounts with CPU that was not told before, and ENDED ones (or these alone), whose rows are given back. told:
 * GP_ACCOUNTS of them, 0 at first, what this reader was told. *from: 0 at first; where the next call goes on,
 * UINT32_MAX at the end. Returns how many rows were written. */
uint32_t gp_reader_take_accounts (struct gp_segment *segment, uint64_t *told, int ended_only, uint32_t *from,
    struct gp_account_row *rows, uint32_t cap);

/* Labels with CPU that no account holds, which is told now. Returns how many rows were written; to be called until
 * there are none. */
uint32_t gp_reader_take_overflows (struct gp_segment *segment, struct gp_label_row *rows, uint32_t cap);

/* Labels that have ended. *from: as above. Returns how many were written. */
uint32_t gp_reader_ended_labels (const struct gp_segment *segment, uint32_t *from, uint32_t *labels, uint32_t cap);

/* Gives labels back to the shim that have ended, and of which the agent has read all records, accounts and links. keys:
 * with their serials; a row that is another label's by now is left alone. */
void gp_reader_free_labels (struct gp_segment *segment, const uint64_t *keys, uint32_t count);

/* Links met since the last call. Returns how many rows were written; to be called until there are none. */
uint32_t gp_reader_take_links (struct gp_segment *segment, struct gp_link_row *rows, uint32_t cap);

/* Waits until wake differs from seen or the time is over; returns wake. */
uint32_t gp_reader_wait (const struct gp_segment *segment, uint32_t seen, uint32_t timeout_ms);

/* Asks the shim to close all accounts now and waits for it. Returns 1 when done, 0 when the time was over. */
int gp_reader_request_close (struct gp_segment *segment, uint32_t timeout_ms);

/* ns of CLOCK_MONOTONIC, and since 1970, by the kernel's word: the host's stamps are of these clocks, and what Python
 * reads may be another time (libfaketime). MT-Safe */
uint64_t gp_reader_mono_ns (void);
uint64_t gp_reader_real_ns (void);

/* Names published so far. */
uint32_t gp_reader_names (const struct gp_segment *segment);

uint32_t gp_reader_host_state (const struct gp_segment *segment);
void gp_reader_set_agent_state (struct gp_segment *segment, uint32_t state);

/* Says where Python's samples go: bytes of config (key NUL value NUL ...), cut at GP_PYTHON - 1. */
void gp_reader_offer_python (struct gp_segment *segment, const char *config, uint32_t bytes);

/* One line for GStreamer's debug log, at a GST_LEVEL_*. Control characters become spaces; left out where there is no
 * room. MT-Safe lock */
void gp_reader_log (struct gp_segment *segment, uint32_t level, const char *text);

#endif
