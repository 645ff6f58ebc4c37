# SPDX-License-Identifier: MIT
"""cffi runs this in the embedded interpreter at the agent library's first call.

Context: agent (embedded). Compiled into libgstpyro-agent.so as text by build_shim.py.
"""

import os
import sys

from _gstpyro_agent import ffi


@ffi.def_extern()
def gp_agent_run(fd):
    """Runs the drain loop. cffi returns 0 if this raises, so 0 never means success."""
    import gst_pyro_shim

    # Python compiles a module at each start unless its bytecode is written. But a host that runs as root must leave no
    # files in a user's environment.
    sys.dont_write_bytecode = os.stat(gst_pyro_shim.__file__).st_uid != os.geteuid()
    from gst_pyro_shim.agent import start

    return start.run(fd)
