/* SPDX-License-Identifier: MIT */
/* handler.c: what one tick does.
 *
 * Context: signal. Runs on any armed thread, anywhere, also inside malloc, dlopen or thread start. Everything in this
 * file is AS-Safe: it calls nothing outside tests/native/as_safe_symbols.txt, takes no lock and allocates nothing.
 * threads/sampler.c arms and disarms the ticks.
 */
#define _GNU_SOURCE
#include "shim/signal/handler.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include "shared/raw_syscall.h"
#include "shim/signal/module_lookup.h"
#include "shim/signal/ring.h"
#include "shim/signal/unwind_regs.h"

uint64_t g_interval_ns;
bool g_events_may_rest;

enum
{
  CALM_TICKS = 8
};

static bool
is_system_call (const struct gp_code *code, uintptr_t at)
{
#if defined(__x86_64__)
  return at >= code->start && at < code->end - 1 && ((const uint8_t *) at)[0] == 0x0f
         && ((const uint8_t *) at)[1] == 0x05;
#else
  return at % 4 == 0 && at >= code->start && at < code->end && *(const uint32_t *) at == 0xd4000001; /* svc #0 */
#endif
}

/* Whether a timer's tick interrupted a system call: the kernel then returns behind the call's instruction, or to it, to
 * make the call again. False for code outside every module. */
static bool
in_system_call (const ucontext_t *context)
{
  struct gp_regs regs = gp_regs_of (context);
  struct gp_code code;
#if defined(__x86_64__)
  enum
  {
    CALL_BYTES = 2
  };
  /* The instruction leaves its return address in rcx; a processor with FRED does not. */
  if ((uintptr_t) context->uc_mcontext.gregs[REG_RCX] == regs.pc)
    return true;
#else
  enum
  {
    CALL_BYTES = 4
  };
#endif
  if (!gp_modules_enter ())
    return false;
  bool found = gp_modules_find (regs.pc, &code)
               && (is_system_call (&code, regs.pc - CALL_BYTES) || is_system_call (&code, regs.pc));
  gp_modules_leave ();
  return found;
}

/* The thread's own stack and, where a handler of the host's was interrupted on one, its alternate stack. */
static struct gp_stack
find_stack (const struct gp_thread *thread, const ucontext_t *context)
{
  struct gp_stack stack = { .lo = gp_load_acquire (&thread->stack.lo), .hi = gp_load (&thread->stack.hi) };
  if ((context->uc_stack.ss_flags & SS_DISABLE) == 0) {
    stack.alt_lo = (uintptr_t) context->uc_stack.ss_sp;
    stack.alt_hi = stack.alt_lo + context->uc_stack.ss_size;
  }
  return stack;
}

/* In glibc it points just above a thread's stack. */
static uintptr_t
thread_pointer (void)
{
  uintptr_t pointer;
#if defined(__x86_64__)
  __asm__ ("mov %%fs:0, %0" : "=r"(pointer));
#else
  __asm__ ("mrs %0, tpidr_el0" : "=r"(pointer));
#endif
  return pointer;
}

static bool
is_main (const struct gp_thread *thread)
{
  return thread->tid == g_segment->host_pid;
}

/* Whether the stack we run on has room for the unwinder. A host's alternate stack may be of SIGSTKSZ bytes, and a
 * thread armed from outside has none before its first tick. */
static bool
has_room (const struct gp_stack *stack)
{
  uintptr_t here = (uintptr_t) __builtin_frame_address (0);
  uintptr_t lo = here >= stack->alt_lo && here < stack->alt_hi ? stack->alt_lo : stack->lo;
  return here > lo && here - lo >= GP_UNWIND_STACK_BYTES;
}

static void
count_stack (enum gp_stack_end end)
{
  static const enum gp_counter counters[] = {
    [GP_STACK_CFI] = GP_COUNTER_STACKS_CFI,
    [GP_STACK_SCAN] = GP_COUNTER_STACKS_SCAN,
    [GP_STACK_GUESSED] = GP_COUNTER_STACKS_GUESSED,
    [GP_STACK_BOUNDARY] = GP_COUNTER_STACKS_BOUNDARY,
    [GP_STACK_TRUNCATED] = GP_COUNTER_STACKS_TRUNCATED,
    [GP_STACK_LEAF_ONLY] = GP_COUNTER_STACKS_LEAF_ONLY,
  };
  gp_count (counters[end]);
}

/* The innermost label whose function has not returned. On another stack than the thread's own (the host's signal
 * handler on an alternate stack, or a stack that the host has made) sp does not show that: the label entered last is
 * taken. */
static uint32_t
find_label (const struct gp_thread *thread, const struct gp_stack *stack, uintptr_t sp)
{
  bool elsewhere =
      (stack->lo != 0 && (sp < stack->lo || sp >= stack->hi)) || (sp >= stack->alt_lo && sp < stack->alt_hi);
  return gp_label_current (thread, elsewhere ? 0 : sp);
}

static void
take_sample (struct gp_thread *thread, const ucontext_t *context, uint32_t weight)
{
  struct gp_regs regs = gp_regs_of (context);
  struct gp_stack stack = find_stack (thread, context);
  /* Armed from outside: with this the poller finds the rest of the stack. The main thread's it finds without. */
  if (stack.hi == 0 && !is_main (thread))
    gp_store (&thread->stack.hi, thread_pointer ());
  struct gp_boundary root = thread->root;
  root.label = thread->base;
  struct gp_walk_result walk = { .depth = 1, .end = GP_STACK_LEAF_ONLY };
  uint32_t generation = gp_modules_generation ();
  if (stack.lo != 0 && has_room (&stack))
    gp_unwind (&regs, &stack, thread->entries, thread->depth, root.sp != 0 ? &root : NULL, thread->frames,
        GP_MAX_FRAMES, &walk);
  else
    thread->frames[0] = regs.pc;
  struct gp_record *record = gp_ring_reserve (walk.depth);
  if (record == NULL) {
    gp_count (GP_COUNTER_DROPPED_RING_FULL);
    return;
  }
  uint32_t slot = gp_thread_slot (thread);
  record->thread = slot;
  record->serial = g_segment->threads[slot].serial;
  record->label = find_label (thread, &stack, regs.sp);
  record->weight = weight;
  record->generation = generation;
  record->stack_end = (uint16_t) walk.end;
  record->depth = (uint16_t) walk.depth;
  for (uint32_t i = 0; i < walk.depth; i++)
    record->frames[i] = thread->frames[i];
  gp_ring_commit (record);
  gp_poller_wake ();
  gp_count (GP_COUNTER_SAMPLES);
  gp_add (&g_segment->counters[GP_COUNTER_TICKS_OVERRUN], weight - 1);
  count_stack (walk.end);
}

bool
gp_handler_interrupted_in (const void *context, uintptr_t start, uintptr_t end)
{
  struct gp_thread *thread = gp_thread_known ();
  if (thread == NULL || thread->in_handler || !atomic_load_explicit (&thread->ready, memory_order_acquire))
    return false;
  thread->in_handler = true; /* frames[] is ours while it is set */
  struct gp_regs regs = gp_regs_of (context);
  struct gp_stack stack = find_stack (thread, context);
  struct gp_walk_result walk = { .depth = 0 };
  if (stack.lo != 0 && has_room (&stack))
    gp_unwind (
        &regs, &stack, NULL, 0, thread->root.sp != 0 ? &thread->root : NULL, thread->frames, GP_MAX_FRAMES, &walk);
  bool found = false;
  for (uint32_t i = 0; i < walk.depth && !found; i++)
    found = thread->frames[i] >= start && thread->frames[i] < end;
  thread->in_handler = false;
  return found;
}

struct gp_thread *
gp_tick_owner (const siginfo_t *info)
{
  if (info->si_code == SI_TIMER)
    return gp_thread_from_cookie (info->si_value.sival_ptr);
  if (info->si_code == POLL_IN || info->si_code == POLL_HUP)
    return gp_thread_from_perf_fd (info->si_fd);
  return NULL;
}

/* A tick that was pending when its event was closed has a descriptor's number that may be another thread's event by
 * now. Threads armed from outside are recognised by the end of their stack, which their first tick stored. */
static bool
is_of_this_thread (const struct gp_thread *thread)
{
  if (t_thread != NULL)
    return t_thread == thread;
  uintptr_t hi = gp_load (&thread->stack.hi);
  return hi == 0 || hi == thread_pointer () || is_main (thread);
}

/* An event costs three interrupts a sample (26 us in a virtual machine). A timer's tick costs next to nothing, since
 * the kernel's own tick expires it. But that clock also paces live media: a thread that wakes in step with it has the
 * same part of its work sampled for ever. A thread that does not sleep is in step with nothing. So its event rests
 * until it sleeps. A thread that sleeps may get no tick any more, so the poller wakes the event as well:
 * gp_sampler_wake(). */
static void
choose_clock (struct gp_thread *thread)
{
  struct rusage usage;
  if (!gp_thread_has_event (thread) || thread->timer < 0 || !g_events_may_rest
      || gp_syscall (SYS_getrusage, RUSAGE_THREAD, &usage) != 0)
    return;
  bool slept = usage.ru_nvcsw != thread->sleeps;
  thread->sleeps = usage.ru_nvcsw;
  thread->calm_ticks = slept ? 0 : thread->calm_ticks + 1;
  bool rests = thread->calm_ticks >= CALM_TICKS;
  if (rests == atomic_load_explicit (&thread->event_rests, memory_order_relaxed))
    return;
  atomic_store_explicit (&thread->event_rests, rests, memory_order_relaxed);
  gp_syscall (SYS_ioctl, thread->perf_fd, rests ? PERF_EVENT_IOC_DISABLE : PERF_EVENT_IOC_ENABLE, 0);
}

/* A forked child keeps the handler, and maps its parent's counters: it must count nothing. */
static void
count_in_host (enum gp_counter counter)
{
  if (atomic_load_explicit (&g_active, memory_order_relaxed) || gp_syscall (SYS_getpid) == g_segment->host_pid)
    gp_count (counter);
}

/* Records one sample of the interrupted thread. In order: save errno; leave foreign signals; refuse after the stop, on
 * half-built threads and inside itself; unwind, label, commit. Each refusal counts one reason. Bounded: at most
 * GP_MAX_FRAMES frames, a bounded scan, no loop over shared data. */
void
gp_handler (int number, siginfo_t *info, void *context)
{
  int saved_errno = errno;
  struct gp_thread *thread = gp_tick_owner (info);
  (void) number;
  if (thread == NULL) {
    /* There is no handler to pass it on to: the signal was free when we took it, and is ignored by default, or nothing
     * in this process uses it. */
    count_in_host (GP_COUNTER_FOREIGN_SIGNALS);
  } else if (!atomic_load_explicit (&g_active, memory_order_relaxed)) {
    count_in_host (GP_COUNTER_DROPPED_INERT);
  } else if (!atomic_load_explicit (&thread->ready, memory_order_acquire) || !is_of_this_thread (thread)) {
    /* Acquire: pairs with the release at attach. */
    gp_count (GP_COUNTER_DROPPED_NO_THREAD);
  } else if (thread->in_handler) {
    gp_count (GP_COUNTER_DROPPED_NESTED);
  } else if (info->si_code == SI_TIMER && gp_thread_has_event (thread)
             && !atomic_load_explicit (&thread->event_rests, memory_order_relaxed) && !in_system_call (context)) {
    gp_count (GP_COUNTER_TICKS_LEFT_TO_PERF);
  } else {
    thread->in_handler = true;
    ucontext_t *interrupted = context;
    if (thread->first_tick) {
      thread->first_tick = false;
      if (gp_thread_has_event (thread))
        gp_syscall (SYS_ioctl, thread->perf_fd, PERF_EVENT_IOC_PERIOD, &g_interval_ns);
    }
    choose_clock (thread);
    take_sample (thread, interrupted, 1 + (info->si_code == SI_TIMER ? (uint32_t) info->si_overrun : 0));
    /* A thread armed from outside gets its alternate stack when this handler returns: the return would undo a direct
     * sigaltstack(). Not before the poller has found the thread's stack. Until then the thread may still be starting,
     * and may set up an alternate stack of its own only where it finds none: ASan, which at the thread's end unmaps the
     * one that is set then. */
    if ((interrupted->uc_stack.ss_flags & SS_DISABLE) && gp_load (&thread->stack.lo) != 0) {
      interrupted->uc_stack.ss_sp = (void *) thread->signal_stack.lo;
      interrupted->uc_stack.ss_size = thread->signal_stack.hi - thread->signal_stack.lo;
      interrupted->uc_stack.ss_flags = 0;
    }
    thread->in_handler = false;
  }
  errno = saved_errno;
}
