# SPDX-License-Identifier: MIT
"""install.py: what is put where, what is taken away, and what is left alone. No root, no real ldconfig.

Context: test.
"""

import os
import shutil
import stat
from pathlib import Path

import pytest

from gst_pyro_shim import install, paths
from gst_pyro_shim.errors import InstallError


@pytest.fixture
def libdir(tmp_path, monkeypatch):
    """A directory that the loader is made to search; the shim is built."""
    package = tmp_path / "package"
    (package / "plugin").mkdir(parents=True)
    (package / "plugin" / "libgstpyro.so").write_bytes(b"shim")
    (package / "libgstpyro-agent.so").write_bytes(b"agent")
    monkeypatch.setattr(paths, "package_dir", lambda: package)
    directory = tmp_path / "lib"
    directory.mkdir()

    def ldconfig(*arguments: str) -> str:
        if "-p" in arguments:
            return "".join(f"\t{name} (libc6) => {directory}/{name}\n" for name in tree(directory))
        return f"{directory}: (from /etc/ld.so.conf)\n\tlibx.so -> libx.so.1\n"

    monkeypatch.setattr(install, "_ldconfig", ldconfig)
    monkeypatch.setattr(install, "_CACHE", tmp_path / "ld.so.cache")
    return directory


def tree(directory):
    return sorted(
        str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()
    )


def test_install_links_to_a_copy_alone_in_its_directory(libdir):
    # WHEN
    installed = install.install(libdir)
    # THEN
    assert tree(libdir) == [
        "gst-pyro-shim/agent-python.txt",
        "gst-pyro-shim/plugin/libgstpyro.so",
        "libgstpyro.so",
    ]
    link, copy, record = installed
    assert link.samefile(copy)
    assert str(link.readlink()) == "gst-pyro-shim/plugin/libgstpyro.so"
    assert copy.read_bytes() == b"shim"
    assert record.read_text().splitlines()[3] == str(paths.agent_path())


def test_second_install_replaces_the_copy_and_does_not_write_into_it(libdir):
    copy = install.install(libdir)[1]
    before = copy.stat().st_ino
    (paths.plugin_dir() / "libgstpyro.so").write_bytes(b"newer")
    install.install(libdir)
    assert copy.read_bytes() == b"newer"
    assert copy.stat().st_ino != before


def test_uninstall_removes_exactly_what_install_put_there(libdir):
    (libdir / "libother.so").write_bytes(b"")
    (libdir / "gst-pyro-shim").mkdir()
    (libdir / "gst-pyro-shim" / "notes.txt").write_text("mine")
    installed = install.install(libdir)
    assert sorted(install.uninstall()) == sorted(installed)
    assert tree(libdir) == ["gst-pyro-shim/notes.txt", "libother.so"]
    assert install.uninstall() == []


def test_foreign_file_of_that_name_is_left_alone(libdir):
    (libdir / "libgstpyro.so").write_bytes(b"foreign")
    with pytest.raises(InstallError, match="gst-pyro-shim did not install it"):
        install.install(libdir)
    assert install.uninstall(libdir) == []
    assert tree(libdir) == ["libgstpyro.so"]


@pytest.mark.parametrize("umask", [0o077, 0o000])
def test_all_may_read_and_root_alone_may_write_whatever_the_umask(libdir, umask):
    # GIVEN folders of an installation that went by the umask
    for folder in (libdir / "gst-pyro-shim", libdir / "gst-pyro-shim" / "plugin"):
        folder.mkdir()
        folder.chmod(0o777 & ~umask)
    for _ in range(2):
        # WHEN
        before = os.umask(umask)
        try:
            link, copy, record = install.install(libdir)
        finally:
            os.umask(before)
        # THEN
        found = [copy, copy.parent, record, record.parent]
        assert [stat.S_IMODE(one.stat().st_mode) for one in found] == [0o755, 0o755, 0o644, 0o755]
        # and again, where nothing was
        install.uninstall(libdir)
        assert not os.path.lexists(link)


@pytest.mark.parametrize("way", ["{0}/", "{0}/../lib", "../lib", "link"])
def test_a_directory_has_many_names(libdir, monkeypatch, way):
    (libdir.parent / "here").mkdir()
    monkeypatch.chdir(libdir.parent / "here")
    Path("link").symlink_to(libdir)
    for _ in range(2):
        installed = install.install(Path(way.format(libdir)))
        assert installed[0] == libdir / "libgstpyro.so"
    assert install.uninstall(Path(way.format(libdir))) == installed


@pytest.mark.parametrize(
    "step", ["copy", "agent-python.txt", "plugin/libgstpyro.so", "link", "loader"]
)
@pytest.mark.parametrize("is_upgrade", [False, True])
def test_a_failure_midway_leaves_what_was_there(libdir, monkeypatch, step, is_upgrade):
    # GIVEN
    folder = libdir / "gst-pyro-shim"
    if is_upgrade:
        install.install(libdir)
        (folder / "agent-python.txt").write_text("of the older version")
    before = {name: (libdir / name).read_bytes() for name in tree(libdir)}
    (paths.plugin_dir() / "libgstpyro.so").write_bytes(b"newer")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    real = Path.replace
    target_of = {"link": libdir / "libgstpyro.so"}

    def replace(source: Path, target: Path) -> Path:
        # What is brought back afterwards comes by the same function.
        is_new = not source.name.endswith(".before")
        return (
            full()
            if is_new and target == target_of.get(step, folder / step)
            else real(source, target)
        )

    monkeypatch.setattr(Path, "replace", replace)
    if step == "copy":
        monkeypatch.setattr(shutil, "copyfile", full)
    if step == "loader":
        monkeypatch.setattr(install, "_found_by_loader", full)
    # WHEN
    with pytest.raises(InstallError, match=r"Cannot install: .*: No space left on device\."):
        install.install(libdir)
    # THEN
    assert {name: (libdir / name).read_bytes() for name in tree(libdir)} == before
    assert folder.exists() == is_upgrade


def test_another_library_of_that_name_before_ours_is_told(libdir, monkeypatch):
    earlier = libdir.parent / "earlier" / "libgstpyro.so"
    earlier.parent.mkdir()
    earlier.write_bytes(b"foreign")
    listed = "".join(
        f"\tlibgstpyro.so (libc6,x86-64) => {path}\n" for path in (earlier, libdir / earlier.name)
    )
    known = install._ldconfig
    monkeypatch.setattr(
        install, "_ldconfig", lambda *given: listed if given == ("-p",) else known(*given)
    )
    with pytest.raises(InstallError, match=f"another .* before .*: {earlier}"):
        install.install(libdir)
    assert tree(libdir) == []
    assert not (libdir / "gst-pyro-shim").exists()


def test_missing_permission_names_the_command_that_has_it(libdir, monkeypatch):
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(libdir))

    monkeypatch.setattr(install, "_make_folder", refused)
    with pytest.raises(InstallError, match=f"{libdir}: Permission denied") as raised:
        install.install(libdir)
    assert "sudo" in raised.value.hint
    assert raised.value.hint.endswith(f"-m gst_pyro_shim install --libdir {libdir}")


def test_user_who_may_write_there_but_not_tell_the_loader_is_told_of_root(libdir, monkeypatch):
    # As members of Debian's group staff may, in /usr/local.
    monkeypatch.setattr(install, "_ldconfig", lambda *_: "")
    # A folder that not even root may write into.
    monkeypatch.setattr(install, "_CACHE", Path("/none/ld.so.cache"))
    with pytest.raises(InstallError, match=r"/none/ld\.so\.cache: Permission denied") as raised:
        install.install(libdir)
    assert "needs root" in raised.value.hint
    assert tree(libdir) == []


def test_directory_that_the_loader_does_not_search_is_refused(libdir, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with pytest.raises(InstallError, match="does not find") as raised:
        install.install(elsewhere)
    assert str(libdir) in raised.value.hint
    assert tree(elsewhere) == []
    with pytest.raises(InstallError, match="is not a directory") as raised:
        install.install(tmp_path / "missing")
    assert str(libdir) in raised.value.hint
    assert not (tmp_path / "missing").exists()


def test_real_loader_searches_something():
    assert install.searched_dirs()
    assert install.default_libdir().is_dir()
