# SPDX-License-Identifier: MIT
"""symbols/demangle.py: C++, and both schemes of Rust.

Context: test. Rust's names are those of RFC 2603 and of rustc's own output.
"""

import pytest
from hypothesis import given, strategies as st

from gst_pyro_shim.symbols.demangle import demangle

_LEGACY = "_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$3bar17h930b740aa94f1d3aE"


@pytest.mark.parametrize(
    ("mangled", "plain"),
    [
        ("gst_pad_push", "gst_pad_push"),
        ("malloc@@GLIBC_2.2.5", "malloc"),
        ("__memcpy_avx_unaligned", "__memcpy_avx_unaligned"),
        ("_ZNSt6vectorIiSaIiEE9push_backEOi", "std::vector<int, std::allocator<int> >::push_back(int&&)"),
        ("_ZN3foo", "_ZN3foo"),
        ("_ZN3std2io5Write9write_fmt17h0123456789abcdefE", "std::io::Write::write_fmt"),
        ("_ZN4core3fmt5write17h0123456789abcdefE.llvm.123", "core::fmt::write"),
        (_LEGACY, "<Test + 'static as foo::Bar<Test>>::bar"),
        ("_RNvC6_123foo3bar", "123foo::bar"),
        ("_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y", "utf8_idents::საჭმელად_გემრიელი_სადილი"),
        ("_RNCNCNgCs6DXkGYLi8lr_2cc5spawn00B5_", "cc::spawn::{closure#0}::{closure#0}"),
        (
            "_RINvMsY_NtCseXNvpPnDBDp_3std4pathNtB6_4Path3neweECs7GrvExAnkjZ_9cargotest",
            "<std::path::Path>::new::<str>",
        ),
        ("_RINvNtC3std3mem8align_ofNtNtC3std3mem12DiscriminantE", "std::mem::align_of::<std::mem::Discriminant>"),
        ("_RNvXCs1234_7mycrateINtB2_3FoolENtB2_3Bar3baz", "<mycrate::Foo<i32> as mycrate::Bar>::baz"),
        ("_RIC0Kb1_E", "::<true>"),
        ("_RIC0Kc76_E", "::<'v'>"),
        ("_RIC0Kanff_E", "::<-255>"),
        ("_RIC1aFUKCTRPeQhEEuE", 'a::<unsafe extern "C" fn((&*const str, &mut u8))>'),
        ("_RIC1aDNtC1b1Cp1cyp5firstlEL_E", "a::<dyn b::C<c = u64, first = i32>>"),
    ],
)  # fmt: skip
def test_names_are_made_readable(mangled, plain):
    assert demangle(mangled) == plain


@pytest.mark.parametrize(
    "name", ["_R", "_RNxB_0", "_RB_", "_RNvB1_3foo", "_RIC0Kz1_E", "_RNvC3a", "_ZN9999", "", "_"]
)
def test_what_is_no_mangled_name_stays_as_it_is(name):
    assert demangle(name) == name


def _doubling_rust(times):
    """Each tuple refers back to the one before, twice."""
    digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    name = "_RIC1ah"
    before = 4
    for _ in range(times):
        high, low = divmod(before - 1, 62)
        back = f"B{digits[high] if high else ''}{digits[low]}_"
        before = len(name) - 2
        name += f"T{back}{back}E"
    return name + "E"


def _doubling_cxx(times):
    """Each template's arguments are the type before, twice."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return "_Z1f1AIiiE" + "".join(f"S_IS{digit}_S{digit}_E" for digit in digits[:times])


@pytest.mark.parametrize("doubling", [_doubling_rust, _doubling_cxx])
def test_back_references_cannot_make_a_short_name_a_huge_one(doubling):
    assert len(demangle(doubling(10))) > 5_000
    assert demangle(doubling(30)) == doubling(30)


@given(st.text("BCEIMNTXYZ_0123456789abcvsu", max_size=60))
def test_nonsense_is_survived(rest):
    assert isinstance(demangle("_R" + rest), str)
    assert isinstance(demangle("_ZN" + rest + "17h0123456789abcdefE"), str)
