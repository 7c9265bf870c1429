#!/usr/bin/env python3
"""Calls Karyon from Python by ctypes, and exchanges arrays by DLPack with PyTorch where it is there.

usage: capi.py LIBRARY
"""
import ctypes
import math
import sys

karyon = ctypes.CDLL(sys.argv[1])
karyon.karyon_version.restype = ctypes.c_char_p
karyon.karyon_last_error.restype = ctypes.c_char_p
F32, I64 = 0, 3


class UNetOptions(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ('in_channels', 'out_channels', 'base_width', 'depth')] + [
        (name, ctypes.c_int) for name in ('group_norm', 'bilinear')]


def ok(status):
    if status != 0:
        raise RuntimeError(f'{status}: {karyon.karyon_last_error().decode()}')


def sizes(*shape):
    return (ctypes.c_int64 * len(shape))(*shape), len(shape)


def tensor(values, *shape):
    out = ctypes.c_void_p()
    ok(karyon.karyon_tensor_from_data((ctypes.c_float * len(values))(*values), *sizes(*shape), F32, ctypes.byref(out)))
    return out


def values(x, count):
    out = (ctypes.c_float * count)()
    ok(karyon.karyon_tensor_copy_to(x, out, ctypes.c_size_t(ctypes.sizeof(out))))
    return list(out)


def check_calls():
    assert karyon.karyon_version().count(b'.') == 2
    a, b, y = tensor([1, 2, 3, 4], 2, 2), tensor([1, 0, 0, 2], 2, 2), ctypes.c_void_p()
    ok(karyon.karyon_tensor_matmul(a, b, ctypes.byref(y)))
    assert values(y, 4) == [1, 4, 3, 8], values(y, 4)
    karyon.karyon_tensor_free(y)
    assert karyon.karyon_tensor_reshape(a, *sizes(5), ctypes.byref(y)) == 1
    assert b'reshape' in karyon.karyon_last_error(), karyon.karyon_last_error()
    karyon.karyon_tensor_free(a)
    karyon.karyon_tensor_free(b)


def check_module():
    net, y = ctypes.c_void_p(), ctypes.c_void_p()
    ok(karyon.karyon_unet_create(ctypes.byref(UNetOptions(3, 1, 8, 2, 0, 1)), ctypes.byref(net)))
    x = tensor([0.5] * (16 * 16 * 3), 1, 16, 16, 3)
    ok(karyon.karyon_module_run(net, x, ctypes.byref(y)))
    assert all(math.isfinite(v) for v in values(y, 16 * 16))
    for free, handle in ((karyon.karyon_tensor_free, x), (karyon.karyon_tensor_free, y), (karyon.karyon_module_free, net)):
        free(handle)


def check_dlpack(torch):
    from torch.utils import dlpack
    api = ctypes.pythonapi
    api.PyCapsule_New.restype, api.PyCapsule_New.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    api.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]
    used = b'used_dltensor'

    x, managed = tensor([1, 2, 3, 4, 5, 6], 2, 3), ctypes.c_void_p()
    ok(karyon.karyon_tensor_to_dlpack(x, ctypes.byref(managed)))
    theirs = dlpack.from_dlpack(api.PyCapsule_New(managed, b'dltensor', None))
    assert theirs.tolist() == [[1, 2, 3], [4, 5, 6]]
    theirs[0, 0] = 10
    assert values(x, 6)[0] == 10
    karyon.karyon_tensor_free(x)
    assert theirs.sum() == 30

    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool):
        for theirs in (torch.arange(6).reshape(2, 3).to(dtype), torch.arange(6).reshape(3, 2).to(dtype).T):
            capsule, ours, back = dlpack.to_dlpack(theirs), ctypes.c_void_p(), ctypes.c_void_p()
            ok(karyon.karyon_tensor_from_dlpack(ctypes.c_void_p(api.PyCapsule_GetPointer(capsule, b'dltensor')),
                                                ctypes.byref(ours)))
            api.PyCapsule_SetName(capsule, used)
            ok(karyon.karyon_tensor_to_dtype(ours, F32, ctypes.byref(back)))
            assert values(back, 6) == theirs.float().flatten().tolist(), (dtype, values(back, 6))
            karyon.karyon_tensor_free(ours)
            karyon.karyon_tensor_free(back)


check_calls()
check_module()
try:
    import torch
except ImportError as error:
    print(f'DLPack with PyTorch left out: {error}')
else:
    check_dlpack(torch)
print('passed')
