"""The name that people try first: `%load_ext motorlock` loads `jupyter_motorlock`."""

from jupyter_motorlock import load_ipython_extension as load_ipython_extension
from jupyter_motorlock import unload_ipython_extension as unload_ipython_extension
