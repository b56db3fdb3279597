#!/usr/bin/env bash
# openvino 2026.4.1: compiling a model replaces the calling thread's stack for signals, and leaves it replaced.
#
# One would guess: a model is compiled, and the calling thread's alternate signal stack (sigaltstack) is afterwards what
#   the program had set, Python's faulthandler for one.
# What happens: after a model was compiled for the CPU, or called, the alternate stack of the calling thread is another
#   one, of another size, in memory that is OpenVINO's. Importing the package leaves it alone, and so does all that
#   is done in another thread, since the stack is each thread's own.
# Seen with: openvino 2026.4.1, numpy 2.4.6, Python 3.11, Linux x86-64 (AVX2).
# Seen output: "imported: as before / compiled and called in a thread: as before / compiled here: another".
# Why it matters to image collections: Python takes Ctrl-C on that stack. A batch job that had loaded several models
#   one after the other was seen to end with a segmentation fault instead of KeyboardInterrupt, and half-written
#   work was not put away. Call models from a thread of their own.
# Fails (exit 1) when any of the four changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check openvino==2026.4.1 numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import ctypes
import faulthandler
import sys
import threading


class Stack(ctypes.Structure):
    """The structure stack_t of Linux."""

    _fields_ = [("place", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


def stack():
    """Where this thread's alternate signal stack is, and its size in bytes; nothing is set."""
    found = Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found)) == 0
    return found.place, found.size


faulthandler.enable()
before = stack()
sys.modules["openvino_telemetry"] = None  # nothing is sent
import numpy as np
import openvino
from openvino import opset13 as ops

pixels = ops.parameter([1, 8], np.float32)
weights = ops.constant(np.ones((8, 8), np.float32))
model = openvino.Model([ops.matmul(pixels, weights, False, False)], [pixels])


def said(name):
    same = stack() == before
    print(f"{name}:", "as before" if same else "another")
    return same


def compiled():
    done = openvino.Core().compile_model(model, "CPU")
    assert np.allclose(next(iter(done(np.ones((1, 8), np.float32)).values())), 8)
    return done


imported = said("imported")
thread = threading.Thread(target=compiled)
thread.start()
thread.join()
aside = said("compiled and called in a thread")
kept = compiled()
here = said("compiled here")
sys.exit(0 if (imported, aside, here) == (True, True, False) else 1)
PY
"$work/venv/bin/python" "$work/look.py"
