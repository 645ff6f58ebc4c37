/* SPDX-License-Identifier: MIT */
/* python_ids.c: the table of thread ids that pyroscope-io has tags for. It grows: an id keeps its tags for ever, since
 * nobody but its own thread can take them off.
 *
 * Context: lifecycle, on the host's threads, with the interpreter's lock, which guards all of it.
 */
#define _GNU_SOURCE
#include "shim/python/python_ids.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include "shim/base/segment.h"

enum
{
  FIRST_ROWS = 4096,  /* powers of two; half of them are used at most */
  MOST_ROWS = 1 << 16 /* 4 MiB, and each id costs pyroscope-io as much */
};

static struct gp_tagged *g_tagged; /* found by id; NULL: not made yet */
static size_t g_tagged_rows, g_tagged_used;

/* The row of an id, or the free one that it may have. */
static struct gp_tagged *
look_up (struct gp_tagged *rows, size_t count, uintptr_t id)
{
  size_t at = (id >> 12) * 0x9e3779b97f4a7c15u >> 40;
  while (rows[at % count].id != 0 && rows[at % count].id != id)
    at++;
  return &rows[at % count];
}

/* Twice the rows; not malloc, as in account.h. False: there is no room. */
static bool
grow_tagged (void)
{
  size_t count = g_tagged != NULL ? 2 * g_tagged_rows : FIRST_ROWS;
  if (count > MOST_ROWS)
    return false;
  struct gp_tagged *rows =
      mmap (NULL, count * sizeof *rows, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (rows == MAP_FAILED)
    return false;
  for (size_t i = 0; i < g_tagged_rows; i++)
    if (g_tagged[i].id != 0)
      *look_up (rows, count, g_tagged[i].id) = g_tagged[i];
  if (g_tagged != NULL)
    munmap (g_tagged, g_tagged_rows * sizeof *g_tagged);
  g_tagged = rows;
  g_tagged_rows = count;
  return true;
}

struct gp_tagged *
gp_python_find_tagged (uintptr_t id)
{
  struct gp_tagged *row = g_tagged != NULL ? look_up (g_tagged, g_tagged_rows, id) : NULL;
  if (row != NULL && row->id == id)
    return row;
  if (g_tagged_used >= g_tagged_rows / 2) {
    if (!grow_tagged ()) {
      gp_count (GP_COUNTER_TAGS_FULL);
      return NULL;
    }
    row = look_up (g_tagged, g_tagged_rows, id);
  }
  row->id = id;
  g_tagged_used++;
  return row;
}
