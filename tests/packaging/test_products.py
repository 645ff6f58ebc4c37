# SPDX-License-Identifier: MIT
"""The three native parts as built in this tree: what they need, and what they export.

Context: test.
"""

import re
import shutil
import subprocess

import pytest

import build_shim
from gst_pyro_shim import paths

PRODUCTS = build_shim.Products.under(build_shim.PACKAGE)


def dynamic(path, tag):
    text = subprocess.run(
        ["readelf", "-dW", str(path)], capture_output=True, text=True, check=True
    ).stdout
    return re.findall(rf"\({tag}\)\s+(?:[^\[\n]*\[)?([^\]\n]+)", text)


def test_shim_needs_nothing_but_libc():
    needed = dynamic(PRODUCTS.shim, "NEEDED")
    assert "libc.so.6" in needed
    # glibc's own: the loader, and before 2.34 what libc did not hold yet
    own = r"libc\.so\.6|ld-linux.*|libpthread\.so\.0|libdl\.so\.2|librt\.so\.1"
    assert [name for name in needed if not re.fullmatch(own, name)] == []


def test_shim_is_bound_at_load_and_stays_loaded():
    flags = " ".join(dynamic(PRODUCTS.shim, "FLAGS_1"))
    assert "NOW" in flags
    assert "NODELETE" in flags


def test_shim_exports_the_plugin():
    text = subprocess.run(
        ["nm", "-D", "--defined-only", PRODUCTS.shim], capture_output=True, text=True, check=True
    )
    assert "gst_plugin_pyro_get_desc" in text.stdout


def test_shim_keeps_its_thread_local_storage_static():
    """A dlopened plugin has little static TLS to take: one pointer."""
    text = subprocess.run(
        ["readelf", "-lW", PRODUCTS.shim], capture_output=True, text=True, check=True
    ).stdout
    sizes = [int(line.split()[5], 16) for line in text.splitlines() if line.split()[:1] == ["TLS"]]
    assert sum(sizes) <= 16
    undefined = subprocess.run(
        ["nm", "-D", "-u", PRODUCTS.shim], capture_output=True, text=True, check=True
    ).stdout
    assert "__tls_get_addr" not in undefined


def test_plugin_directory_holds_nothing_else():
    assert [path.name for path in PRODUCTS.shim.parent.iterdir()] == [paths.SHIM_NAME]


def test_agent_library_names_its_libpython():
    libpython = paths.libpython_path()
    assert libpython is not None
    assert any(name.startswith("libpython3") for name in dynamic(PRODUCTS.agent, "NEEDED"))
    assert dynamic(PRODUCTS.agent, "RUNPATH") == [str(libpython.parent)]


def test_native_leaves_python_to_its_importer():
    assert not any(name.startswith("libpython") for name in dynamic(PRODUCTS.native, "NEEDED"))


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_clean_build_has_no_warning(compiler, tmp_path, monkeypatch, capfd):
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} here")
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setenv("GP_WERROR", "1")
    build_shim.build(tmp_path)
    assert "warning" not in capfd.readouterr().err


@pytest.mark.slow
def test_build_with_sanitizers(tmp_path):
    products = build_shim.build(tmp_path, sanitize="address,undefined")
    assert "libasan" in " ".join(dynamic(products.shim, "NEEDED"))
