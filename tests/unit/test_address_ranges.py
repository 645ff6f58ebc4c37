# SPDX-License-Identifier: MIT
"""symbols/address_ranges.py: the range that holds an address, however they were added.

Context: test.
"""

from hypothesis import given, strategies as st

from gst_pyro_shim.symbols.address_ranges import AddressRanges


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 10)), max_size=20))
def test_an_address_has_the_value_of_the_range_that_was_added_last(slots):
    ranges: AddressRanges[int] = AddressRanges()
    expected = {}
    for value, (slot, size) in enumerate(slots):
        ranges.add(slot * 10, slot * 10 + size, value)
        for address in range(slot * 10, slot * 10 + 10):
            expected.pop(address, None)
        expected |= dict.fromkeys(range(slot * 10, slot * 10 + size), value)
        assert [ranges.find(address) for address in range(520)] == [
            expected.get(address) for address in range(520)
        ]


def test_ranges_are_listed_by_where_they_start():
    ranges: AddressRanges[str] = AddressRanges()
    for start, name in ((30, "c"), (10, "a"), (20, "b")):
        ranges.add(start, start + 5, name)
    assert list(ranges.starting_in(10, 30)) == ["a", "b"]
    assert list(ranges.starting_in(11, 31)) == ["b", "c"]
    assert list(ranges.starting_in(31, 99)) == []


def test_ranges_are_sorted_once_after_they_were_added():
    ranges: AddressRanges[str] = AddressRanges()
    ranges.add(10, 15, "a")
    assert ranges.find(12) == "a"
    before = ranges._starts
    assert ranges.find(20) is None
    assert ranges._starts is before
    ranges.add(20, 25, "b")
    assert ranges.find(20) == "b"
