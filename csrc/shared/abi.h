/* SPDX-License-Identifier: MIT */
/* abi.h: the layout of the memory that the shim and the agent share.
 *
 * One memfd, mapped by the profiled process (writer) and by the agent (reader), wherever the agent runs.
 * The C compiler and cffi both read this file: it holds '#' lines, plain declarations and integer enums only, uses no
 * macros, and has no expressions in array sizes. Exactly one side writes a field; the field's comment names it.
 *
 * Context: none (data only).
 */
#ifndef GP_ABI_H
#define GP_ABI_H

#include <stdint.h>

enum gp_abi
{
  GP_ABI_VERSION = 5,
  GP_LABELS = 262144,      /* labels in use, or ended and not yet read by the agent */
  GP_THREADS = 16384,      /* threads alive, or ended and not yet read by the agent */
  GP_ACCOUNTS = 524288,    /* (thread, label) pairs, likewise */
  GP_MODULES = 8192,       /* ELF objects ever loaded */
  GP_NAMES = 65536,        /* names of functions that only the host knows */
  GP_LINKS = 16384,        /* pairs of linked labels that the agent has not read yet; a power of two */
  GP_STRINGS = 16777216,   /* bytes of interned text */
  GP_RING_WORDS = 1048576, /* 8 MiB of records; a power of two */
  GP_PARAMS = 16384,
  GP_LOG = 16384,
  GP_PYTHON = 8192,
  GP_COMM = 16
};

/* Bounds of the only number that C reads before the agent is there; tests hold them against the pydantic model. */
enum gp_sample_rate
{
  GP_SAMPLE_RATE_MIN = 1,
  GP_SAMPLE_RATE_MAX = 1000,
  GP_SAMPLE_RATE_DEFAULT = 100
};

enum gp_clock
{
  GP_CLOCK_NONE = 0, /* no signal was free: there are accounts, but no samples */
  GP_CLOCK_PERF = 1, /* a perf task-clock event a thread for user code, a timer for the kernel's time */
  GP_CLOCK_TIMER = 2 /* timer_create on the thread's CPU clock alone; bound to the kernel's tick */
};

enum gp_host_state
{
  GP_HOST_RUNNING = 0,
  GP_HOST_STOPPING = 2, /* accounts are closed for the last time; the agent flushes and sets GP_AGENT_DONE */
  GP_HOST_INERT = 3     /* the shim has given up and writes nothing more */
};

enum gp_agent_state
{
  GP_AGENT_NONE = 0,
  GP_AGENT_STARTING = 1,
  GP_AGENT_RUNNING = 2,
  GP_AGENT_DONE = 3,   /* it has delivered or spooled everything */
  GP_AGENT_REFUSED = 4 /* settings wrong or start failed: the shim goes inert */
};

enum gp_agent_home
{
  GP_HOME_EMBEDDED = 1,  /* in the host */
  GP_HOME_PROCESS = 2,   /* a process of its own */
  GP_HOME_CONTROLLER = 3 /* in the controller: `run` */
};

/* State of the host's Python, and of pyroscope-io in it. */
enum gp_python_state
{
  GP_PYTHON_NONE = 0,    /* no thread has entered Python; or the samples taken there are void */
  GP_PYTHON_ENTERED = 1, /* a thread has: the agent should write python_config */
  GP_PYTHON_SAMPLED = 2, /* our pyroscope-io runs: it pushes after each of its intervals, samples or not */
  GP_PYTHON_PUSHED = 3   /* it has ended, its last push included */
};

enum gp_label_kind
{
  GP_LABEL_ELEMENT = 1,
  GP_LABEL_STATE_CHANGE = 2, /* of a bin or pipeline: the name is the bin's */
  GP_LABEL_MAIN = 3,         /* main thread, outside every element */
  GP_LABEL_POOL = 4,         /* GLib pool made by no element */
  GP_LABEL_TASK = 5,         /* GStreamer task before its element is known */
  GP_LABEL_THREAD = 6,       /* any other thread that no element made */
  GP_LABEL_AGENT = 7,
  GP_LABEL_BEFORE = 8,    /* CPU from before the tracer existed */
  GP_LABEL_UNSEEN = 9,    /* process CPU that no account holds: thread ends, threads that started and ended unseen */
  GP_LABEL_OVERFLOW = 10, /* label table full */
  GP_LABEL_LOADING = 11,  /* GStreamer loading a plugin */
  GP_LABEL_KINDS
};

/* Wire names are the enumerators, lowered, without the prefix. Each early return of the handler counts exactly one
 * reason (dropped_*, foreign_signals, ticks_left_to_perf); each sample written counts one of the stacks_*. */
enum gp_counter
{
  GP_COUNTER_SAMPLES = 0,        /* records committed */
  GP_COUNTER_TICKS_OVERRUN,      /* expiries the kernel merged into others; carried as weight */
  GP_COUNTER_TICKS_LEFT_TO_PERF, /* timer ticks in user code, which the thread's perf event samples */
  GP_COUNTER_DROPPED_RING_FULL,
  GP_COUNTER_DROPPED_NO_THREAD, /* signal on a thread without state */
  GP_COUNTER_DROPPED_NESTED,    /* handler interrupted itself or a half-built state */
  GP_COUNTER_DROPPED_INERT,     /* came after the stop */
  GP_COUNTER_DROPPED_WAITED,    /* taken by a wait of the host's for any signal, on a thread that had it blocked */
  GP_COUNTER_FOREIGN_SIGNALS,   /* no tick of ours, and no handler of the host's to pass it on to */
  GP_COUNTER_STACKS_CFI,        /* reached the root by CFI alone */
  GP_COUNTER_STACKS_SCAN,       /* reached the root; a stretch without CFI crossed by a verified scan */
  GP_COUNTER_STACKS_GUESSED,    /* as before, but an indirect call or a jump leaves that caller unproven */
  GP_COUNTER_STACKS_BOUNDARY,   /* resumed at a label's boundary or the thread's root behind [unknown] */
  GP_COUNTER_STACKS_TRUNCATED,  /* reached neither root nor boundary, or was too deep */
  GP_COUNTER_STACKS_LEAF_ONLY,  /* sp outside the thread's known stacks */
  GP_COUNTER_SIGNAL_TAKEN,      /* windows in which the host had replaced our handler */
  GP_COUNTER_LABELS_FULL,       /* elements labelled [too many labels], pushes that found no room */
  GP_COUNTER_LABELS_DEAD,       /* entries whose post hook did not run */
  GP_COUNTER_THREADS_FULL,      /* threads whose CPU went to the labels' overflow account */
  GP_COUNTER_THREADS_FOUND,     /* threads found by polling */
  GP_COUNTER_ACCOUNTS_FULL,
  GP_COUNTER_LINKS_FULL,
  GP_COUNTER_UNARMED,   /* threads for which neither perf event nor timer could be had */
  GP_COUNTER_TAGS_FULL, /* entries into Python whose thread has no tags: too many thread ids */
  GP_COUNTERS
};

/* How a stack ended, in order of trust: the first is the most certain. One of them in each record. */
enum gp_stack_end
{
  GP_STACK_CFI = 0,
  GP_STACK_SCAN = 1,
  GP_STACK_GUESSED = 2,
  GP_STACK_BOUNDARY = 3,
  GP_STACK_TRUNCATED = 4,
  GP_STACK_LEAF_ONLY = 5
};

/* frames[] of a record holds pcs, leaf first: frame 0 is exact, the others are return addresses. In a word with bit 63
 * set, bits 56 to 62 hold one of these, and the bits below its operand. */
enum gp_frame_tag
{
  GP_FRAME_LABEL = 1,     /* operand: label id; comes after the frames that ran for that label */
  GP_FRAME_UNKNOWN = 2,   /* a gap of unknown length */
  GP_FRAME_TRUNCATED = 3, /* the root side is missing */
  GP_FRAME_EXACT = 4      /* operand: pc that is exact though not the leaf (interrupted by a signal) */
};

enum gp_slot_state
{
  GP_SLOT_FREE = 0, /* set by the agent once it has read an ENDED row */
  GP_SLOT_LIVE = 1,
  GP_SLOT_ENDED = 2
};

/* One element, one bin, or one kind of CPU time that belongs to no element. ENDED: the element is gone, no thread has
 * the label on its stack or an account for it, and it is no label's parent. */
struct gp_label
{                       /* written by the shim, but for state ENDED -> FREE */
  uint32_t state;       /* enum gp_slot_state; LIVE is written last */
  uint32_t serial;      /* distinguishes successive users of a row */
  uint32_t kind;        /* enum gp_label_kind */
  uint32_t name;        /* offsets into strings[]; 0 is "" */
  uint32_t factory;     /* likewise */
  uint32_t parent;      /* atomic: label of the bin that holds the element, or held it last; 0: none */
  uint32_t auto_named;  /* 1: GStreamer made the name */
  uint32_t refs;        /* shim: references held by the element, accounts, children, waiting work */
  uint32_t gone;        /* shim: 1 once the element is gone */
  uint32_t room;        /* shim: bytes at name, kept for the row's next user */
  uint32_t own_work;    /* shim: of a bin, the label of the work that it does itself, with a reference; 0: none
                            yet; this label: a plain bin or pipeline, which only holds elements */
  uint32_t is_own_work; /* 1: this is such a label. Its parent is the bin's label: name and place are the bin's */
  uint64_t overflow_ns; /* atomic: CPU of threads that found no free slot or account */
};

struct gp_thread_slot
{ /* written by the shim, but for state ENDED -> FREE */
  uint32_t state;
  uint32_t serial; /* distinguishes successive users of a slot */
  int32_t tid;
  uint32_t home; /* reserved */
  char comm[16]; /* the kernel's name of the thread, as last read */
};

struct gp_account
{                  /* CPU of one thread under one label; cumulative ns */
  uint32_t state;  /* enum gp_slot_state; ENDED with its thread, or once its label's element is gone */
  uint32_t label;  /* 0: the row is being filled, and must be skipped. The agent sets 0 again before it frees the row */
  uint32_t thread; /* index of its slot */
  uint32_t serial;
  uint64_t ns;        /* written by the thread; final once ENDED */
  uint64_t closed_ns; /* LIVE: ns plus the time still open at the last close. May step back a little: a reader
                         remembers how much it has emitted, and emits what exceeds that */
};

struct gp_module
{                 /* written before module_count is raised; removed is set at unload */
  uint64_t start; /* addresses [start, end) of its executable segments */
  uint64_t end;
  uint64_t bias;     /* run-time address minus ELF address */
  uint32_t path;     /* offset into strings[] */
  uint32_t build_id; /* hex, offset into strings[]; 0: none */
  uint32_t added;    /* generation in which it was loaded */
  uint32_t removed;  /* generation in which it was unloaded; 0: it is loaded */
};

struct gp_name
{                      /* written by the shim before name_count is raised; immutable afterwards */
  uint64_t address;    /* start of a function, or of a range of code that is in no file */
  uint32_t bytes;      /* of that range; 0: a function in a module */
  uint32_t text;       /* offset into strings[] */
  uint32_t generation; /* of the module list, when it was written */
  uint32_t reserved;
};

struct gp_pad_link
{                  /* written by the shim before links_written is raised */
  uint32_t source; /* label of the element that has the source pad */
  uint32_t sink;   /* likewise */
};

/* A record in the ring, 8-byte words. head and tail count words for ever; index = count mod GP_RING_WORDS. A record
 * never wraps: a filler record (committed, depth 0, thread 0xffffffff) covers the end. */
enum gp_record_state
{
  GP_RECORD_EMPTY = 0,
  GP_RECORD_BUSY = 1,
  GP_RECORD_COMMITTED = 2
};

struct gp_record
{
  uint32_t state;  /* enum gp_record_state; last to be written. Of a drained copy: serial of `label` */
  uint32_t words;  /* whole record, this header included */
  uint32_t thread; /* slot */
  uint32_t serial;
  uint32_t label;      /* innermost label: the account this sample belongs to */
  uint32_t weight;     /* ticks: 1 + overruns */
  uint32_t generation; /* of the module list, when the sample was taken */
  uint16_t stack_end;  /* enum gp_stack_end */
  uint16_t depth;      /* frames that follow */
  uint64_t frames[];
};

/* Hints on a table's bits. A word has 64 rows. */
struct gp_taken
{
  uint32_t first_free; /* the word at which to begin the search; words before it are full, as a rule */
  uint32_t words_used; /* shim: words that ever had a row, an upper bound for readers */
};

struct gp_segment
{
  /* immutable once the agent is started; written by the shim */
  uint64_t magic; /* "gstpyro\0" */
  uint32_t abi_version;
  uint32_t bytes; /* size of this structure */
  int32_t host_pid;
  uint32_t sample_rate_hz;
  uint64_t start_mono_ns; /* CLOCK_MONOTONIC and CLOCK_REALTIME when the tracer started */
  uint64_t start_real_ns;
  uint32_t agent_home; /* enum gp_agent_home */
  uint32_t stop_on_dispose;
  char program[256];  /* the host's executable, without folders */
  char params[16384]; /* tracer parameters as given: key NUL value NUL ... NUL */

  /* control; atomics */
  uint32_t host_state;          /* shim */
  uint32_t agent_state;         /* agent */
  uint32_t wake;                /* futex the agent waits on; raised by the shim */
  uint32_t poll;                /* futex the poller waits on; raised by the agent */
  uint32_t close_wanted;        /* agent: raised to ask for a close of the window */
  uint32_t close_done;          /* shim: follows close_wanted */
  uint32_t clock;               /* shim: enum gp_clock in use */
  uint32_t signal;              /* shim: number of the sampling signal, 0: none */
  uint64_t close_mono_ns;       /* shim: when the last close was made */
  uint64_t process_cpu_ns;      /* shim: CLOCK_PROCESS_CPUTIME_ID at that moment */
  uint32_t labels_moved;        /* shim: raised when a label gets another parent or name */
  uint32_t module_count;        /* shim */
  uint32_t generation;          /* shim: of the module list */
  uint32_t strings_used;        /* shim */
  uint32_t name_count;          /* shim */
  uint32_t links_written;       /* shim: ever; index = count mod GP_LINKS */
  uint32_t links_read;          /* agent */
  struct gp_taken labels_taken; /* labels[0] is never used */
  struct gp_taken threads_taken;
  struct gp_taken accounts_taken;
  uint32_t threads_seen; /* shim: threads ever registered */
  int32_t agent_pid;     /* shim: of an agent beside the host, or of the controller; 0: none, or not known */
  uint64_t counters[32]; /* shim: enum gp_counter */

  uint64_t head; /* shim, atomic: words reserved */
  uint64_t padding[7];
  uint64_t tail;     /* agent: words read and zeroed */
  uint64_t released; /* agent: words of those that writers may use again */

  /* Lines of the agent for GStreamer's debug log: one level digit (GST_LEVEL_*), text, '\n'. Counts are never reset. A
   * line that finds no room is dropped. */
  uint32_t log_written; /* agent */
  uint32_t log_read;    /* shim */
  char log[16384];

  /* Python in the host, and where to push its samples. Both words are futexes. */
  uint32_t python_state;    /* shim: enum gp_python_state */
  uint32_t python_offered;  /* agent: 1 once python_config is written */
  char python_config[8192]; /* agent: key NUL value NUL ... NUL, for host_python.py */

  struct gp_label labels[262144];
  struct gp_thread_slot threads[16384];
  struct gp_account accounts[524288];
  struct gp_module modules[8192];
  struct gp_name names[65536];
  struct gp_pad_link links[16384];
  /* One bit a row, set while it is in use. The shim sets it, the agent clears it when it frees the row. */
  uint64_t label_bits[4096];
  uint64_t thread_bits[256];
  uint64_t account_bits[8192];
  char strings[16777216];
  uint64_t ring[1048576];
};

#endif
