# SPDX-License-Identifier: MIT
"""run/runner.py, run/environment.py, pprof/run_facts.py: `run` from the outside, with a target that stands
for a profiled program.

Context: test.
"""

import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gst_pyro_shim.agent.reception import Reception
from gst_pyro_shim.errors import NotBuiltError
from gst_pyro_shim.pprof import files
from gst_pyro_shim.pprof.run_facts import RunFacts, why_preload_is_ignored
from gst_pyro_shim.run import environment
from gst_pyro_shim.settings.model import Settings

pytestmark = pytest.mark.slow  # each test starts programs

ROOT = Path(__file__).parents[2]
FAKE = [sys.executable, str(ROOT / "tests" / "targets" / "hands_in.py")]
LIBC = re.search(r"/\S*/libc\.so\S*", Path("/proc/self/maps").read_text())[0]
# What is preloaded does not matter here, but it must be there.
CONTROLLER = f"""
import pathlib, sys
from gst_pyro_shim import cli, paths
paths.shim_path = lambda: pathlib.Path({LIBC!r})
paths.write_record = lambda: True
sys.exit(cli.main())
"""


@pytest.fixture
def home(tmp_path):
    """A working directory, with a home that has a registry beside it."""
    cache = tmp_path / "home" / ".cache" / "gstreamer-1.0"
    cache.mkdir(parents=True)
    (cache / f"registry.{os.uname().machine}.bin").write_text("the user's registry")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "work").mkdir()
    return tmp_path


def _environ(home, **more):
    kept = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("GST_", "XDG_", "LD_PRELOAD"))
    }
    own = {"HOME": str(home / "home"), "TMPDIR": str(home / "tmp"), "PYTHONPATH": str(ROOT)}
    return kept | own | more


def _run(home, *arguments, environ=None, **options):
    given = {"capture_output": True, "text": True, "timeout": 100, "cwd": home / "work"} | options
    command = [sys.executable, "-c", CONTROLLER, "run", *arguments]
    return subprocess.run(command, check=False, env=_environ(home, **environ or {}), **given)


def _files(home):
    return sorted(one.name for one in (home / "work").iterdir())


def test_the_table_and_the_file(home):
    done = _run(home, "-o", "x.pb.gz", "--", *FAKE)
    assert done.returncode == 4
    assert _files(home) == ["x.pb.gz"]
    file = home / "work" / "x.pb.gz"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    profile = files.read(file)
    assert sum(one.cpu_ns for one in profile.samples) == 3_000_000_000
    lines = done.stderr.splitlines()
    assert lines[0] == "Writing profile results into x.pb.gz"
    assert any(re.match(r" x264enc0 +x264enc +2\.000 +66\.7", line) for line in lines)
    assert "-m gst_pyro_shim report x.pb.gz" in done.stderr
    assert done.stdout.count("\n") == 1  # the target's own
    command = [sys.executable, "-m", "gst_pyro_shim", "report", str(file)]
    again = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert again.stdout in done.stderr


def test_the_file_has_a_name_of_our_own(home):
    done = _run(home, "--", *FAKE)
    (name,) = _files(home)
    assert re.fullmatch(r"gst-pyro-python[\d.]*\.\d+\.pb\.gz", name)
    assert f"Writing profile results into {name}\n" in done.stderr


def test_the_pid_in_a_name_is_the_targets(home):
    done = _run(home, "-o", "p%p.pb.gz", "--", "sh", "-c", "echo $$")
    assert _files(home) == [f"p{done.stdout.strip()}.pb.gz"]


def test_the_target_finds_what_its_agent_needs(home):
    user = {
        "LD_PRELOAD": LIBC,
        "GST_TRACERS": "latency",
        "GST_PYROSCOPE_OUTPUT": "mine.pb.gz",
        "GST_PYROSCOPE_TAGS": "a=b",
    }
    done = _run(home, "--sample-rate", "50", "--", *FAKE, environ=user)
    found = json.loads(done.stdout)
    assert found["LD_PRELOAD"] == f"{LIBC}:{LIBC}"
    assert found["GST_TRACERS"] == "latency"
    assert found["GST_PYROSCOPE_PYTHON"] == sys.executable
    assert found["GST_PYROSCOPE_TAGS"] == "a=b"
    assert found["GST_PYROSCOPE_SAMPLE_RATE"] == "50"
    assert found["GST_PYROSCOPE_OVERRIDE"] == "sample_rate"
    assert "GST_PYROSCOPE_OUTPUT" not in found
    assert "GST_PYROSCOPE_SERVER_URL" not in found
    assert found["GST_REGISTRY"].startswith(str(home / "tmp"))
    assert _files(home) == ["mine.pb.gz"]
    assert not list((home / "tmp").iterdir())


def test_a_server_that_is_named_stays_named(home):
    url = "http://127.0.0.1:9"
    done = _run(home, "--server-url", url, "--", *FAKE)
    found = json.loads(done.stdout)
    assert found["GST_PYROSCOPE_SERVER_URL"] == url
    assert re.fullmatch(r"gst-pyro-\w+ \S+", found["GST_PYROSCOPE_CONTROLLER"])
    assert "x264enc0" in done.stderr


def test_flags_beat_parameters_and_environment(home):
    user = {"GST_PYROSCOPE_SAMPLE_RATE": "10", "GST_PYROSCOPE_OVERRIDE": "tags"}
    changed = environment.with_flags(user, {"sample_rate": "50"})
    assert Settings.load({"sample-rate": "20"}, changed).sample_rate == 50
    assert Settings.load({"sample-rate": "20"}, user).sample_rate == 20
    assert changed["GST_PYROSCOPE_OVERRIDE"] == "tags,sample_rate"
    assert environment.with_flags(user, {}) == user


def test_a_program_that_ends_a_moment_later_still_counts(home):
    done = _run(home, "--", *FAKE, "late")
    assert "x264enc0" in done.stderr
    assert done.returncode == 4


def test_a_program_that_is_refused_is_counted_under_the_table_and_in_the_file(home):
    done = _run(home, "-o", "x.pb.gz", "--", *FAKE, "refused")
    assert re.search(r"\n *pushed +1 programs not profiled\n", done.stderr), done.stderr
    assert done.stderr.count("note: A program was not profiled: tracer parameter foo") == 1
    counters = [RunFacts.from_comment(one) for one in files.read(home / "work/x.pb.gz").comments]
    assert [one.counters for one in counters if one] == [{"failed_programs": 1}]


def test_nothing_of_ours_appears_before_the_target_has_ended(home):
    done = _run(home, "--", "sh", "-c", "echo one >&2; sleep 0.2; echo two >&2")
    assert done.stderr.startswith("one\ntwo\nWriting profile results into ")


def test_a_death_by_signal_is_told_and_repeated(home):
    done = _run(home, "--", "sh", "-c", "kill -TERM $$")
    assert done.returncode == -signal.SIGTERM
    assert "sh was killed by SIGTERM." in done.stderr
    assert "Nothing was sampled." in done.stderr
    assert len(_files(home)) == 1


def test_why_nothing_was_sampled_is_in_the_file(home):
    _run(home, "-o", "x.pb.gz", "--", "true", environ={"GST_REGISTRY_UPDATE": "no"})
    command = [sys.executable, "-m", "gst_pyro_shim", "report", str(home / "work" / "x.pb.gz")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "Nothing was sampled." in done.stdout
    assert "GST_REGISTRY_UPDATE=no keeps GStreamer from finding the tracer" in done.stdout


def test_the_commands_shown_do_not_take_the_file_for_an_option(home):
    done = _run(home, "-o", "./-dash.pb.gz", "--", *FAKE)
    assert _files(home) == ["-dash.pb.gz"]
    for verb in (" report", " flamegraph", "go tool pprof"):
        assert f"{verb} ./-dash.pb.gz" in done.stderr


def _is_refused(home):
    """Before the target starts."""
    done = _run(home, "-o", "x.pb.gz", "--", "touch", "ran")
    assert done.returncode == 3
    assert "File already exists, will not overwrite without --force: x.pb.gz" in done.stderr
    assert _files(home) == ["x.pb.gz"]


def test_a_link_that_leads_nowhere_stays_unless_forced(home):
    file = home / "work" / "x.pb.gz"
    file.symlink_to("nowhere")
    _is_refused(home)
    assert _run(home, "-o", "x.pb.gz", "--force", "--", *FAKE).returncode == 4
    assert not file.is_symlink()
    assert _files(home) == ["x.pb.gz"]
    assert files.read(file).samples


def test_an_existing_file_stays_unless_forced(home):
    file = home / "work" / "x.pb.gz"
    file.write_text("precious")
    _is_refused(home)
    assert file.read_text() == "precious"
    assert _run(home, "-o", "x.pb.gz", "--force", "--", *FAKE).returncode == 4
    assert files.read(file).samples


def test_a_name_that_was_taken_meanwhile_costs_no_profile(home):
    script = 'for name in p$$ p$$.2; do echo precious > $name.pb.gz; done; exec "$@"'
    done = _run(home, "-o", "p%p.pb.gz", "--", "sh", "-c", script, "sh", *FAKE)
    assert done.returncode == 4
    first, second, third = _files(home)
    # Sorted, the longer names come first.
    assert (second, first) == (third.replace(".pb", ".3.pb"), third.replace(".pb", ".2.pb"))
    assert files.read(home / "work" / second).samples
    for name in (first, third):
        assert (home / "work" / name).read_text() == "precious\n"
    says = f"gst-pyro: {third} is there already and stays; the profile goes to {second}\n"
    assert f"{says}Writing profile results into {second}\n" in done.stderr


@pytest.mark.parametrize("output", ["none/x.pb.gz", "/proc/x.pb.gz"])
def test_a_place_that_takes_no_file_is_refused_before_the_start(home, output):
    done = _run(home, "-o", output, "--", "touch", "ran")
    assert done.returncode == 3
    assert f"Cannot write into {(home / 'work' / output).parent}" in done.stderr
    assert _files(home) == []


def test_a_working_directory_that_is_gone_is_told(home):
    script = 'rmdir "$PWD"; exec "$@"'
    command = ["sh", "-c", script, "sh", sys.executable, "-c", CONTROLLER, "run", "--", "true"]
    done = subprocess.run(
        command, env=_environ(home), cwd=home / "work", capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert (
        "Cannot write into .: No such file or directory.\nName a file in another folder"
        in done.stderr
    )


def test_a_wrong_setting_is_refused_before_the_start(home):
    done = _run(home, "--sample-rate", "0", "--", "touch", "ran")
    assert done.returncode == 4
    assert "--sample-rate" in done.stderr
    assert _files(home) == []


@pytest.mark.parametrize(("command", "status"), [("no-such-command", 127), ("/etc/passwd", 126)])
def test_what_cannot_be_started_leaves_nothing(home, command, status):
    done = _run(home, "--", command)
    assert done.returncode == status
    assert command in done.stderr
    assert _files(home) == []
    assert not list((home / "tmp").iterdir())


def _is_rescued(home, done, status, why):
    """The profile is in the temporary directory, and says so itself."""
    assert done.returncode == status, done.stderr
    (rescued,) = (home / "tmp").iterdir()
    assert re.fullmatch(r"x\.\w+\.pb\.gz", rescued.name)
    assert stat.S_IMODE(rescued.stat().st_mode) == 0o600
    text = f"x.pb.gz could not be written: {why}"
    assert f"gst-pyro: {text}; the profile is in {rescued}\n" in done.stderr
    assert f"note: {text}\n" in done.stderr
    assert f"report {rescued}" in done.stderr
    profile = files.read(rescued)
    assert sum(one.cpu_ns for one in profile.samples) == 3_000_000_000
    (facts,) = filter(None, map(RunFacts.from_comment, profile.comments))
    assert facts.counters == {"written_elsewhere": 1}
    assert [one.endswith(text) for one in facts.problems] == [True]


@pytest.mark.parametrize("status", [0, 4])
def test_a_file_that_cannot_be_written_at_the_end_goes_elsewhere(home, status):
    script = f'mv ../work ../gone; "$@"; exit {status}'
    done = _run(home, "-o", "../work/x.pb.gz", "--", "sh", "-c", script, "sh", *FAKE)
    done.stderr = done.stderr.replace("../work/x", "x")
    _is_rescued(home, done, status or 3, "No such file or directory")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_disk_that_is_full_by_then_costs_no_profile(home):
    script = 'cat /dev/zero > fills 2>/dev/null; exec "$@"'
    command = [sys.executable, str(ROOT / "tests" / "targets" / "full_disk.py")]
    command += [sys.executable, "-c", CONTROLLER]
    command += ["run", "-o", "x.pb.gz", "--", "sh", "-c", script, "sh", *FAKE]
    done = subprocess.run(
        command,
        env=_environ(home),
        cwd=home / "work",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("no mounts here")
    _is_rescued(home, done, 4, "No space left on device")


def test_a_profile_that_no_folder_takes_is_counted_under_the_table(home):
    def no_files():
        most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))

    # The program itself needs memory that is a file to the kernel.
    unlimited = ["sh", "-c", 'ulimit -S -f unlimited && exec "$@"', "sh"]
    done = _run(home, "-o", "x.pb.gz", "--", *unlimited, *FAKE, preexec_fn=no_files)
    assert done.returncode == 4
    assert not list((home / "tmp").iterdir())
    text = "x.pb.gz could not be written: File too large"
    assert (
        f"gst-pyro: {text}; no other folder takes the profile, only the following table remains"
        in (done.stderr)
    )
    assert re.search(r" x264enc0 +x264enc +2\.000 +66\.7", done.stderr)
    assert re.search(r"\n *pushed +1 dropped \(not written 1\)\n", done.stderr), done.stderr


def test_a_closed_stderr_costs_no_profile(home):
    script = 'exec 2>&-; exec "$@"'
    command = ["sh", "-c", script, "sh", sys.executable, "-c", CONTROLLER]
    command += ["run", "-o", "x.pb.gz", "--", *FAKE]
    done = subprocess.run(
        command,
        env=_environ(home),
        cwd=home / "work",
        stdout=subprocess.PIPE,
        timeout=100,
        check=False,
    )
    assert done.returncode == 4
    assert files.read(home / "work" / "x.pb.gz").samples


def _place(home, shim="/x/libgstpyro.so", **user):
    environ = _environ(home, **user)
    with environment.Registry(environ) as registry:
        link = registry.place(environ, Path(shim))
        yield environ, registry, link


def test_the_users_registry_is_copied_and_left_alone(home, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(home / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    for environ, registry, link in _place(home):
        copy = Path(environ["GST_REGISTRY"])
        assert copy.read_text() == "the user's registry"
        assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
        assert link == Path("/x/libgstpyro.so")
        assert not registry.was_written
        assert not registry.has_tracer
        copy.write_text("… libgstpyro.so …")
        assert registry.was_written
        assert registry.has_tracer
    assert not copy.parent.exists()
    cache = home / "home" / ".cache" / "gstreamer-1.0"
    assert [one.read_text() for one in cache.iterdir()] == ["the user's registry"]


@pytest.mark.parametrize("variable", ["GST_REGISTRY", "GST_REGISTRY_1_0"])
def test_a_registry_that_the_user_names_is_the_one_copied(home, variable):
    own = home / "own.bin"
    own.write_text("named")
    for environ, _, _ in _place(home, **{variable: str(own)}):
        assert Path(environ[variable]).read_text() == "named"
        assert environ[variable] != str(own)
        assert {"GST_REGISTRY", "GST_REGISTRY_1_0"} & environ.keys() == {variable}


def test_without_a_registry_there_is_none_to_copy(home):
    shutil.rmtree(home / "home")
    for environ, _, _ in _place(home):
        assert not Path(environ["GST_REGISTRY"]).exists()


def test_without_room_for_a_copy_the_users_own_is_used(home, monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    for environ, registry, link in _place(home):
        assert "GST_REGISTRY" not in environ
        assert link == Path("/x/libgstpyro.so")
        assert not registry.was_written
    with pytest.raises(NotBuiltError, match="cannot be in LD_PRELOAD") as raised:
        next(_place(home, shim="/a b/libgstpyro.so"))
    assert "TMPDIR" in raised.value.hint


@pytest.mark.parametrize("folder", ["a b", "a:b", "a$ORIGIN"])
@pytest.mark.parametrize("tmpdir", ["tmp", "t m p", "t:p", "t$LIB"])
def test_a_path_that_the_loader_would_split_goes_by_a_link(home, monkeypatch, folder, tmpdir):
    (home / tmpdir).mkdir(exist_ok=True)
    monkeypatch.setattr("tempfile.tempdir", str(home / tmpdir))
    for _, _, link in _place(home, shim=f"/{folder}/libgstpyro.so"):
        assert link.name == "libgstpyro.so"
        assert link.readlink() == Path(f"/{folder}/libgstpyro.so")
        assert not re.search(r"[ :$]", str(link))
        assert link.is_relative_to(home / "tmp") == (tmpdir == "tmp")
    assert not link.parent.exists()
    assert not list((home / tmpdir).iterdir())


def test_a_python_that_the_user_names_is_kept(home):
    user = _environ(home, GST_PYROSCOPE_PYTHON="/opt/python")
    reception = Reception(lambda _guest: None)
    found = environment.for_target(user, reception, Path("/x.so"))
    reception.close()
    assert found["GST_PYROSCOPE_PYTHON"] == "/opt/python"
    assert found["LD_PRELOAD"] == "/x.so"


def test_facts_come_back_from_their_comment():
    facts = RunFacts(program="a", end="ended with status 0", problems=["x"], counters={"y": 1})
    assert RunFacts.from_comment(facts.to_comment()) == facts
    for comment in ("", "gst-pyro {}", "gst-pyro-run {", "gst-pyro-run {}", 'gst-pyro-run {"a":1}'):
        assert RunFacts.from_comment(comment) is None
    wrong = '"end":7', '"end":"","counters":{"a":"b"}', '"end":"","counters":[]'
    for comment in ("gst-pyro-run []", *(f'gst-pyro-run {{"program":"a",{one}}}' for one in wrong)):
        assert RunFacts.from_comment(comment) is None


def test_facts_of_another_version_are_read_as_far_as_they_are_known():
    comment = 'gst-pyro-run {"program":"a","end":"ended with status 0","wall_s":1.5,"later":[1]}'
    assert RunFacts.from_comment(comment) == RunFacts(program="a", end="ended with status 0")


def _elf(*program_header_kinds):
    head = bytearray(64)
    head[:5] = b"\x7fELF\x02"
    head[32:40] = (64).to_bytes(8, "little")
    head[54:56] = (56).to_bytes(2, "little")
    head[56:58] = len(program_header_kinds).to_bytes(2, "little")
    return bytes(head) + b"".join(
        kind.to_bytes(4, "little") + bytes(52) for kind in program_header_kinds
    )


def test_why_the_loader_ignores_the_preload(tmp_path, monkeypatch):
    program = tmp_path / "program"

    def why(content, mode=0o755, user=1000):
        program.write_bytes(content)
        program.chmod(mode)
        monkeypatch.setattr("os.geteuid", lambda: user)
        return why_preload_is_ignored(program)

    assert why(_elf(1, 3)) == ""
    assert why(_elf(1, 2)) == "is linked statically"
    assert why(_elf(1, 3), 0o4755) == "is set-user-ID or set-group-ID"
    assert why(_elf(1, 3), 0o4755, user=0) == ""
    assert why(b"#!/bin/sh\n") == ""
    assert why(_elf(1, 3)[:70]) == "is linked statically"
    assert why(b"") == ""
    assert why_preload_is_ignored(tmp_path / "none") == ""
    assert why_preload_is_ignored(Path(sys.executable)) == ""
