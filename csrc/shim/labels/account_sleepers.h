/* SPDX-License-Identifier: MIT */
/* clang-format off */
/* account_sleepers.h: the second of two heuristics of account.c: which labels sleep in short stretches.
 *
 * A thread that hands work to another and has the result back after 20 us sleeps in a short stretch. The cycle counter
 * takes that sleep for CPU time, and the correction (account_clock.h) would be at the cost of all labels. So some
 * stretches of each label are measured: the thread's clock is read at both of their ends. A label that was seen to
 * sleep has every stretch measured, another one ever fewer.
 *
 * The state of a label on a thread, and its values of skip_length and probation:
 *
 * | state             | meaning                       | leaves when                       | cost: reads of the clock |
 * | ----------------- | ----------------------------- | --------------------------------- | ------------------------ |
 * | new: 0, 0         | nothing is known; the next    | it slept -> sleeper;              | two for this stretch     |
 * |                   | stretch is measured           | else -> trusted with n = 1        |                          |
 * | trusted: n, 0     | the last measured stretch did | a measured stretch slept ->       | two for n + 1 stretches  |
 * |                   | not sleep; n go unmeasured    | sleeper; else -> trusted with     |                          |
 * |                   | before the next one           | 2 n + 1, at most 1023             |                          |
 * | sleeper: 0, 64..1 | a measured stretch slept;     | 64 in a row did not sleep -> new  | two for each stretch     |
 * |                   | each one is measured          |                                   |                          |
 *
 * A trusted label is suspected where a read finds that the thread slept while the label had an estimate: then no more
 * than 63 of its next stretches go unmeasured. A read that ends one measured stretch and begins another counts for both.
 *
 * Context: hook, on the thread itself.
 */
/* clang-format on */
#ifndef GP_ACCOUNT_SLEEPERS_H
#define GP_ACCOUNT_SLEEPERS_H

#include "shim/base/account_state.h"

#define SKIPS_MAX 1023
#define SKIPS_MAX_SUSPECTED 63
#define PROBATION 64

/* Whether the label's next stretch is to be measured. If not: sleepers_skip(). */
static inline bool
sleepers_is_due (const struct gp_tally *tally)
{
  return tally->skips_left == 0;
}

/* A stretch of the label begins unmeasured. */
static inline void
sleepers_skip (struct gp_tally *tally)
{
  tally->skips_left--;
}

/* A measured stretch of the label has ended. */
static inline void
sleepers_learn (struct gp_tally *tally, bool slept)
{
  if (slept) {
    tally->probation = PROBATION;
    tally->skip_length = 0;
  } else if (tally->probation > 0) {
    tally->probation--;
  } else {
    tally->skip_length = tally->skip_length < SKIPS_MAX ? 2 * tally->skip_length + 1 : SKIPS_MAX;
  }
  tally->skips_left = tally->skip_length;
}

/* The thread has slept since its clock was last read, perhaps in a stretch of these labels. */
static inline void
sleepers_suspect (struct gp_tally *estimated)
{
  for (struct gp_tally *tally = estimated; tally != NULL; tally = tally->next)
    if (tally->skips_left > SKIPS_MAX_SUSPECTED)
      tally->skips_left = SKIPS_MAX_SUSPECTED;
}

#endif
