#!/usr/bin/env python3
"""Lets Karyon write networks as ONNX files, checks them with ONNX's checker and runs them with onnxruntime.

usage: exports.py EXPORT_RUNNER

Exit code 77 (skipped) without onnx, numpy and onnxruntime.
"""
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy
    import onnx
    import onnxruntime
except ImportError as error:
    print(f'skipped: {error}')
    sys.exit(77)


def channels_first(x):
    return numpy.ascontiguousarray(numpy.moveaxis(x, -1, 1)) if x.ndim in (4, 5) else x


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        subprocess.run([pathlib.Path(sys.argv[1]).resolve(), folder], check=True)
        for model in sorted(folder.glob('*.onnx')):
            onnx.checker.check_model(str(model), full_check=True)
            x, y = (channels_first(numpy.load(folder / f'{model.stem}.{which}.npy')) for which in 'xy')
            session = onnxruntime.InferenceSession(str(model), providers=['CPUExecutionProvider'])
            z, = session.run(None, {session.get_inputs()[0].name: x})
            error = abs(z - y).max() / abs(y).max() if z.shape == y.shape else numpy.inf
            # Another batch goes through, too.
            session.run(None, {session.get_inputs()[0].name: numpy.concatenate([x, x, x])})
            failed += not error < 1e-5
            print(f'{model.stem}\t{"equal" if error < 1e-5 else "DIFFERS"}\t{error:.1e}')
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
