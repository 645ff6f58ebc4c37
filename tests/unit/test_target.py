# SPDX-License-Identifier: MIT
"""run/target.py: a target cannot tell that the controller stands between it and whoever started it.

Context: test.
"""

import contextlib
import errno
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gst_pyro_shim.run import target

pytestmark = pytest.mark.slow  # each test starts programs

TARGETS = Path(__file__).parents[1] / "targets"
ROOT = Path(__file__).parents[2]
CONTROLLER = """
import os, sys
from gst_pyro_shim.run import target
from gst_pyro_shim.errors import GstPyroError
from gst_pyro_shim.run.target import Target
target._GROUP_WAIT_S = float(os.environ.get("GROUP_WAIT_S", target._GROUP_WAIT_S))
try:
    with Target() as one:
        one.start(sys.argv[1:], os.environ)
        end = one.wait()
except GstPyroError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
print(end.text, file=sys.stderr, flush=True)
sys.exit(end.repeat())
"""
UNDER = [sys.executable, "-c", CONTROLLER]
COUNT = [sys.executable, str(TARGETS / "count_signals.py")]
ENVIRON = os.environ | {"PYTHONPATH": str(ROOT)}
# A busy machine may let more than the usual wait pass between the two signals of `timeout`.
PATIENT = ENVIRON | {"GROUP_WAIT_S": "2"}


def _run(*command, **options):
    given = {"capture_output": True, "text": True, "timeout": 60, "env": ENVIRON} | options
    return subprocess.run([*UNDER, *command], check=False, **given)


@contextlib.contextmanager
def _started(*command, **options):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": ENVIRON}
    process = subprocess.Popen([*UNDER, *command], **pipes | options)
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


@pytest.mark.parametrize("status", [0, 1, 77, 255])
def test_the_exit_status_passes_through(status):
    done = _run("sh", "-c", f"exit {status}")
    assert done.returncode == status
    assert done.stderr == f"ended with status {status}\n"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGKILL", "SIGSEGV", "SIGUSR1", "SIGPIPE"])
def test_a_death_by_signal_passes_through(name, tmp_path):
    done = _run("sh", "-c", f"kill -{name.removeprefix('SIG')} $$", cwd=tmp_path)
    assert done.returncode == -signal.Signals[name]
    assert done.stderr == f"was killed by {name}\n"
    assert not list(tmp_path.iterdir())  # no core of ours


@pytest.mark.parametrize("number", [40, 63])  # 32 is glibc's, and may come ignored
def test_a_death_by_a_signal_that_python_does_not_name_passes_through(number):
    script = f"import os; os.kill(os.getpid(), {number})"
    done = _run(sys.executable, "-c", script)
    assert done.returncode == -number
    assert done.stderr == f"was killed by signal {number}\n"


def test_streams_pass_through():
    done = _run("sh", "-c", "cat; echo two >&2", input="one\n")
    assert (done.stdout, done.stderr) == ("one\n", "two\nended with status 0\n")


def test_a_signal_to_the_controller_alone_is_passed_on_once():
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGQUIT"):
        with _started(*COUNT) as process:
            process.send_signal(signal.Signals[name])
            out, _ = process.communicate(timeout=60)
        assert (out, process.returncode) == (f"{name}\n", 5)


def test_a_signal_to_the_group_is_not_doubled():
    with _started(*COUNT, start_new_session=True) as process:
        os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert (out, process.returncode) == ("SIGINT\n", 5)


def test_two_signals_to_the_group_at_once_are_not_doubled():
    with _started(*COUNT, "2", start_new_session=True) as process:
        for number in (signal.SIGTERM, signal.SIGHUP):  # as systemd does with SendSIGHUP=
            os.killpg(process.pid, number)
        out, _ = process.communicate(timeout=60)
    assert sorted(out.split()) == ["SIGHUP", "SIGTERM"]


def test_timeout_sends_one_signal():
    # It signals its child and then its whole group, when its alarm comes: here, once the target is ready.
    pipes = {"stdout": subprocess.PIPE, "text": True, "env": PATIENT}
    with subprocess.Popen(["timeout", "-s", "INT", "600", *UNDER, *COUNT], **pipes) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGALRM)
        out, _ = process.communicate(timeout=60)
    assert out == "SIGINT\n"


def test_signals_to_both_in_turn_are_told_apart():
    with _started(*COUNT, "3", start_new_session=True) as process:
        os.killpg(process.pid, signal.SIGUSR1)
        assert process.stdout.readline() == "SIGUSR1\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "SIGTERM\n"
        os.killpg(process.pid, signal.SIGHUP)
        out, _ = process.communicate(timeout=60)
    assert out == "SIGHUP\n"


def test_a_target_in_a_session_of_its_own_gets_the_groups_signals():
    with _started("setsid", "-w", *COUNT, start_new_session=True) as process:
        out = ""
        # setsid forks where it leads a group; where it does not it becomes the target.
        os.killpg(process.pid, signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert out in {"SIGTERM\n", ""}


@contextlib.contextmanager
def _witness():
    witness = target._Witness()
    witness.start()
    try:
        yield witness
    finally:
        witness.stop()


def test_the_witness_knows_each_signal_once():
    with _witness() as witness:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
            os.kill(witness._pid, number)
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
        assert [witness.was_hit(number) for number in numbers] == [False, True, True, True]
        assert not any(map(witness.was_hit, numbers))


def _refuses(*_arguments, **_options):
    raise BlockingIOError(errno.EAGAIN, "no process")


@pytest.mark.parametrize(
    ("lacks", "instead"), [("shutil.which", lambda _: None), ("os.posix_spawn", _refuses)]
)
def test_without_a_witness_no_signal_counts_as_the_groups(lacks, instead, monkeypatch):
    monkeypatch.setattr(lacks, instead)
    with _witness() as witness:
        assert not witness.was_hit(signal.SIGINT)


def test_a_kernel_that_shows_no_pending_signals_is_as_without_a_witness(monkeypatch):
    with _witness() as witness:
        os.kill(witness._pid, signal.SIGINT)
        monkeypatch.setattr(Path, "read_text", lambda *_: "Name:\tcat\n")
        assert not witness.was_hit(signal.SIGINT)


def _signal_state(text):
    wanted = ("SigBlk", "SigIgn", "SigCgt")
    return [line for line in text.splitlines() if line.startswith(wanted)]


@pytest.mark.parametrize("ignored", [[], [signal.SIGINT, signal.SIGQUIT], [signal.SIGHUP]])
def test_mask_and_dispositions_are_as_without_us(ignored):
    def prepare():
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})

    command = ["cat", "/proc/self/status"]
    with_us = _run(*command, preexec_fn=prepare)
    without = subprocess.run(
        command, capture_output=True, text=True, check=True, preexec_fn=prepare
    )
    assert _signal_state(with_us.stdout) == _signal_state(without.stdout)


def test_sigpipe_stays_ignored_by_the_means_that_the_docs_name():
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    command = re.search(r"run -- (sh -c '.*) PROGRAM ARGUMENT …`", text)[1]
    done = _run(*shlex.split(f"{command} cat /proc/self/status"))
    ignored = int(re.search(r"SigIgn:\s*(\w+)", done.stdout)[1], 16)
    assert ignored & 1 << (signal.SIGPIPE - 1)


def test_no_descriptor_of_ours_reaches_the_target():
    with_us = _run("ls", "/proc/self/fd")
    without = subprocess.run(["ls", "/proc/self/fd"], capture_output=True, text=True, check=True)
    assert with_us.stdout == without.stdout


def test_group_and_session_are_ours():
    script = "ps -o pid=,pgid=,sid= -p $$ -p $PPID"
    rows = [line.split() for line in _run("sh", "-c", script).stdout.splitlines()]
    assert len({(group, session) for _, group, session in rows}) == 1


def test_nothing_is_left_behind():
    done = _run("sh", "-c", "echo $PPID; sleep 0.1")
    listed = subprocess.run(["ps", "-eo", "ppid="], capture_output=True, text=True, check=True)
    assert done.stdout.strip() not in listed.stdout.split()


@pytest.mark.parametrize(
    ("command", "status", "says"),
    [
        ("no-such-command", 127, "Command not found: no-such-command"),
        ("./no-such-file", 127, "Command not found: ./no-such-file"),
        ("/etc/passwd", 126, "Cannot run /etc/passwd: Permission denied."),
        ("/", 126, "Cannot run /: it is a directory."),
        ("./lost", 126, "its interpreter (the #! line) or loader does not exist"),
        ("./text", 126, "neither a program for this machine nor a script"),
    ],
)
def test_what_cannot_be_started(command, status, says, tmp_path):
    for name, text in {"lost": "#!/no/such/interpreter\n", "text": "echo hello\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    done = _run(command, cwd=tmp_path)
    assert done.returncode == status
    assert says in done.stderr
    assert done.stdout == ""


@contextlib.contextmanager
def _terminal(*command, controller=CONTROLLER):
    """(read a line, type) of a terminal in which a shell runs `command` under the controller."""
    pid, terminal = pty.fork()
    if pid == 0:
        under = [sys.executable, "-c", controller]
        shell = [sys.executable, str(TARGETS / "shell.py"), *under, *command]
        os.execve(sys.executable, shell, ENVIRON)
    lines = os.fdopen(os.dup(terminal), errors="replace")
    try:
        yield lambda: lines.readline().strip(), lambda text: os.write(terminal, text.encode())
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        lines.close()
        os.close(terminal)


def test_ctrl_c_reaches_the_target_once():
    with _terminal(*COUNT) as (line, write):
        assert line() == "ready"
        write("\x03")
        assert [line().removeprefix("^C") for _ in range(3)] == [
            "SIGINT",
            "ended with status 5",
            "ended 5",
        ]


def test_a_signal_to_the_controller_alone_is_passed_on_after_ctrl_c():
    count = shlex.join([*COUNT, "3"])
    with _terminal("sh", "-c", f"echo $PPID; exec {count}") as (line, write):
        controller = int(line())
        assert line() == "ready"
        write("\x03")
        assert line().removeprefix("^C") == "SIGINT"
        # Each is sent when the controller is done with the one before.
        for number in (signal.SIGUSR1, signal.SIGINT):
            os.kill(controller, number)
            assert line() == number.name
        assert line() == "ended with status 5"


def test_ctrl_c_of_a_plain_program_ends_both_by_the_signal():
    with _terminal("sh", "-c", "echo ready; exec sleep 600") as (line, write):
        assert line() == "ready"
        write("\x03")
        assert line().removeprefix("^C") == "was killed by SIGINT"
        assert line() == "ended -2"


def test_a_stopped_target_stops_the_job_and_comes_back():
    with _terminal("sh", "-c", "echo ready; read answer; echo got $answer") as (line, write):
        assert line() == "ready"
        write("\x1a")
        assert line().removeprefix("^Z") == "stopped"
        write("x\n")
        assert line() == "x"  # the echo
        assert [line() for _ in range(3)] == ["got x", "ended with status 0", "ended 0"]


STOPPED_EARLY = f"""
import os, signal
real = os.execvpe
def late(*arguments):
    os.kill(os.getpid(), signal.SIGTSTP)
    real(*arguments)
os.execvpe = late
{CONTROLLER}"""


def test_a_target_that_is_stopped_before_its_program_runs_stops_the_job_too():
    with _terminal("echo", "hello", controller=STOPPED_EARLY) as (line, _):
        assert [line() for _ in range(3)] == ["stopped", "hello", "ended with status 0"]
