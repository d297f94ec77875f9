"""Read by every Python at its start under ``provml run``: this folder is first in PYTHONPATH.

Takes itself out of the way again: the script finds the ``sys.path`` that it has without, and the
``sitecustomize`` of its own environment, if there is one, is read as ever.
"""

import os
import sys


def _start():  # type: () -> None  # any Python 2 or 3 may read this
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or os.curdir) != here]
    # the provml that started us, for an environment that has none of its own: found last, and
    # only now, so that nothing else of where it is installed can be imported
    home = os.path.dirname(os.path.dirname(os.path.dirname(here)))
    paths = sys.path[:]
    sys.path.append(home)
    try:
        from provml.capture import bootstrap
    except Exception:
        pass  # of another version, or for another Python: the script runs without
    sys.path[:] = paths
    if "provml.capture.bootstrap" in sys.modules:
        try:
            bootstrap.install()
        except Exception:
            pass
    own = sys.modules.pop("sitecustomize")
    try:
        __import__("sitecustomize")  # the environment's own, which this one stood before
    except ImportError as error:
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
        sys.modules["sitecustomize"] = own  # the import that reads this file ends with a look-up


_start()
