# SPDX-License-Identifier: MIT
"""`run`: starts a target, is the agent of all its GStreamer processes, writes the profile, prints the table.

Nothing of ours appears on the terminal until the target has ended. Then all of it goes to stderr.

Context: controller.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import shlex
import shutil
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gst_pyro_shim import paths, unique_path
from gst_pyro_shim.agent.hosts import Agents
from gst_pyro_shim.agent.reception import Reception
from gst_pyro_shim.errors import GstPyroError
from gst_pyro_shim.pprof import files
from gst_pyro_shim.pprof.merge import Merge
from gst_pyro_shim.pprof.run_facts import RunFacts, why_preload_is_ignored
from gst_pyro_shim.push import spare
from gst_pyro_shim.run import environment, senders
from gst_pyro_shim.run.target import Target
from gst_pyro_shim.settings.model import Settings
from gst_pyro_shim.terminal import printable
from gst_pyro_shim.views import report

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gst_pyro_shim.pprof.model import Profile
    from gst_pyro_shim.run.target import End

_LIVING_S: Final = 1.5
"""How long to wait for programs that outlive the target: they may be about to end."""
_PROGRAM_BYTES: Final = 200
"""How much of the program's name goes into the file's name, which must not get too long for a file system."""


@dataclass(frozen=True, slots=True)
class _Output:
    """Where the profile goes.

    Attributes:
        pattern: the path as given, in which %p stands for the pid; "" for a name of ours in the working directory.
        force: whether an existing file may be replaced.
    """

    pattern: str
    force: bool

    def check(self) -> None:
        """Refuses, before the target starts, an output that could not be written after it.

        Raises:
            GstPyroError: the file exists, or its folder takes no file.
        """
        path = Path(self.pattern or "x")
        try:
            if self.pattern and "%p" not in self.pattern:
                with contextlib.suppress(FileNotFoundError):
                    # A link that leads nowhere is in the way too. exists() would hide other errors.
                    path.lstat()
                    files.refuse_existing(path, force=self.force)
            with tempfile.TemporaryFile(dir=path.parent):
                pass
        except OSError as error:
            folder = path.parent
            with contextlib.suppress(OSError):  # the working directory may be gone
                folder = folder.absolute()
            raise GstPyroError(
                f"Cannot write into {folder}: {error.strerror}.",
                "Name a file in another folder: run -o FILE.pb.gz",
            ) from error

    def paths(self, program: str, pid: int) -> Iterator[Path]:
        """The file for this run, then other names beside it."""
        name = os.fsdecode(os.fsencode(program)[:_PROGRAM_BYTES])
        wanted = (
            self.pattern.replace("%p", str(pid)) or f"gst-pyro-{name}.{pid}{unique_path.SUFFIX}"
        )
        return map(Path, unique_path.names(wanted))


def run(
    command: Sequence[str],
    flags: Mapping[str, str],
    *,
    force: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Runs `command` under the profiler. If a signal ended the target, it ends this process too.

    Args:
        command: program and arguments, at least the program.
        flags: settings given on the command line: field of `Settings` to text.
        force: whether an existing output file may be replaced.
        environ: the user's environment.

    Returns:
        The target's exit status; 3 where that is 0 but the profile could not be written to its place.

    Raises:
        GstPyroError: nothing was started: a setting is wrong, the output has no place, the command
            does not exist, or the native parts are not built.
    """
    user = environment.with_flags(environ, flags)
    settings = Settings.load({}, user)
    output = _Output(settings.output or "", force)
    output.check()
    shim = paths.shim_path()
    paths.write_record()
    with (
        Target() as target,
        environment.Registry(user) as registry,
    ):
        merge = Merge()
        agents = Agents("controller", merge)
        reception = Reception(agents.serve, word=secrets.token_urlsafe(24))
        link = registry.place(user, shim)
        target.start(command, environment.for_target(user, reception, link))
        reception.start()
        end = target.wait()
        senders.wait(reception.address)
        reception.close()
        agents.wake()
        if not reception.wait(_LIVING_S):
            agents.dismiss()
            reception.wait()
        found = shutil.which(command[0])
        facts = RunFacts(
            program=Path(command[0]).name,
            end=end.text,
            registry_update_off=user.get("GST_REGISTRY_UPDATE") == "no",
            registry_written=registry.was_written,
            registry_has_tracer=registry.has_tracer,
            problems=agents.problems,
            counters=agents.counters,
            preload_ignored=why_preload_is_ignored(Path(found)) if found else "",
        )
    is_written = _write_and_print(merge.profile(), facts, output, target.pid, end)
    code = end.repeat()
    return code if is_written else code or GstPyroError.exit_code


def _write_and_print(
    profile: Profile, facts: RunFacts, output: _Output, pid: int, end: End
) -> bool:
    """Writes the file and prints everything; False where the file could not be written to its place."""
    whole = replace(profile, comments=[*profile.comments, facts.to_comment()])
    wanted, trouble = _write(whole, output, facts.program, pid)
    path: Path | None = wanted
    if trouble:
        path, whole = _rescue(profile, facts, wanted, trouble)
    if end.status:
        _print(printable(f"{facts.program} {end.text}."))
    _print(report.table(whole, sys.stderr or io.StringIO()))
    if path and whole.samples:
        _print(_next_commands(path))
    return not trouble


def _write(profile: Profile, output: _Output, program: str, pid: int) -> tuple[Path, str]:
    """Writes the file, or one beside it if its name is taken; returns its path, and why it was not written or ""."""
    force = output.force and bool(output.pattern)
    names = output.paths(program, pid)
    wanted = None
    while True:
        path = next(names)
        wanted = wanted or path
        if not force and os.path.lexists(path):
            continue
        if output.pattern and path != wanted:
            text = f"gst-pyro: {wanted} is there already and stays; the profile goes to {path}"
            _print(printable(text))
        _print(printable(f"Writing profile results into {path}"))
        try:
            files.write(path, profile, force=force)
        except FileExistsError:  # made by somebody else a moment ago
            continue
        except (OSError, GstPyroError) as error:
            return path, (error.strerror or "") if isinstance(error, OSError) else str(error)
        return path, ""


def _rescue(
    profile: Profile, facts: RunFacts, path: Path, trouble: str
) -> tuple[Path | None, Profile]:
    """Writes a profile that `path` did not take to another folder; returns where, and the profile with a note of it."""
    text = f"{path} could not be written: {trouble}"

    def with_note(counter: str) -> Profile:
        counters = facts.counters | {counter: 1}
        noted = replace(facts, counters=counters, problems=[*facts.problems, text])
        return replace(profile, comments=[*profile.comments, noted.to_comment()])

    whole = with_note("written_elsewhere")
    elsewhere = spare.write(path.name, files.compressed(whole))
    if elsewhere is None:
        _print(
            printable(
                f"gst-pyro: {text}; no other folder takes the profile, only the following table remains"
            )
        )
        return None, with_note("dropped_not_written")
    _print(printable(f"gst-pyro: {text}; the profile is in {elsewhere}"))
    return elsewhere, whole


def _print(text: str) -> None:
    """Prints on stderr. Where that is closed (sys.stderr is None then) or full, the text is lost and nothing else."""
    with contextlib.suppress(OSError, AttributeError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _next_commands(path: Path) -> str:
    # Path() drops a leading "./", without which this name would be taken for an option.
    name = f"./{path}" if str(path).startswith("-") else str(path)
    file, us = shlex.quote(name), paths.command()
    return (
        f"\nThis table again:   {us} report {file}"
        f"\nFlame graph:        {us} flamegraph {file}"
        f"\nPipeline graph:     {us} graph {file}"
        f"\nIn other tools:     go tool pprof {file}  (or drop it on speedscope)"
    )
