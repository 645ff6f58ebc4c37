# SPDX-License-Identifier: MIT
"""What cffi runs in the embedded interpreter the first time that the agent library is called.

Context: agent (embedded). Compiled into libgstpyro-agent.so as text by build_shim.py.
"""

import os
import sys

from _gstpyro_agent import ffi


@ffi.def_extern()
def gp_agent_run(fd):
    """The drain loop. cffi answers 0 where this raises: 0 never means success."""
    import gst_pyro_shim

    # Bytecode that nobody wrote down is compiled at each start. Root's host leaves no files in a user's environment.
    sys.dont_write_bytecode = os.stat(gst_pyro_shim.__file__).st_uid != os.geteuid()
    from gst_pyro_shim.agent import start

    return start.run(fd)
