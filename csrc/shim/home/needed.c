/* SPDX-License-Identifier: MIT */
/* needed.c: reads the dynamic section of an ELF file on disk.
 *
 * Context: poller, and lifecycle on the host's threads.
 */
#define _GNU_SOURCE
#include "shim/home/needed.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum
{
  HEADERS_MAX = 64,
  DYNAMIC_BYTES_MAX = 64 * 1024,
  STRINGS_BYTES_MAX = 16 * 1024 * 1024
};

struct image
{
  int fd;
  int count;
  Elf64_Phdr headers[HEADERS_MAX]; /* program headers */
};

/* A copy of the file's bytes and a NUL, to be freed. NULL: more than `most`, not in the file, or out of memory. */
static void *
read_copy (int fd, uint64_t at, uint64_t bytes, uint64_t most)
{
  char *copy = bytes <= most ? malloc (bytes + 1) : NULL;
  if (copy == NULL || pread (fd, copy, bytes, (off_t) at) != (ssize_t) bytes) {
    free (copy);
    return NULL;
  }
  copy[bytes] = '\0';
  return copy;
}

static bool
read_head (struct image *image)
{
  Elf64_Ehdr head;
  if (pread (image->fd, &head, sizeof head, 0) != sizeof head || memcmp (head.e_ident, ELFMAG, SELFMAG) != 0
      || head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_phentsize != sizeof (Elf64_Phdr) || head.e_phnum > HEADERS_MAX)
    return false;
  image->count = head.e_phnum;
  ssize_t bytes = (ssize_t) (head.e_phnum * sizeof (Elf64_Phdr));
  return pread (image->fd, image->headers, (size_t) bytes, (off_t) head.e_phoff) == bytes;
}

/* Where in the file the bytes of an address are; 0: nowhere. */
static uint64_t
file_offset (const struct image *image, uint64_t address)
{
  for (int i = 0; i < image->count; i++) {
    const Elf64_Phdr *header = &image->headers[i];
    if (header->p_type == PT_LOAD && address - header->p_vaddr < header->p_filesz)
      return address - header->p_vaddr + header->p_offset;
  }
  return 0;
}

/* Calls is_it() for each DT_NEEDED of a dynamic section until it returns true. */
static bool
any_needed (
    const struct image *image, const Elf64_Dyn *rows, size_t count, bool (*is_it) (const char *, void *), void *data)
{
  uint64_t strings_at = 0, strings_bytes = 0;
  for (size_t i = 0; i < count && rows[i].d_tag != DT_NULL; i++) {
    if (rows[i].d_tag == DT_STRTAB)
      strings_at = file_offset (image, rows[i].d_un.d_ptr);
    if (rows[i].d_tag == DT_STRSZ)
      strings_bytes = rows[i].d_un.d_val;
  }
  char *strings = strings_at != 0 ? read_copy (image->fd, strings_at, strings_bytes, STRINGS_BYTES_MAX) : NULL;
  bool found = false;
  for (size_t i = 0; strings != NULL && !found && i < count && rows[i].d_tag != DT_NULL; i++)
    if (rows[i].d_tag == DT_NEEDED && rows[i].d_un.d_val < strings_bytes)
      found = is_it (strings + rows[i].d_un.d_val, data);
  free (strings);
  return found;
}

bool
gp_needed_any (const char *path, bool (*is_it) (const char *name, void *data), void *data)
{
  struct image image = { .fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) };
  bool found = false;
  if (image.fd >= 0 && read_head (&image))
    for (int i = 0; i < image.count; i++) {
      const Elf64_Phdr *header = &image.headers[i];
      Elf64_Dyn *rows = header->p_type == PT_DYNAMIC
                            ? read_copy (image.fd, header->p_offset, header->p_filesz, DYNAMIC_BYTES_MAX)
                            : NULL;
      if (rows != NULL)
        found = any_needed (&image, rows, header->p_filesz / sizeof *rows, is_it, data);
      free (rows);
    }
  if (image.fd >= 0)
    close (image.fd);
  return found;
}
