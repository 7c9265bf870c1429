#!/usr/bin/env python3
"""Compares Karyon's operations with PyTorch's on many calls: PyTorch's own samples (OpInfo) and random ones.

    check.py DRIVER                                   100 random calls of each operation, and all of OpInfo
    check.py DRIVER --cases 1000 --seed 7             more, and other ones
    check.py DRIVER --operators conv2d,amax           only these
    check.py DRIVER --second                          also the gradients of gradients
    check.py DRIVER --seed 7 --only conv2d/random/f32/12    one call again, with its arguments

DRIVER is build/bin/parity_driver. A call agrees if results and gradients have PyTorch's dtypes, shapes and values, or if
both refuse it. Calls that Karyon cannot express are counted with their reasons. So are the differences that
docs/reference/coming-from-pytorch.md documents; one that a run with 1000 cases does not see is a failure.

The last line is "N passed, N failed". Exits with 1 if a call disagrees, with 77 where PyTorch is missing.
"""
import argparse
import collections
import pathlib
import subprocess
import sys
import tempfile
import warnings

try:
    import torch
    import numpy  # noqa: F401  torch.testing and bytes of tensors need it
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

import adapters
import differences
import files
import samples
from compare import Case, Problem
from operators import OPERATORS

BATCH = 500, 10**6  # calls and elements that the driver gets at once


class Tally:
    """What became of the calls of one operator."""

    def __init__(self):
        self.agree = self.documented = self.disagree = 0
        self.not_expressible = collections.Counter()

    def row(self):
        unsaid = sum(self.not_expressible.values())
        return self.agree + self.documented + self.disagree + unsaid, self.agree, self.documented, unsaid, self.disagree


class Check:
    def __init__(self, arguments):
        self.arguments = arguments
        self.tallies = {operator.name: Tally() for operator in OPERATORS}
        self.seen, self.applied = collections.Counter(), collections.Counter()
        self.disagreements = []

    def samples(self):
        chosen = self.arguments.operators.split(",") if self.arguments.operators else []
        if self.arguments.only:
            chosen = [self.arguments.only.split("/")[0]]
        unknown = set(chosen) - set(self.tallies)
        if unknown:
            sys.exit(f"check.py: no operator {', '.join(sorted(unknown))}; there are {', '.join(self.tallies)}")
        for operator in OPERATORS:
            if not chosen or operator.name in chosen:
                for source in (samples.opinfo_samples(operator, self.arguments.seed, self.arguments.opinfo),
                               samples.random_samples(operator, self.arguments.seed, self.arguments.cases,
                                                       self.arguments.second)):
                    for sample in source:
                        if not self.arguments.only or sample.name == self.arguments.only:
                            yield sample

    def run(self):
        batch, elements = [], 0
        for sample in self.samples():
            try:
                batch.append(Case(sample, self.arguments.second))
            except adapters.NotExpressible as reason:
                self.tallies[sample.operator.name].not_expressible[str(reason)] += 1
                continue
            elements += batch[-1].elements()
            if len(batch) >= BATCH[0] or elements >= BATCH[1]:
                self.judge(batch)
                batch, elements = [], 0
        self.judge(batch)

    def judge(self, cases):
        tensors, states = self.drive(cases)
        for case in cases:
            problems = case.judge(tensors, states.get(case.name, ""))
            applying = [d for d in differences.DIFFERENCES if d.applies(case)]
            self.applied.update(d.name for d in applying)
            explained = [next((d for d in applying if d.explains(case, problem)), None) for problem in problems]
            self.seen.update({d.name for d in explained if d})
            tally = self.tallies[case.operator.name]
            if not problems:
                tally.agree += 1
            elif all(explained):
                tally.documented += 1
            else:
                tally.disagree += 1
                self.disagreements.append((case, [p for p, d in zip(problems, explained) if not d]))
            if self.arguments.only:
                show(case, problems, explained)

    def drive(self, cases):
        """Karyon's answers. If the driver dies, each call gets a driver of its own, to find the one to blame."""
        tensors, metadata = {}, {}
        for case in cases:
            case.write(tensors, metadata)
        with tempfile.TemporaryDirectory() as folder:
            calls, answers = pathlib.Path(folder, "calls"), pathlib.Path(folder, "answers")
            files.save(calls, tensors, metadata)
            done = subprocess.run([self.arguments.driver, calls, answers], stderr=subprocess.PIPE, text=True)
            if done.returncode == 0:
                return files.load(answers)
        if len(cases) == 1:
            return {}, {cases[0].name: f"failed: the driver ended with {done.returncode} {done.stderr.strip()}"}
        all_tensors, all_states = {}, {}
        for case in cases:
            tensors, states = self.drive([case])
            all_tensors.update(tensors)
            all_states.update(states)
        return all_tensors, all_states

    def report(self):
        print(f"{'operator':20} {'calls':>7} {'agree':>7} {'documented':>11} {'not expressible':>16} {'disagree':>9}")
        rows = {name: tally.row() for name, tally in self.tallies.items() if sum(tally.row())}
        rows["all"] = tuple(sum(column) for column in zip(*rows.values())) if rows else (0,) * 5
        for name, row in rows.items():
            print(f"{name:20} {row[0]:7} {row[1]:7} {row[2]:11} {row[3]:16} {row[4]:9}")
        self.report_reasons()
        whole = not self.arguments.operators and not self.arguments.only and self.arguments.cases >= 1000
        stale = [d.name for d in differences.DIFFERENCES if whole and not self.seen[d.name]]
        print("\nDocumented differences, with the calls that they apply to and that differ:")
        for d in differences.DIFFERENCES:
            print(f"  {self.applied[d.name]:6} {self.seen[d.name]:6}  {d.name}{' (STALE)' if d.name in stale else ''}")
        for case, problems in self.disagreements[: self.arguments.show]:
            print(f"\n{case.name}: {case.call.operation} {case.call.options}")
            for problem in problems:
                print(f"  {problem.kind} {problem.place} {problem.text}")
            print(f"  again: {sys.argv[0]} {self.arguments.driver} --seed {self.arguments.seed} "
                  f"--opinfo {self.arguments.opinfo} --cases {self.arguments.cases} "
                  f"{'--second ' if self.arguments.second else ''}--only '{case.name}'")
        _, agree, documented, _, disagree = rows["all"]
        print(f"{agree + documented} passed, {disagree + len(stale)} failed")
        return 1 if disagree or stale or agree == 0 else 0

    def report_reasons(self):
        reasons = collections.Counter()
        for tally in self.tallies.values():
            reasons.update(tally.not_expressible)
        print("\nNot expressible:")
        for reason, count in reasons.most_common():
            print(f"  {count:6}  {reason}")


def show(case, problems, explained):
    torch.set_printoptions(precision=9, linewidth=120)
    print(case.name, case.call.operation, case.call.options)
    for i, x in enumerate(case.call.inputs):
        print(f"input {i}: {x if x is None or x.numel() < 200 else (x.shape, x.dtype)}")
    if case.native.error:
        print(f"PyTorch: {case.native.error}")
    for problem, difference in zip(problems, explained):
        print(f"{problem.kind} {problem.place} {problem.text}  [{difference.name if difference else 'not documented'}]")
        if problem.wrong is not None:
            print(f"got {problem.got[problem.wrong][:20]}, expected {problem.expected[problem.wrong][:20]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("driver", help="build/bin/parity_driver")
    parser.add_argument("--cases", type=int, default=100, metavar="N", help="random calls of each operator (100)")
    parser.add_argument("--opinfo", type=int, default=10**6, metavar="N",
                        help="OpInfo's samples of each function and dtype, chosen at random (all)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the random calls and choices (1)")
    parser.add_argument("--second", action="store_true",
                        help="also gradients of gradients, of finite inputs in f64")
    parser.add_argument("--operators", metavar="NAME,...", help="only these")
    parser.add_argument("--only", metavar="CALL", help="only the call of this name, and print it")
    parser.add_argument("--show", type=int, default=20, metavar="N", help="disagreements to print (20)")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    check = Check(arguments)
    check.run()
    return check.report()


if __name__ == "__main__":
    sys.exit(main())
