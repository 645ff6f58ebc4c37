# SPDX-License-Identifier: MIT
"""csrc/shim/redirect/: a host whose calls are redirected behaves as before, and its calls are seen."""

from __future__ import annotations

import shutil

import pytest

from tests.native.redirect_workshop import ALL_FOUR, VARIANTS, Workshop, compare

pytestmark = pytest.mark.native


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop.with_basics(tmp_path_factory.mktemp("redirect"))


# Every two of variant, scenario and mode meet; all three need not.
@pytest.mark.parametrize(
    ("variant", "scenario", "mode"),
    [
        (variant, scenario, "lazy" if (number + late) % 2 == 0 else "now")
        for number, variant in enumerate(VARIANTS)
        for late, scenario in enumerate(("before", "after"))
    ],
)
def test_every_way_to_import_is_seen(
    shop: Workshop, variant: str, scenario: str, mode: str
) -> None:
    if variant in ("gold", "lld") and shutil.which(f"ld.{variant}") is None:
        pytest.skip(f"no {variant} here")
    module = shop.module(f"lib{variant}.so", *VARIANTS[variant])
    outcome = compare(shop.folder / "host", scenario, module, mode[0])
    assert outcome.stdout.startswith(ALL_FOUR)
    assert outcome.notes["end"]["creates"] == 4
    assert outcome.notes["end"]["answers"] == 4
    assert outcome.notes["end"]["pending"] == 0


def test_an_executable_with_fixed_addresses(shop: Workshop) -> None:
    # Its own PLT entry is the address of pthread_create for the whole process.
    host = shop.host("host-fixed", "-no-pie", "-fno-pic")
    outcome = compare(host, "after", shop.folder / "libmodule.so", "l")
    assert outcome.stdout.startswith(ALL_FOUR)
    assert outcome.notes["end"]["creates"] == 4


def test_the_loaders_errors_are_its_own(shop: Workshop) -> None:
    outcome = compare(shop.folder / "host", "errors", shop.folder / "libmodule.so")
    assert "errno 12345, dlerror (null)" in outcome.stdout


@pytest.mark.parametrize(
    "name", ["libleaf.so", "$ORIGIN/deps/libleaf.so", "${ORIGIN}/deps/libleaf.so"]
)
@pytest.mark.parametrize("tags", ["--enable-new-dtags", "--disable-new-dtags"])
def test_the_callers_search_path_holds(shop: Workshop, name: str, tags: str) -> None:
    shop.module("asks/deps/libleaf.so")
    path = f"-Wl,-rpath,$ORIGIN/deps,{tags}"
    opener = shop.build(f"asks/libopener{tags}.so", "opener.c", path)
    outcome = compare(shop.folder / "host", "opener", opener, name)
    assert outcome.stdout == "found: yes\n" + ALL_FOUR
    assert outcome.notes["opened"]["pending"] == 1
    assert outcome.notes["end"]["creates"] == 4
    assert outcome.notes["end"]["pending"] == 0


def test_nothing_else_depends_on_the_caller(shop: Workshop) -> None:
    # libtop.so needs libhidden.so, which only the caller's DT_RPATH could find. The loader does not look there.
    hidden = shop.build("handed/deps/libhidden.so", "provider.c", "-Wl,-soname,libhidden.so")
    top = shop.build("handed/libtop.so", "module.c", str(hidden))
    path = "-Wl,-rpath,$ORIGIN/deps,--disable-new-dtags"
    opener = shop.build("handed/libopener.so", "opener.c", path)
    outcome = compare(shop.folder / "host", "opener", opener, top)
    assert outcome.stdout.startswith("found: libhidden.so: cannot open")


def test_a_path_is_passed_over_at_once(shop: Workshop) -> None:
    shop.module("paths/libleaf.so")
    opener = shop.build("paths/libopener.so", "opener.c")
    outcome = compare(shop.folder / "host", "opener", opener, shop.folder / "paths/libleaf.so")
    ready, opened = outcome.notes["ready"], outcome.notes["opened"]
    assert opened["pending"] == 0
    assert opened["modules"] == ready["modules"] + 1
    assert opened["refreshes"] == ready["refreshes"] + 1


def test_reloading_at_the_same_address(shop: Workshop) -> None:
    outcome = compare(shop.folder / "host", "reload", shop.folder / "libmodule.so")
    assert outcome.notes["load4"]["same"] == 1
    assert outcome.notes["end"]["creates"] == 20
    assert outcome.notes["end"]["closings"] == 5


@pytest.mark.parametrize(
    ("bind", "mode", "linked"),
    [
        ("lazy", "l", "yes"),
        ("now", "l", "no"),
        ("lazy", "ld", "no"),
        ("now", "ld", "yes"),
        ("lazy", "n", "yes"),
        ("now", "n", "no"),
        ("lazy", "nd", "no"),
        ("now", "nd", "yes"),
    ],
)
def test_copies_of_a_function_stay_apart(shop: Workshop, bind: str, mode: str, linked: str) -> None:
    modules = []
    for copy in (5, 7):
        link = shop.provider(f"copy{copy}/libcopy{copy}.so", f"-DANSWER={copy}")
        modules.append(
            shop.build(f"copy{copy}/libuser-{bind}.so", "module.c", *link, f"-Wl,-z,{bind}")
        )
    # With the host itself linked to a third one, that is the global scope's.
    third = shop.provider("libthird.so", "-DANSWER=3")
    host = (
        shop.host("host-third", "-Wl,--no-as-needed", *third)
        if linked == "yes"
        else shop.folder / "host"
    )
    compare(host, "copies", mode, *modules)


@pytest.mark.parametrize("bind", ["lazy", "now"])
def test_an_older_version_of_a_function_stays(shop: Workshop, bind: str) -> None:
    script = shop.folder / "versions.map"
    flags = ["-Wl,-soname,libversions.so", f"-Wl,--version-script={script}"]
    script.write_text("OLD { global: answer; local: *; };\n")
    old = shop.build("old/libversions.so", "provider.c", *flags)
    link = [str(old), f"-Wl,-rpath,{shop.folder}", f"-Wl,-z,{bind}"]
    module = shop.build(f"libold-{bind}.so", "module.c", *link)
    script.write_text("OLD { global: answer; local: *; };\nNEW { global: answer; } OLD;\n")
    shop.build("libversions.so", "provider.c", "-DVERSIONS", *flags)
    outcome = compare(shop.folder / "host", "copies", "l", module)
    assert outcome.stdout.startswith("how 0: 1041\n")
    assert outcome.notes["end"]["creates"] == 4
    assert outcome.notes["end"]["answers"] == 0


def test_a_provider_that_comes_later(shop: Workshop) -> None:
    # Nobody defines answer() when the shim starts, and it comes in no global scope.
    outcome = compare(shop.folder / "host", "after", shop.folder / "libmodule.so", "l")
    assert outcome.notes["end"]["answers"] == 4
