# SPDX-License-Identifier: MIT
"""What cffi runs in the embedded interpreter the first time that the agent library is called.

Context: agent (embedded). Compiled into libgstpyro-agent.so as text by build_shim.py.
"""

from _gstpyro_agent import ffi


@ffi.def_extern()
def gp_agent_run(fd):
    """The drain loop. cffi answers 0 where this raises: 0 never means success."""
    from gst_pyro_shim import agent

    return agent.run(fd, "embedded")
