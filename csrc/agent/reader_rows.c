/* SPDX-License-Identifier: MIT */
/* reader_rows.c: reads accounts, labels and links, and frees the rows that have ended.
 *
 * The host may die at any instruction, or overwrite the segment by mistake. So every index that is read from it is
 * checked before use.
 *
 * Context: agent.
 */
#include "agent/reader.h"

#include "agent/reader_internal.h"
#include "shared/row_table.h"

_Static_assert (sizeof (struct gp_label_row) == 16, "native.py unpacks these");
_Static_assert (GP_LABELS <= 1 << GP_LABEL_BITS, "a label fits into the bits of its key");

static uint32_t
next_account (const struct gp_segment *segment, uint32_t from)
{
  return gp_row_next (GP_ACCOUNT_TABLE (segment), GP_ACCOUNT_WORDS, from);
}

/* An account's total. While its thread is alive, either ns is ahead of the last close, or closed_ns holds time that is
 * not in ns yet. */
static uint64_t
account_total (const struct gp_account *account)
{
  uint64_t ns = gp_load_acquire (&account->ns);
  uint64_t closed_ns = gp_load_acquire (&account->closed_ns);
  return gp_load_acquire (&account->state) != GP_SLOT_ENDED && closed_ns > ns ? closed_ns : ns;
}

/* 0: the row is not filled yet, or damaged. */
static int
read_account (const struct gp_segment *segment, uint32_t index, struct gp_account_row *row)
{
  const struct gp_account *account = &segment->accounts[index];
  row->state = gp_load_acquire (&account->state); /* before the total, which is final if ENDED was read */
  row->label = gp_load_acquire (&account->label); /* 0 until the row is filled */
  if (row->state == GP_SLOT_FREE || row->label == 0 || row->label >= GP_LABELS)
    return 0;
  row->thread = account->thread; /* only now: the shim writes it before the label */
  row->serial = account->serial;
  row->label_serial = gp_load_acquire (&segment->labels[row->label].serial);
  row->reserved = 0;
  row->ns = account_total (account);
  return row->thread < GP_THREADS;
}

uint32_t
gp_reader_accounts (const struct gp_segment *segment, struct gp_account_row *rows, uint32_t cap)
{
  uint32_t count = 0;
  for (uint32_t at = next_account (segment, 0); at != GP_NO_ROW; at = next_account (segment, at + 1)) {
    struct gp_account_row row;
    if (!read_account (segment, at, &row))
      continue;
    if (count < cap)
      rows[count] = row;
    count++;
  }
  return count;
}

uint32_t
gp_reader_take_accounts (struct gp_segment *segment, uint64_t *emitted, int ended_only, uint32_t *from,
    struct gp_account_row *rows, uint32_t cap)
{
  uint32_t count = 0, at = next_account (segment, *from);
  for (; at != GP_NO_ROW && count < cap; at = next_account (segment, at + 1)) {
    struct gp_account_row *row = &rows[count];
    if ((ended_only && gp_load_acquire (&segment->accounts[at].state) != GP_SLOT_ENDED)
        || !read_account (segment, at, row))
      continue;
    /* A total may step back a little when its thread corrects an estimate: then nothing is emitted. */
    uint64_t total_ns = row->ns;
    row->ns = total_ns > emitted[at] ? total_ns - emitted[at] : 0;
    if (row->ns != 0)
      emitted[at] = total_ns;
    if (row->state == GP_SLOT_ENDED) {
      emitted[at] = 0;
      __atomic_store_n (&segment->accounts[at].label, 0, __ATOMIC_RELAXED); /* before the next user can see the row */
      __atomic_store_n (&segment->accounts[at].state, GP_SLOT_FREE, __ATOMIC_RELAXED);
      gp_row_free (GP_ACCOUNT_TABLE (segment), at);
    } else if (row->ns == 0) {
      continue;
    }
    count++;
  }
  *from = at;
  return count;
}

static uint32_t
next_label (const struct gp_segment *segment, uint32_t from)
{
  return gp_row_next (GP_LABEL_TABLE (segment), GP_LABEL_WORDS, from);
}

uint32_t
gp_reader_take_overflows (struct gp_segment *segment, struct gp_label_row *rows, uint32_t cap)
{
  uint32_t count = 0;
  for (uint32_t at = next_label (segment, 1); at != GP_NO_ROW && count < cap; at = next_label (segment, at + 1)) {
    struct gp_label *label = &segment->labels[at];
    if (gp_load_acquire (&label->overflow_ns) == 0)
      continue;
    rows[count].label = at;
    rows[count].serial = label->serial;
    rows[count++].ns = __atomic_exchange_n (&label->overflow_ns, 0, __ATOMIC_RELAXED);
  }
  return count;
}

uint32_t
gp_reader_ended_labels (const struct gp_segment *segment, uint32_t *from, uint32_t *labels, uint32_t cap)
{
  uint32_t count = 0, at = next_label (segment, *from);
  for (; at != GP_NO_ROW && count < cap; at = next_label (segment, at + 1))
    if (gp_load_acquire (&segment->labels[at].state) == GP_SLOT_ENDED) /* pairs with the release in gp_label_unref() */
      labels[count++] = at;
  *from = at;
  return count;
}

void
gp_reader_free_labels (struct gp_segment *segment, const uint64_t *keys, uint32_t count)
{
  for (uint32_t i = 0; i < count; i++) {
    uint32_t row = bounded ((uint32_t) keys[i] & ((1u << GP_LABEL_BITS) - 1), GP_LABELS - 1);
    struct gp_label *label = &segment->labels[row];
    if (gp_load_acquire (&label->state) != GP_SLOT_ENDED || label->serial != keys[i] >> GP_LABEL_BITS)
      continue;
    __atomic_store_n (&label->state, GP_SLOT_FREE, __ATOMIC_RELAXED);
    gp_row_free (GP_LABEL_TABLE (segment), row);
  }
}

uint32_t
gp_reader_take_links (struct gp_segment *segment, struct gp_link_row *rows, uint32_t cap)
{
  uint32_t read = segment->links_read, written = gp_load_acquire (&segment->links_written), count = 0;
  if (written - read > GP_LINKS) /* damaged */
    read = written;
  for (; read != written && count < cap; read++, count++) {
    const struct gp_pad_link *link = &segment->links[read % GP_LINKS];
    rows[count].source = bounded (link->source, GP_LABELS - 1);
    rows[count].sink = bounded (link->sink, GP_LABELS - 1);
    rows[count].source_serial = segment->labels[rows[count].source].serial;
    rows[count].sink_serial = segment->labels[rows[count].sink].serial;
  }
  __atomic_store_n (&segment->links_read, read, __ATOMIC_RELEASE);
  return count;
}
