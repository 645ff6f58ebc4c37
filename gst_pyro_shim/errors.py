# SPDX-License-Identifier: MIT
"""Every error that a user can see: what happened, what to do next, and the exit status of the command.

Context: controller and agent. Standard library only: the build imports it too.
"""


class GstPyroError(Exception):
    """Base of all errors that are reported as one message, without a traceback.

    Attributes:
        message: what happened and why, one sentence.
        hint: what to do next; "" where the message already says so.
        exit_code: exit status of the command line; each class has its own. 1 and 2 are left to
            Python and argparse. 126 and 127 mean what they mean to a shell.
    """

    exit_code = 3

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """The message, and the hint on a line of its own."""
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class ConfigError(GstPyroError):
    """A setting has a value that is not allowed, or contradicts another."""

    exit_code = 4


class BuildError(GstPyroError):
    """The native parts cannot be built here: a system package, a header or a shared libpython is missing."""

    exit_code = 5


class NotBuiltError(GstPyroError):
    """A native part is not where the package expects it."""

    exit_code = 6


class InstallError(GstPyroError):
    """`install` or `uninstall` could not write or remove a file."""

    exit_code = 7


class ProfileFormatError(GstPyroError):
    """A file is not a profile that this version can read."""

    exit_code = 8


class SegmentError(GstPyroError):
    """The agent was given shared memory that no shim of this version wrote."""

    exit_code = 11


class CommandNotRunnableError(GstPyroError):
    """The command given to `run` exists but cannot be executed."""

    exit_code = 126


class CommandNotFoundError(GstPyroError):
    """The command given to `run` was not found."""

    exit_code = 127
