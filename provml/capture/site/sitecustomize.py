"""Starts recording in each Python process that starts under ``provml run``.

Python finds this file through PYTHONPATH, and runs the file at startup. The file removes its own
folder from ``sys.path``, so that the script sees the usual ``sys.path``. If the script's
environment has a ``sitecustomize`` module, this file runs that module too.
"""

import os
import sys


def _start():  # type: () -> None  # any Python 2 or 3 may run this file
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or os.curdir) != here]
    # if the environment lacks provml, use the copy of provml that started the command: append that
    # copy's folder to sys.path, only during this import, so that the script can't use the folder
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
        __import__("sitecustomize")  # the environment's own file, which this file has hidden
    except ImportError as error:
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
        sys.modules["sitecustomize"] = own  # Python looks up this module after running it


_start()
