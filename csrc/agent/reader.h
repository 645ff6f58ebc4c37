/* SPDX-License-Identifier: MIT */
/* reader.h: the agent's access to the shared memory. Layout: abi.h.
 *
 * Read by the C compiler and by cffi: '#' lines and plain declarations only. There is one agent, and it calls all of
 * these from one thread (gp_reader_log: from any). No function needs the host to be alive.
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
  uint32_t unfinished;    /* records skipped: their thread died, or was stopped, between reserve and commit */
  uint64_t corrupt_words; /* discarded: they hold no valid record */
};

struct gp_account_row
{
  uint32_t state; /* enum gp_slot_state */
  uint32_t label;
  uint32_t label_serial;
  uint32_t thread;
  uint32_t serial; /* of the thread's slot */
  uint32_t reserved;
  uint64_t ns; /* since the thread's start; from gp_reader_take_accounts(): since the last row of this account */
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
  GP_TAGGED = 0x80 /* in the highest byte of a word that is no pc: enum gp_frame_tag in the bits below */
};

/* Maps the segment of a descriptor, which may be closed afterwards. NULL: it cannot, and *error is the reason (static
 * text). */
struct gp_segment *gp_reader_map (int fd, const char **error);
void gp_reader_unmap (struct gp_segment *segment);

/* Words reserved so far by writers. MT-Safe */
uint64_t gp_reader_head (const struct gp_segment *segment);

/* Copies committed records, in order, into buf, with the serials of their labels; zeroes what it read, so that writers
 * can use the room again. Stops at the first record that is still being written; final: skips such records instead.
 * cap_bytes: at least gp_reader_buffer_bytes(), the size of the largest record. */
void gp_reader_drain (struct gp_segment *segment, void *buf, uint64_t cap_bytes, int final, struct gp_drained *out);
uint64_t gp_reader_buffer_bytes (void);

/* Reads the slots in use, LIVE and ENDED, or ENDED only. Returns their number; at most cap rows are written. */
uint32_t gp_reader_threads (const struct gp_segment *segment, int ended_only, struct gp_thread_row *rows, uint32_t cap);

/* Frees slots that the agent saw ENDED, once it has read their records and accounts. */
void gp_reader_free_threads (struct gp_segment *segment, const uint32_t *slots, uint32_t count);

/* Reads the accounts in use, with their totals. Changes nothing, so several readers may call it. Returns their number;
 * at most cap rows are written. */
uint32_t gp_reader_accounts (const struct gp_segment *segment, struct gp_account_row *rows, uint32_t cap);

/* Reads the accounts with CPU that was not emitted before, and the ENDED ones, whose rows it frees. ended_only: only
 * those. emitted: GP_ACCOUNTS totals, 0 at first: what earlier calls have returned. *from: 0 at first; each call sets
 * it to where the next one continues, UINT32_MAX at the end. Returns the number of rows written. */
uint32_t gp_reader_take_accounts (struct gp_segment *segment, uint64_t *emitted, int ended_only, uint32_t *from,
    struct gp_account_row *rows, uint32_t cap);

/* Takes the CPU of labels that no account holds. Returns the number of rows written; to be called until it is 0. */
uint32_t gp_reader_take_overflows (struct gp_segment *segment, struct gp_label_row *rows, uint32_t cap);

/* Reads the labels that have ended. *from: as above. Returns the number of labels written. */
uint32_t gp_reader_ended_labels (const struct gp_segment *segment, uint32_t *from, uint32_t *labels, uint32_t cap);

/* Frees labels that have ended, once the agent has read all their records, accounts and links. keys: labels with their
 * serials (enum gp_label_key); a row that is another label's by now is left alone. */
void gp_reader_free_labels (struct gp_segment *segment, const uint64_t *keys, uint32_t count);

/* Takes the links recorded since the last call. Returns the number of rows written; to be called until it is 0. */
uint32_t gp_reader_take_links (struct gp_segment *segment, struct gp_link_row *rows, uint32_t cap);

/* Waits until wake differs from seen or the time is over; returns wake. */
uint32_t gp_reader_wait (const struct gp_segment *segment, uint32_t seen, uint32_t timeout_ms);

/* Ends such a wait in another thread of the agent's. */
void gp_reader_wake (struct gp_segment *segment);

/* Asks the shim to close all accounts now, and waits for that. Returns 1 when it is done, 0 when the time is over. */
int gp_reader_request_close (struct gp_segment *segment, uint32_t timeout_ms);

/* ns of CLOCK_MONOTONIC and of CLOCK_REALTIME, from the kernel itself, as the host's time stamps are. Python's clocks
 * may be others (libfaketime). MT-Safe */
uint64_t gp_reader_mono_ns (void);
uint64_t gp_reader_real_ns (void);

/* Names published so far. */
uint32_t gp_reader_names (const struct gp_segment *segment);

uint32_t gp_reader_host_state (const struct gp_segment *segment);
void gp_reader_set_agent_state (struct gp_segment *segment, uint32_t state);

/* Writes python_config, which holds where Python's samples are pushed to: bytes of config (key NUL value NUL ...), cut
 * at GP_PYTHON - 1. */
void gp_reader_offer_python (struct gp_segment *segment, const char *config, uint32_t bytes);

/* Writes one line for GStreamer's debug log, at a GST_LEVEL_*. Control characters become spaces. A line that finds no
 * room is dropped. MT-Safe lock */
void gp_reader_log (struct gp_segment *segment, uint32_t level, const char *text);

#endif
