"""Every Python process under ``provml run`` runs this file at its start, by way of PYTHONPATH.

It removes its own folder from ``sys.path`` again, so that the script sees the usual ``sys.path``.
If the script's environment has a ``sitecustomize`` of its own, that one is run as usual.
"""

import os
import sys


def _start():  # type: () -> None  # any Python 2 or 3 may run this file
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or os.curdir) != here]
    # if the environment has no provml, use the one that started the command: put it last, and only
    # for this import, so that the script can't import anything else from its folder
    home = os.path.dirname(os.path.dirname(os.path.dirname(here)))
    paths = sys.path[:]
    sys.path.append(home)
    try:
        from provml.capture import bootstrap
    except Exception:
        pass  # this Python can't import provml: the script runs unrecorded
    sys.path[:] = paths
    if "provml.capture.bootstrap" in sys.modules:
        try:
            bootstrap.install()
        except Exception:
            pass
    own = sys.modules.pop("sitecustomize")
    try:
        __import__("sitecustomize")  # the environment's own one, which ours has hidden
    except ImportError as error:
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
        sys.modules["sitecustomize"] = own  # Python looks the module up after it has run it


_start()
