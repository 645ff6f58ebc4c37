/* SPDX-License-Identifier: MIT */
/* host.h: between the files of host.c.
 *
 * Context: test.
 */
#ifndef IMPORTS_HOST_H
#define IMPORTS_HOST_H

/* The shim's, or such as do nothing. */
extern void (*shim_start) (void);
extern void (*shim_pass) (void);
extern void (*shim_settle) (void);
extern void (*shim_note) (const char *);

/* Ends the program where the library cannot be opened. */
void *must_open (const char *name, int mode);

int run_module (void *library, int how);
void run_all (void *library);

/* Letters: l lazy, n now, g global, d deep bind. */
int mode_of (const char *letters);

/* Scenarios get the arguments that follow their name. */
void before (char **arguments);
void after (char **arguments);
void opener (char **arguments);
void errors (char **arguments);
void reload (char **arguments);
void copies (char **arguments);
void pages (char **arguments);
void refused (char **arguments);
void bound (char **arguments);
void foreign (char **arguments);
void constructor (char **arguments);
void storm (char **arguments);
void forks (char **arguments);

#endif
