/* SPDX-License-Identifier: MIT */
/* symbolizer_demangle.c: C++ and Rust names as people write them, by binutils' libiberty.
 *
 * A short name can stand for a text of any length, for it may refer back to its own parts: 250 characters of C++ made
 * 570 MB. libiberty hands the text over piece by piece, so a text that becomes too long is left in the middle.
 *
 * Context: agent.
 */
#include "agent/symbolizer.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#if __has_include(<libiberty/demangle.h>)
#include <libiberty/demangle.h>
#else
#include <demangle.h>
#endif

enum
{
  TEXT_BYTES = 50000
};

struct text
{
  jmp_buf too_long;
  size_t length;
  char bytes[TEXT_BYTES];
};

static void
append (const char *piece, size_t length, void *data)
{
  struct text *text = data;
  /* libiberty holds nothing on the heap here but a Punycode identifier of at most the name's length. */
  if (length >= TEXT_BYTES - text->length)
    longjmp (text->too_long, 1);
  memcpy (text->bytes + text->length, piece, length);
  text->length += length;
}

static int
write_readable (const char *name, struct text *text)
{
  if (setjmp (text->too_long) != 0)
    return 0;
  /* Rust first: its older scheme looks like C++. */
  if (rust_demangle_callback (name, 0, append, text))
    return 1;
  text->length = 0;
  return cplus_demangle_v3_callback (name, DMGL_PARAMS | DMGL_ANSI, append, text);
}

char *
gp_demangle (const char *name)
{
  struct text *text = malloc (sizeof *text);
  if (text == NULL)
    return NULL;
  text->length = 0;
  char *readable = write_readable (name, text) ? strndup (text->bytes, text->length) : NULL;
  free (text);
  return readable;
}

void
gp_demangle_free (char *name)
{
  free (name);
}
