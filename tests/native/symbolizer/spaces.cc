// SPDX-License-Identifier: MIT
// spaces.cc: functions in namespaces and classes, which clang describes inside these, and gcc outside.
//
// Context: test.
namespace outer
{
namespace
{
volatile int sink;

__attribute__ ((noinline)) int
unnamed (int x)
{
  sink = x;
  return sink + 1;
}
}

class Box
{
public:
  __attribute__ ((noinline)) int
  method (int x)
  {
    return unnamed (x) + value;
  }
  int value = 2;
};

template <typename T>
__attribute__ ((noinline)) T
generic (T x)
{
  return x + static_cast<T> (sink);
}
}

extern "C" int
entry (int x)
{
  outer::Box box;
  return box.method (x) + static_cast<int> (outer::generic<long> (x));
}
