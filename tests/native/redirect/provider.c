/* SPDX-License-Identifier: MIT */
/* provider.c: defines answer(). ANSWER: what it adds; VERSIONS: an older version that answers otherwise.
 *
 * Context: test.
 */
#ifndef ANSWER
#define ANSWER 1
#endif

#ifdef VERSIONS
int answer_old (int question);
int answer_new (int question);
__asm__ (".symver answer_old, answer@OLD\n.symver answer_new, answer@@NEW\n");

int
answer_old (int question)
{
  return question + 1000;
}

int
answer_new (int question)
{
  return question + ANSWER;
}
#else
int answer (int question);

int
answer (int question)
{
  return question + ANSWER;
}
#endif
