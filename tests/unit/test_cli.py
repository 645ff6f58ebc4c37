# SPDX-License-Identifier: MIT
"""cli.py and errors.py: subcommands, flags, messages and exit statuses.

Context: test.
"""

import inspect
import shlex
import subprocess
import sys

import pytest

from gst_pyro_shim import __version__, cli, errors, paths
from gst_pyro_shim.settings.model import Settings


@pytest.fixture
def runner(monkeypatch):
    """What `run` hands over."""
    calls = []

    def run(command, flags, *, force=False):
        calls.append((list(command), dict(flags), force))
        return 7

    monkeypatch.setattr("gst_pyro_shim.run.runner.run", run)
    return calls


def test_version(capsys):
    with pytest.raises(SystemExit) as raised:
        cli.main(["--version"])
    assert raised.value.code == 0
    assert capsys.readouterr().out == f"gst-pyro-shim {__version__}\n"


def test_run_passes_flags_and_command(runner):
    argv = [
        "run",
        "--sample-rate",
        "250",
        "-o",
        "x.pb.gz",
        "--force",
        "--",
        "prog",
        "--sample-rate",
        "5",
        "--",
        "-o",
    ]
    assert cli.main(argv) == 7
    assert runner == [
        (
            ["prog", "--sample-rate", "5", "--", "-o"],
            {"sample_rate": "250", "output": "x.pb.gz"},
            True,
        )
    ]


def test_run_does_without_the_dashes(runner):
    cli.main(["run", "prog", "-o", "y"])
    assert runner == [(["prog", "-o", "y"], {}, False)]


def test_run_has_a_flag_for_every_setting(runner):
    for field in Settings.model_fields:
        cli.main(["run", f"--{field.replace('_', '-')}", "v", "--", "prog"])
        assert runner[-1][1] == {field: "v"}


@pytest.mark.parametrize("command", [[], [""], ["", "x"]])
def test_run_without_command_says_how(capsys, command):
    assert cli.main(["run", "--", *command]) == errors.GstPyroError.exit_code
    assert "run -- gst-launch-1.0" in capsys.readouterr().err


def test_run_names_misspelt_variables(runner, capsys, monkeypatch):
    monkeypatch.setenv("GST_PYROSCOPE_SAMPLERATE", "5")
    cli.main(["run", "--", "prog"])
    assert "did you mean GST_PYROSCOPE_SAMPLE_RATE?" in capsys.readouterr().err


def test_wrong_flag_value_is_one_message_and_starts_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        cli.main(["run", "--sample-rate", "fast", "--", "touch", "started"])
        == errors.ConfigError.exit_code
    )
    assert "gst-pyro-shim: --sample-rate='fast' is not allowed" in capsys.readouterr().err
    assert not (tmp_path / "started").exists()


def test_flags_are_not_abbreviated(runner, capsys):
    with pytest.raises(SystemExit) as raised:
        cli.main(["run", "--sample", "5", "--", "prog"])
    assert raised.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "usage: gst-pyro-shim run [options] -- COMMAND [ARGUMENT ...]",
        "gst-pyro-shim run: error: unrecognized arguments: --sample",
    ]


@pytest.mark.parametrize("subcommand", cli.SUBCOMMANDS)
def test_every_subcommand_has_help(subcommand, capsys):
    with pytest.raises(SystemExit) as raised:
        cli.main([subcommand, "--help"])
    assert raised.value.code == 0
    assert subcommand in capsys.readouterr().out


def test_help_says_when_the_status_is_not_the_commands(capsys):
    with pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert "The status is 3 if the command succeeded but its profile could not be written" in words


def test_help_does_not_list_what_is_internal(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert "segment" not in capsys.readouterr().out


def test_errors_have_exit_statuses_of_their_own():
    classes = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if kind.__module__ == errors.__name__
    ]
    codes = [kind.exit_code for kind in classes]
    assert len(set(codes)) == len(codes)
    assert not {0, 1, 2}.intersection(codes)


@pytest.fixture
def built(tmp_path, monkeypatch):
    """A package whose parts are built."""
    (tmp_path / "plugin").mkdir()
    (tmp_path / "plugin" / "libgstpyro.so").write_bytes(b"")
    monkeypatch.setattr(paths, "package_dir", lambda: tmp_path)
    return tmp_path


def test_path_prints_one_line_and_writes_the_record(built, capsys):
    assert cli.main(["path"]) == 0
    assert capsys.readouterr().out == f"{built}/plugin/libgstpyro.so\n"
    assert (built / paths.RECORD_NAME).is_file()
    assert cli.main(["path", "--plugin-dir"]) == 0
    assert capsys.readouterr().out == f"{built}/plugin\n"


def test_env_prints_lines_that_a_shell_takes(built, capsys, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", "liba.so")
    assert cli.main(["env"]) == 0
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["export", f"LD_PRELOAD=liba.so:{built}/plugin/libgstpyro.so"],
        ["export", f"GST_PYROSCOPE_PYTHON={paths.python_path()}"],
    ]


def test_a_path_that_cannot_be_preloaded_is_shown_and_told(tmp_path, capsys, monkeypatch):
    package = tmp_path / "with blank"
    (package / "plugin").mkdir(parents=True)
    (package / "plugin" / "libgstpyro.so").write_bytes(b"")
    monkeypatch.setattr(paths, "package_dir", lambda: package)
    assert cli.main(["path"]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{package}/plugin/libgstpyro.so\n"
    assert f"{package}/plugin/libgstpyro.so cannot be in LD_PRELOAD" in shown.err
    assert "Use `run`" in shown.err
    # GST_PLUGIN_PATH takes a blank
    assert cli.main(["path", "--plugin-dir"]) == 0
    assert capsys.readouterr() == (f"{package}/plugin\n", "")


def test_parts_that_are_not_built_are_one_message(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(paths, "package_dir", lambda: tmp_path)
    assert cli.main(["path"]) == errors.NotBuiltError.exit_code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("gst-pyro-shim: ")
    assert "make build" in captured.err


def test_path_imports_neither_pydantic_nor_rich():
    code = (
        "import sys; from gst_pyro_shim import cli\n"
        "cli.main(['path'])\n"
        "sys.exit(bool({'pydantic', 'rich', 'google.protobuf'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
