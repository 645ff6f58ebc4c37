# SPDX-License-Identifier: MIT
"""csrc/shim/redirect/ where others write to slots and pages; with threads, forks, sanitizers and damaged modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.native.redirect_workshop import ALL_FOUR, CSRC, VARIANTS, Workshop, compare, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.native


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop.with_basics(tmp_path_factory.mktemp("redirect"))


def test_a_constructor_that_waits_for_its_threads(shop: Workshop) -> None:
    module = shop.module("libconstructor.so", "-DCONSTRUCTOR")
    shop.module("liblater.so")
    outcome = compare(shop.folder / "host", "constructor", module, "liblater.so")
    assert outcome.stdout == ALL_FOUR * 2
    assert outcome.notes["flagged"]["pending"] == 1
    # Those of run_all, and the one made by the host's own code; the constructor's own came too early.
    assert outcome.notes["end"]["creates"] == 9


@pytest.mark.parametrize("variant", ["now", "lazy"])
def test_pages_are_left_as_they_were(shop: Workshop, variant: str) -> None:
    module = shop.module(f"libpages-{variant}.so", *VARIANTS[variant])
    outcome = compare(shop.folder / "host", "pages", module)
    assert "r--p" in outcome.stdout
    assert outcome.notes["end"]["creates"] == 4


@pytest.mark.parametrize("variant", ["now", "lazy"])
def test_pages_that_somebody_opened_stay_open(shop: Workshop, variant: str) -> None:
    module = shop.module(f"libpages-{variant}.so", *VARIANTS[variant])
    outcome = compare(shop.folder / "host", "pages", module, "open")
    assert outcome.notes["start"]["pending"] == 1
    assert outcome.notes["settled"]["pending"] == 0
    assert outcome.notes["end"]["creates"] == 4


def test_a_kernel_that_refuses_the_probe(shop: Workshop) -> None:
    module = shop.module("libpages-lazy.so", *VARIANTS["lazy"])
    outcome = compare(shop.folder / "host", "refused", module)
    assert outcome.notes["start"]["pending"] == 1
    assert outcome.notes["settled"]["pending"] == 0
    assert outcome.notes["end"]["creates"] == 4


def test_a_slot_that_was_set_back_is_found(shop: Workshop) -> None:
    outcome = compare(shop.folder / "host", "bound", shop.folder / "libmodule.so")
    assert outcome.notes["end"]["creates"] == 4


@pytest.mark.parametrize("variant", ["now", "no-relro"])
def test_a_slot_of_another_interposer_is_left_alone(shop: Workshop, variant: str) -> None:
    module = shop.module(f"libforeign-{variant}.so", *VARIANTS[variant])
    outcome = compare(shop.folder / "host", "foreign", module)
    assert outcome.stdout.endswith("somebody else's\nhow 3: 42\n")
    # Theirs calls pthread_create through the host's slot, which is ours.
    assert outcome.notes["end"]["creates"] == 4
    assert outcome.notes["end"]["pending"] == 0


def three(shop: Workshop) -> list[Path]:
    return [
        shop.module(f"libstorm{n}.so", *VARIANTS[v])
        for n, v in enumerate(("lazy", "now", "no-relro"))
    ]


def test_storm_of_dlopen(shop: Workshop) -> None:
    for _ in range(3):
        outcome = compare(shop.folder / "host", "storm", "8", *three(shop))
        assert outcome.stdout == f"total {8 * 60 * 42}\n"


def test_forks_during_passes(shop: Workshop) -> None:
    paths = three(shop)
    outcome = compare(shop.folder / "host", "forks", "100", paths[0].name, paths[1])
    assert outcome.stdout == "good 100\n"


@pytest.mark.parametrize("sanitizer", ["address", "thread", "undefined"])
@pytest.mark.parametrize(
    "scenario", [("after", "l"), ("storm", "4"), ("reload",)], ids=lambda words: words[0]
)
def test_with_sanitizers(shop: Workshop, sanitizer: str, scenario: tuple[str, ...]) -> None:
    flag = f"-fsanitize={sanitizer}"
    shop.shim(f"{sanitizer}/libshim.so", flag)
    host = shop.host(f"{sanitizer}/host", flag)
    name, *rest = scenario
    arguments: list[str | Path] = [shop.folder / "libmodule.so", *rest]
    if name == "storm":
        arguments = [*rest, *three(shop)]
    # The loader's locks are none that a sanitizer knows of.
    suppressions = shop.folder / "suppressions"
    suppressions.write_text("race:ld-linux\n")
    # A sanitizer's own dlopen loses the caller's search path; a preloaded one must come first itself.
    outcome = compare(
        host,
        name,
        *arguments,
        preload=False,
        LD_LIBRARY_PATH=shop.folder,
        TSAN_OPTIONS=f"suppressions={suppressions}",
    )
    assert outcome.notes["end"]["creates"] > 0


@pytest.mark.fuzz
@pytest.mark.parametrize("style", ["sysv", "gnu"])
def test_damaged_modules_are_read_within_their_bounds(shop: Workshop, style: str) -> None:
    module = shop.module(f"libdamaged-{style}.so", f"-Wl,--hash-style={style}")
    damage = shop.build(
        "damage",
        "damage.c",
        str(CSRC / "shim" / "redirect" / "redirect_elf.c"),
        "-fsanitize=undefined",
    )
    seen = run([damage, module, "20000"])
    assert (seen.returncode, seen.stdout, seen.stderr) == (0, "1 1\n", "")
