# SPDX-License-Identifier: MIT
"""install.py: what is put where, what is taken away, and what is left alone. No root, no real ldconfig.

Context: test.
"""

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
    with pytest.raises(InstallError, match="not ours"):
        install.install(libdir)
    assert install.uninstall(libdir) == []
    assert tree(libdir) == ["libgstpyro.so"]


def test_missing_permission_names_the_command_that_has_it(libdir, monkeypatch):
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(libdir))

    monkeypatch.setattr(install, "_copy", refused)
    with pytest.raises(InstallError, match="Permission denied") as raised:
        install.install(libdir)
    assert "sudo" in raised.value.hint
    assert "gst_pyro_shim install" in raised.value.hint


def test_directory_that_the_loader_does_not_search_is_refused(libdir, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with pytest.raises(InstallError, match="does not find") as raised:
        install.install(elsewhere)
    assert str(libdir) in raised.value.hint
    assert tree(elsewhere) == []
    with pytest.raises(InstallError, match="is no directory") as raised:
        install.install(tmp_path / "missing")
    assert str(libdir) in raised.value.hint
    assert not (tmp_path / "missing").exists()


def test_real_loader_searches_something():
    assert install.searched_dirs()
    assert install.default_libdir().is_dir()
