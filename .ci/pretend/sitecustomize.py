"""A pretended GPU, for machines that have none: `make pretend` runs the tests of all notebooks on it.

Its tensors say that they are on `cuda:0` and compute on the CPU. They refuse what a GPU's tensors refuse: to meet
tensors of the CPU, or to become arrays. It finds forgotten `.cpu()`s; it measures nothing.
Python imports a module of this name by itself when it starts; so every process that a test begins has the device as well.
"""
import os, threading, types, warnings

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("cuda", 0)
MOVES = "aten::copy_", "aten::_to_copy"
INDEXES = "aten::index", "aten::_unsafe_index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"
WAITS = "aten::_local_scalar_dense", "aten::nonzero"
PRODUCTS = "aten::convolution", "aten::convolution_backward", "aten::mm", "aten::addmm"
HALF = torch.bfloat16, torch.float16
_warn = "default"


class Pretended(torch.Tensor):
    "A tensor that says it is on the device; `inner` holds its numbers, on the CPU."
    @staticmethod
    def __new__(cls, inner):
        new = torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            layout=inner.layout, device=DEVICE)
        new.inner = inner
        return new

    def __init__(self, inner): pass

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None): return dispatch(func, args, kwargs or {})

    def __repr__(self, **_): return f"Pretended({self.inner!r})"
    def __format__(self, spec): return format(self.item() if self.dim() == 0 else repr(self), spec)
    def tolist(self): return self.cpu().tolist()
    def data_ptr(self): return self.inner.data_ptr()

    def numpy(self, force=False):
        if force: return self.detach().cpu().numpy()
        raise TypeError(f"can't convert {DEVICE} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first.")

    def __array__(self, *_, **__): return self.numpy()

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            new = Pretended(self.inner.detach().clone())
            memo[id(self)] = torch.nn.Parameter(new, self.requires_grad) if isinstance(self, torch.nn.Parameter) else new.requires_grad_(self.requires_grad)
        return memo[id(self)]

    def __reduce_ex__(self, protocol):  # read back on the CPU, as with map_location="cpu"
        return self.inner.detach().__reduce_ex__(protocol)


def on_device(device): return device is not None and torch.device(device).type == DEVICE.type


def refuse_mixing(name, args, tensors):
    "Raise what PyTorch raises where tensors of both devices meet. Single numbers and indices may come from the CPU."
    ours = [isinstance(t, Pretended) for t in tensors]
    strangers = [t for t, mine in zip(tensors, ours) if not mine and t.dim()]
    if name in INDEXES: strangers = [t for t in (args[0], *args[2:3]) if isinstance(t, torch.Tensor) and t.dim() and not isinstance(t, Pretended)]
    if any(ours) and strangers and name not in MOVES:
        raise RuntimeError(f"Expected all tensors to be on the same device, but found at least two devices, {DEVICE} and cpu! ({name} of {[list(t.shape) for t in tensors]})")


def dispatch(func, args, kwargs):
    "Do on the CPU what is asked of the device; what comes out is on the device, unless it is asked for on the CPU."
    name = func._schema.name
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
    ours = [t for t in tensors if isinstance(t, Pretended)]
    refuse_mixing(name, args, tensors)
    here, target = bool(ours), kwargs.get("device")
    if target is not None: here, kwargs = on_device(target), kwargs | dict(device=torch.device("cpu"))
    if name == "aten::copy_": here = isinstance(args[0], Pretended)
    if _warn == "warn" and ours and (name in WAITS or name in MOVES and not here): warnings.warn("called a synchronizing CUDA operation")
    back = {id(t.inner): t for t in ours}  # what is changed in place comes back as the same tensor
    args, kwargs = tree_map(inside, args), {k: False if k == "pin_memory" else tree_map(inside, v) for k, v in kwargs.items()}
    half = next((t.dtype for t in tensors if t.dtype in HALF), None) if name in PRODUCTS else None
    if half:  # added up in float32, as a GPU does; many CPUs are slow in half precision
        args = tree_map(lambda x: x.float() if isinstance(x, torch.Tensor) else x, args)
        out = tree_map(lambda x: x.to(half) if isinstance(x, torch.Tensor) else x, func(*args, **kwargs))
    else: out = func(*args, **kwargs)
    def outside(x):
        if id(x) in back: return back[id(x)]
        return Pretended(x) if here and isinstance(x, torch.Tensor) else x
    return tree_map(outside, out)


def inside(x): return x.inner if isinstance(x, Pretended) else x


class Placing(TorchDispatchMode):
    "Sees to new tensors that are asked for on the device, and to those that are moved there."
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        ours = on_device(kwargs.get("device")) or any(isinstance(t, Pretended) for t in tree_leaves((args, kwargs)))
        return dispatch(func, args, kwargs) if ours else func(*args, **kwargs)


def swapped(a, b, swap=torch.utils.swap_tensors):
    "As `swap_tensors`, by which a module moves its parameters; also where a graph still holds them."
    if isinstance(a, Pretended) != isinstance(b, Pretended): swap(a, b)
    elif isinstance(a, Pretended): a.inner, b.inner = b.inner, a.inner
    else: a.data = b.data


def set_warn(mode):
    global _warn
    _warn = mode


def run_with_device(self, run=threading.Thread.run):
    with Placing(): run(self)


def traced(*args, trace=torch.jit.trace, **kwargs):
    "As `torch.jit.trace`, which loses sight of a net's parameters under a dispatch mode."
    with _disable_current_modes(): return trace(*args, **kwargs)


def start():
    "Make PyTorch believe in the device, in this process."
    state, nothing = torch.zeros(16, dtype=torch.uint8), "_lazy_init synchronize manual_seed manual_seed_all set_rng_state empty_cache reset_peak_memory_stats"
    about = types.SimpleNamespace(name="a pretended GPU", multi_processor_count=1, total_memory=2**30, major=9, minor=0)
    answers = dict(is_available=True, is_initialized=True, device_count=1, current_device=0, get_device_name=about.name,
                   get_device_capability=(9, 0), get_device_properties=about, get_rng_state=state, get_rng_state_all=[state],
                   is_bf16_supported=True, max_memory_allocated=0) | dict.fromkeys(nothing.split())
    for name, answer in answers.items(): setattr(torch.cuda, name, lambda *_, answer=answer, **__: answer)
    torch.cuda.set_sync_debug_mode = set_warn
    torch.jit.trace = traced
    torch.Tensor.pin_memory = lambda self, *_: self
    torch.backends.cudnn.enabled = False
    torch.__future__.set_swap_module_params_on_conversion(True)
    torch.utils.swap_tensors = swapped
    torch._C._set_only_lift_cpu_tensors(True)  # `torch.tensor(…, device="cuda")` is moved by us, not in C++
    threading.Thread.run = run_with_device
    Placing().__enter__()


if os.environ.get("PRETEND_GPU"): start()
