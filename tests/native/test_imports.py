# SPDX-License-Identifier: MIT
"""csrc/imports*.c: a host whose calls are redirected behaves as before, and its calls are seen.

Each scenario of imports/host*.c runs twice, with and without the shim; what it says on stdout and its exit status must
be the same. What the shim saw stands on stderr, a line for each point (imports/shim.c).
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.native

HERE = Path(__file__).parent / "imports"
CSRC = Path(__file__).parents[2] / "csrc"
CC = os.environ.get("CC", "gcc")
ALL_FOUR = "how 0: 42\nhow 1: 42\nhow 2: 42\nhow 3: 42\n"
DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Workshop:
    """A folder in which the C files of imports/ are built."""

    folder: Path

    def build(self, target: str, source: str, *flags: str) -> Path:
        """A program (no suffix) or library from one file; flags follow the source, as libraries must."""
        path = self.folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = ["-shared", "-fPIC"] if target.endswith(".so") else []
        command = [CC, "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", *kind]
        subprocess.run([*command, str(HERE / source), "-o", str(path), *flags], check=True)
        return path

    def provider(self, target: str = "libprovider.so", *flags: str) -> list[str]:
        """Builds a library with answer(); returns what links a module in the same folder against it."""
        path = self.build(target, "provider.c", f"-Wl,-soname,{Path(target).name}", *flags)
        return [str(path), f"-Wl,-rpath,{path.parent}"]

    def module(self, target: str, *flags: str) -> Path:
        return self.build(target, "module.c", *self.provider(), *flags)

    def shim(self, target: str = "libshim.so", *flags: str) -> Path:
        sources = [str(path) for path in sorted(CSRC.glob("imports*.c"))]
        flags = ("-fvisibility=hidden", "-Wl,-z,now", "-Wl,-z,nodelete", *flags)
        return self.build(target, "shim.c", *sources, *flags)

    def host(self, target: str = "host", *flags: str) -> Path:
        others = [str(HERE / "host_pages.c"), str(HERE / "host_threads.c")]
        return self.build(
            target, "host.c", *others, "-rdynamic", f"-Wl,-rpath,{self.folder}", *flags
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a run with the shim; stdout was the same without it."""

    stdout: str
    notes: dict[str, dict[str, int]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("imports")
    workshop = Workshop(folder)
    workshop.shim()
    workshop.host()
    workshop.module("libmodule.so")
    return workshop


def run(command: list[str | Path], **variables: str | Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {name: str(value) for name, value in variables.items()}
    return subprocess.run(
        [str(word) for word in command],
        env=environment,
        text=True,
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )


def compare(
    host: Path, *arguments: str | Path, preload: bool = True, **variables: str | Path
) -> Outcome:
    """Runs the scenario without the shim beside the host, with it preloaded, and with it."""
    shim = host.parent / "libshim.so"
    plain = run([host, *arguments], **variables)
    assert plain.returncode == 0, plain.stdout + plain.stderr
    for preloaded in (True, False) if preload else (False,):
        ours: dict[str, str | Path] = {"SHIM": shim}
        if preloaded:
            ours["LD_PRELOAD"] = shim
        seen = run([host, *arguments], **variables, **ours)
        assert (seen.returncode, seen.stdout) == (plain.returncode, plain.stdout), seen.stderr
    notes = {}
    for line in seen.stderr.splitlines():
        point, *pairs = line.split()
        notes[point] = {
            name: int(value, 0) for name, _, value in (pair.partition("=") for pair in pairs)
        }
    return Outcome(seen.stdout, notes)


VARIANTS = {
    "lazy": ["-Wl,-z,lazy"],
    "now": ["-Wl,-z,now"],
    "no-relro": ["-Wl,-z,norelro", "-Wl,-z,lazy"],
    "no-relro-now": ["-Wl,-z,norelro", "-Wl,-z,now"],
    "no-plt": ["-fno-plt"],
    "sysv-hash": ["-Wl,--hash-style=sysv"],
    "gnu-hash": ["-Wl,--hash-style=gnu"],
    "both-hashes": ["-Wl,--hash-style=both"],
    "lld-like-layout": ["-Wl,-z,separate-code", "-Wl,-z,nognustack"],
    "wide-pages": ["-Wl,-z,max-page-size=65536"],
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("scenario", ["before", "after"])
@pytest.mark.parametrize("mode", ["lazy", "now"])
def test_every_way_to_import_is_seen(
    shop: Workshop, variant: str, scenario: str, mode: str
) -> None:
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


@pytest.mark.parametrize("bind", ["lazy", "now"])
@pytest.mark.parametrize("mode", ["l", "ld", "n", "nd"])
@pytest.mark.parametrize("linked", ["yes", "no"])
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


@pytest.mark.parametrize("style", ["sysv", "gnu"])
def test_damaged_modules_are_read_within_their_bounds(shop: Workshop, style: str) -> None:
    module = shop.module(f"libdamaged-{style}.so", f"-Wl,--hash-style={style}")
    damage = shop.build("damage", "damage.c", str(CSRC / "imports_elf.c"), "-fsanitize=undefined")
    seen = run([damage, module, "20000"])
    assert (seen.returncode, seen.stdout, seen.stderr) == (0, "1 1\n", "")
