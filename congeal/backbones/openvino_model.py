"""A backbone as a compiled OpenVINO model: converted from PyTorch, kept in a cache folder, run on the CPU.

OpenVINO's own converter, `openvino.convert_model`, is not used: it reports its use to Intel by network, and
runs the model three times over. The PyTorch frontend below it does neither.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from congeal.backbones.cache_folder import keep, mapped, unread
from congeal.backbones.engines import openvino_fault
from congeal.errors import BackboneError

BATCH = 1  # images in a pass, into which every batch is cut; more were not faster
FORM = 1  # raised when the same weights give another compiled model
CACHE = "openvino"  # the folder in the cache
MOST_BYTES = 2**34  # of a compiled model that is looked into
_DIGEST = 32
_HINTS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
# What OpenVINO says it computes in, by PyTorch's name.
_NAMES = {"float32": "float32", "f32": "float32", "bfloat16": "bfloat16", "bf16": "bfloat16",
          "float16": "float16", "f16": "float16"}  # fmt: skip

Images = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
Blob = npt.NDArray[np.uint8]  # a compiled model as it is kept, writable, since OpenVINO takes no other
P = ParamSpec("P")
R = TypeVar("R")


class Convertible(NamedTuple):
    """A function of images, the module whose parameters it uses, and an image [1, ...] as it takes them."""

    module: torch.nn.Module
    function: Callable[[torch.Tensor], Sequence[torch.Tensor]]
    example: torch.Tensor


def openvino() -> Any:
    """The package openvino, imported so that it sends nothing; raises `BackboneError` if it cannot be.

    On import it reports to a server, and writes a number for this user into the home folder, unless the
    package openvino_telemetry cannot be imported.
    """
    fault = openvino_fault()
    if fault is not None:
        raise BackboneError(fault)
    if "openvino" not in sys.modules:
        modules: dict[str, Any] = sys.modules
        modules.setdefault("openvino_telemetry", None)  # which stands for "cannot be imported"
    try:
        import openvino as package
    except (ImportError, OSError, RuntimeError) as error:
        raise BackboneError(f"OpenVINO cannot be imported ({error})") from error
    return package


@functools.cache
def _thread(process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "openvino")


def _in_its_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The function's result, from the one thread in which OpenVINO computes in this process.

    OpenVINO 2026.4 gives the thread that it is called in another stack for signals, which does not outlive
    the model. In the main thread Ctrl-C would then end the process with a segmentation fault.
    """
    return _thread(os.getpid()).submit(function, *args, **kwargs).result()


class CompiledModel:
    """A model compiled for this processor. Call it with images [b, ...]; one call at a time.

    Whatever b is, images go through it by BATCH, the last one repeated where some are missing: what is found
    in an image depends neither on its neighbours nor on the number of threads.
    """

    def __init__(self, blob: Blob, precision: str) -> None:
        self._blob = blob
        self._precision = precision
        self._threads = 1
        self._model = _imported(blob, precision, self._threads)

    def __call__(self, images: Images) -> list[torch.Tensor]:
        """The outputs, float32 [b, ...] each."""
        return _in_its_thread(self._outputs, images, torch.get_num_threads())

    def _outputs(self, images: Images, threads: int) -> list[torch.Tensor]:
        if threads != self._threads:
            self._model = None
            self._model = _imported(self._blob, self._precision, threads)
            self._threads = threads
        found: list[torch.Tensor] = []
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            missing = BATCH - len(part)
            whole = np.concatenate([part, part[-1:].repeat(missing, 0)]) if missing else part
            outputs = self._model([np.ascontiguousarray(whole)], share_inputs=True, share_outputs=True)
            for at, output in enumerate(outputs.values()):
                if not start:
                    found.append(torch.empty((len(images), *output.shape[1:])))
                found[at][start : start + len(part)] = torch.from_numpy(output[: len(part)])
        return found


def compiled(make: Callable[[], Convertible], precision: str, known_by: Sequence[object]) -> CompiledModel:
    """The compiled form of a function of images [BATCH, ...], from the cache if it is there.

    make: called only if the cache has nothing; what the function does must not depend on the values in the
    images. precision: what it is to compute in. known_by: everything that decides the function.
    Raises `BackboneError` where OpenVINO is missing or too old, cannot convert or compile the model, or
    would compute in another precision without saying so.
    """
    return _in_its_thread(_compiled, make, precision, known_by)


def _compiled(make: Callable[[], Convertible], precision: str, known_by: Sequence[object]) -> CompiledModel:
    package = openvino()
    core = package.Core()
    key = _key(package, core, precision, known_by)
    blob = _kept(key)
    if blob is not None:
        try:
            return CompiledModel(blob, precision)
        except BackboneError:
            pass  # of no use here: made anew
    made = make()
    with _as_backbone_error("cannot compile this backbone"):
        model = core.compile_model(_converted(made), "CPU", _configuration(precision))
        _check_precision(model, precision)
        exported = model.export_model()
    content = exported if isinstance(exported, bytes) else bytes(exported.getbuffer())
    del made, model, exported
    keep(CACHE, key, hashlib.sha256(content).digest() + content)
    blob = _kept(key)
    return CompiledModel(np.frombuffer(bytearray(content), np.uint8) if blob is None else blob, precision)


def _configuration(precision: str, threads: int = 1) -> dict[str, Any]:
    return {
        # The default is bfloat16 wherever the processor has it.
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "EXECUTION_MODE_HINT": "ACCURACY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        # Several processes that pin their threads would pin them to the same cores.
        "ENABLE_CPU_PINNING": False,
    }


def _check_precision(model: Any, precision: str) -> None:
    """What is asked for is a hint, and where a processor has not got it OpenVINO takes another."""
    said = model.get_property("INFERENCE_PRECISION_HINT")
    name = said.get_type_name() if hasattr(said, "get_type_name") else str(said)
    found = _NAMES.get(name, name)
    if found != precision:
        raise BackboneError(f"OpenVINO computes in {found} on this processor where {precision} is asked for")


def _imported(blob: Blob, precision: str, threads: int) -> Any:
    """The model, whose weights stay where they are in the blob."""
    package = openvino()
    with _as_backbone_error("cannot load the compiled backbone"):
        tensor = package.Tensor(blob, shared_memory=True)
        model = package.Core().import_model(tensor, "CPU", _configuration(precision, threads))
        # What it multiplies with it has laid out anew; of a file, the rest is read again if it is needed.
        unread(blob)
        _check_precision(model, precision)
        return model


@contextmanager
def _as_backbone_error(what: str) -> Iterator[None]:
    try:
        yield
    except BackboneError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # of whatever kind: the converter's own have no common one
        text = " ".join(str(error).split())
        raise BackboneError(f"OpenVINO {what} ({type(error).__name__}: {text[-160:]})") from error


class _Traced(torch.nn.Module):
    """A function as a module, with its parameters, which is what can be traced."""

    def __init__(self, made: Convertible) -> None:
        super().__init__()
        self.module = made.module
        self._function = made.function

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self._function(images))


def _converted(made: Convertible) -> Any:
    """The ov.Model of a function of BATCH images, its shapes fixed."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = made.example.expand(BATCH, *made.example.shape[1:])
    with warnings.catch_warnings(), torch.no_grad():
        # That tracing is deprecated, and that shapes become constants, which is what is wanted.
        warnings.simplefilter("ignore")
        trace: Any = torch.jit.trace
        traced = trace(_Traced(made).eval(), (example,), check_trace=False, strict=False)
        # The frontend reads from the decoder as long as it converts.
        decoder = TorchScriptPythonDecoder(traced, example_input=(example,))
        frontend = FrontEndManager().load_by_framework("pytorch")
        model = frontend.convert(frontend.load(decoder))
    model.reshape({model.inputs[0]: list(example.shape)})
    return model


def _key(package: Any, core: Any, precision: str, known_by: Sequence[object]) -> str:
    machine = [core.get_property("CPU", name) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
    about = [FORM, BATCH, precision, package.get_version(), torch.__version__, *machine, *known_by]
    return hashlib.sha256(repr(about).encode()).hexdigest()[:32]


def _kept(key: str) -> Blob | None:
    """A compiled model of the cache: what its own digest goes before; None if it is not there or damaged."""
    data = mapped(CACHE, key, MOST_BYTES)
    if data is None or hashlib.sha256(data[_DIGEST:].data).digest() != data[:_DIGEST].tobytes():
        return None
    return data[_DIGEST:]
