#!/usr/bin/env python3
"""Runs ONNX's own backend tests (onnx.backend.test) with Karyon: all cases of operators, and the models that the
package ships. Each passes, or is refused by name; none may fail or crash.

usage: check.py BACKEND_RUNNER [--filter WORD] [--keep FOLDER] [--page docs/reference/onnx.md] [--verbose]

Exit code 77 (skipped) without onnx and numpy.
"""
import argparse
import collections
import logging
import pathlib
import re
import subprocess
import sys
import tempfile
import warnings

try:
    import numpy
    import onnx
    from onnx import numpy_helper
    import onnx.backend.test
except ImportError as error:
    print(f'skipped: {error}')
    sys.exit(77)

LEAST_SHARE = 0.75  # of the operators' cases

# Cases whose expected values have the noise of NumPy's arithmetic, and the tolerances that it takes.
NOISE = {
    'test_dft_inverse': (1e-3, 1e-6),  # a Fourier transform in f32: 2e-7 where 0 is exact
    'test_dft_inverse_opset19': (1e-3, 1e-6),
    'test_attention_4d_causal_fp16_expanded': (2e-3, 1e-7),  # each step rounded to f16; here f32
}


def write_value(value, info, path):
    """One input or output, as ONNX's own tool writes it."""
    if isinstance(value, onnx.TensorProto):
        proto = value
    elif info.type.HasField('sequence_type'):
        proto = numpy_helper.from_list(value, info.name)
    elif info.type.HasField('optional_type'):
        proto = numpy_helper.from_optional(value, info.name)
    else:
        proto = numpy_helper.from_array(numpy.asarray(value), info.name)
    path.write_bytes(proto.SerializeToString())


def write_case(case, folder):
    folder.mkdir(parents=True)
    (folder / 'model.onnx').write_bytes(case.model.SerializeToString())
    for number, (inputs, outputs) in enumerate(case.data_sets or []):
        data = folder / f'test_data_set_{number}'
        data.mkdir()
        for kind, values, infos in (('input', inputs, case.model.graph.input),
                                    ('output', outputs, case.model.graph.output)):
            for i, (value, info) in enumerate(zip(values, infos)):
                write_value(value, info, data / f'{kind}_{i}.pb')


def operator_cases(folder):
    """(family, folder, rtol, atol) of each case that onnx makes from its operators' examples."""
    from onnx.backend.test.case import node
    warnings.simplefilter('ignore')
    logging.disable(logging.WARNING)
    with numpy.errstate(all='ignore'):
        cases = node.collect_testcases(None)
    for case in cases:
        write_case(case, folder / case.name)
        rtol, atol = NOISE.get(case.name, (case.rtol, case.atol))
        yield 'operators', folder / case.name, rtol, atol


def shipped_cases():
    data = pathlib.Path(onnx.backend.test.__file__).parent / 'data'
    for family in ('simple', 'pytorch-operator', 'pytorch-converted'):
        for model in sorted((data / family).glob('*/model.onnx')):
            yield family, model.parent, 1e-3, 1e-7


def run(runner, cases):
    """The verdict of each case. If the runner ends too early, that case crashed it."""
    verdicts = {}
    waiting = list(cases)
    while waiting:
        lines = ''.join(f'{folder} {rtol} {atol}\n' for _, folder, rtol, atol in waiting)
        done = subprocess.run([runner], input=lines, capture_output=True, text=True)
        for line in done.stdout.splitlines():
            folder, verdict = line.split('\t', 1)
            verdicts[folder] = verdict
        waiting = [case for case in waiting if str(case[1]) not in verdicts]
        if waiting:
            verdicts[str(waiting[0][1])] = f'failed: the runner ended with {done.returncode}'
            waiting = waiting[1:]
    return verdicts


def table(counts, totals):
    lines = ['| tests | passed | refused by name | failed | of |', '|---|---|---|---|---|']
    for family, count in counts.items():
        lines.append(f'| {family} | {count["passed"]} | {count["refused"]} | {count["failed"]} | {totals[family]} |')
    return '\n'.join(lines)


def write_page(page, text):
    old = page.read_text()
    page.write_text(re.sub(r'(<!-- table -->\n).*?(<!-- end -->)', lambda m: m[1] + text + '\n' + m[2], old, flags=re.S))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runner', type=pathlib.Path)
    parser.add_argument('--filter', default='', help='only cases with this in their names')
    parser.add_argument('--keep', type=pathlib.Path, help='write the cases to this new folder and keep them')
    parser.add_argument('--page', type=pathlib.Path, help='write the table to this page')
    parser.add_argument('--verbose', action='store_true', help='print each case')
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or pathlib.Path(temporary)
        cases = [*operator_cases(folder / 'operators'), *shipped_cases()]
        cases = [case for case in cases if arguments.filter in case[1].name]
        verdicts = run(arguments.runner.resolve(), cases)
        counts = collections.defaultdict(collections.Counter)
        totals = collections.Counter()
        refused = collections.Counter()
        failures = []
        for family, path, _, _ in cases:
            verdict = verdicts[str(path)]
            kind = verdict.split(':')[0]
            counts[family][kind] += 1
            totals[family] += 1
            if kind == 'failed':
                failures.append(f'{path.name}: {verdict}')
            if kind == 'refused':
                refused[re.sub(r' \((node|of the)[^:)]*', ' (', verdict.split('missing: ', 1)[-1])] += 1
            if arguments.verbose:
                print(f'{path.name}\t{verdict}')

    text = table(counts, totals)
    print(text)
    print('\nrefused:')
    for reason, count in refused.most_common():
        print(f'{count:5} {reason[:200]}')
    for failure in failures:
        print(failure)
    if arguments.page:
        write_page(arguments.page, text)
    share = counts['operators']['passed'] / max(totals['operators'], 1)
    if arguments.filter == '' and share < LEAST_SHARE:
        sys.exit(f'only {share:.1%} of the operators\' cases pass')
    sys.exit(1 if failures else 0)


if __name__ == '__main__':
    main()
