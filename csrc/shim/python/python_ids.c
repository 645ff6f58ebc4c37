/* SPDX-License-Identifier: MIT */
/* python_ids.c: the table of thread ids that pyroscope-io has tags for.
 *
 * It only grows: only a thread itself can remove its tags, so an id keeps its row for ever.
 *
 * Context: lifecycle, on the host's threads, with the interpreter's lock, which guards the table.
 */
#define _GNU_SOURCE
#include "shim/python/python_ids.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include "shim/base/segment.h"

enum
{
  FIRST_ROWS = 4096,  /* powers of two; at most half of the rows are used */
  MOST_ROWS = 1 << 16 /* 4 MiB; pyroscope-io needs as much for its own tags of so many ids */
};

static struct gp_python_id *g_ids; /* hash table with open addressing; NULL: not made yet */
static size_t g_id_rows, g_ids_used;

/* The row of an id, or the free row where it belongs. */
static struct gp_python_id *
look_up (struct gp_python_id *rows, size_t count, uintptr_t id)
{
  size_t at = (id >> 12) * 0x9e3779b97f4a7c15u >> 40;
  while (rows[at % count].id != 0 && rows[at % count].id != id)
    at++;
  return &rows[at % count];
}

/* Doubles the table, or makes it. By mmap(): malloc() may be the host's, with locks that this thread holds. False:
 * there is no room. */
static bool
grow (void)
{
  size_t count = g_ids != NULL ? 2 * g_id_rows : FIRST_ROWS;
  if (count > MOST_ROWS)
    return false;
  struct gp_python_id *rows =
      mmap (NULL, count * sizeof *rows, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (rows == MAP_FAILED)
    return false;
  for (size_t i = 0; i < g_id_rows; i++)
    if (g_ids[i].id != 0)
      *look_up (rows, count, g_ids[i].id) = g_ids[i];
  if (g_ids != NULL)
    munmap (g_ids, g_id_rows * sizeof *g_ids);
  g_ids = rows;
  g_id_rows = count;
  return true;
}

struct gp_python_id *
gp_python_id_row (uintptr_t id)
{
  struct gp_python_id *row = g_ids != NULL ? look_up (g_ids, g_id_rows, id) : NULL;
  if (row != NULL && row->id == id)
    return row;
  if (g_ids_used >= g_id_rows / 2) {
    if (!grow ()) {
      gp_count (GP_COUNTER_TAGS_FULL);
      return NULL;
    }
    row = look_up (g_ids, g_id_rows, id);
  }
  row->id = id;
  g_ids_used++;
  return row;
}
