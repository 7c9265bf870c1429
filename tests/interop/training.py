#!/usr/bin/env python3
"""Compares optimizers and schedules with PyTorch's over 20 steps, with random options and two groups.

usage: training.py INTEROP_TRAINING

Exit code 77 (skipped) without torch.
"""
import random
import subprocess
import sys
import warnings

try:
    import torch
except ImportError as error:
    print(f'skipped: {error}')
    sys.exit(77)

torch.set_default_dtype(torch.float64)
warnings.simplefilter('ignore')  # of schedules that step before the optimizer
draw = random.Random(1)
CASES = 40  # of each


def share(low=0.0, high=1.0):
    return draw.choice([low, draw.uniform(low, high)])


def betas():
    return {'beta1': draw.uniform(0, 0.99), 'beta2': draw.uniform(0.5, 0.999), 'eps': draw.choice([1e-8, 1e-3])}


OPTIMIZERS = {
    'SGD': lambda: {'momentum': share(0, 0.9), 'dampening': share(0, 0.5)},
    'Adam': betas,
    'AdamW': betas,
    'RMSprop': lambda: {'alpha': draw.uniform(0.5, 0.99), 'eps': draw.choice([1e-8, 1e-3]), 'momentum': share(0, 0.9),
                        'centered': draw.choice([0, 1])},
    'Adagrad': lambda: {'lr_decay': share(0, 0.1), 'initial_accumulator_value': share(0, 0.5), 'eps': 1e-10},
}
SCHEDULES = {
    'StepLR': lambda: {'step_size': draw.randint(1, 6), 'gamma': draw.uniform(0.1, 1)},
    'ExponentialLR': lambda: {'gamma': draw.uniform(0.5, 1)},
    'PolynomialLR': lambda: {'total_iters': draw.randint(1, 25), 'power': draw.uniform(0.5, 3)},
    'LinearLR': lambda: {'start_factor': draw.uniform(0.1, 1), 'end_factor': draw.uniform(0, 1),
                         'total_iters': draw.randint(1, 25)},
    'ConstantLR': lambda: {'factor': draw.uniform(0, 1), 'total_iters': draw.randint(1, 25)},
    'CosineAnnealingWarmRestarts': lambda: {'T_0': draw.randint(1, 8), 'T_mult': draw.randint(1, 3),
                                            'eta_min': share(0, 0.02)},
}


def optimized(name, options):
    options = dict(options)
    start = torch.sin(torch.arange(7.0)) * 2
    a, b = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    groups = [{'params': [a]}, {'params': [b], 'lr': options.pop('second_lr'),
                                'weight_decay': options.pop('second_weight_decay')}]
    if 'beta1' in options:
        options['betas'] = (options.pop('beta1'), options.pop('beta2'))
    for flag in {'centered', 'nesterov'} & options.keys():
        options[flag] = bool(options[flag])
    optimizer = getattr(torch.optim, name)(groups, **options)
    s = torch.tensor([1.0, 2, 3, 1, 2, 3, 1])
    for _ in range(20):
        for p in (a, b):
            p.grad = 2 * s * (p.detach() * s - 1)
        optimizer.step()
    return a.tolist() + b.tolist()


def rates(name, options):
    p = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{'params': [p[0]]}, {'params': [p[1]], 'lr': 0.02}], lr=0.1)
    schedule = getattr(torch.optim.lr_scheduler, name)(optimizer, **options)
    out = []
    for _ in range(20):
        out += [group['lr'] for group in optimizer.param_groups]
        schedule.step()
    return out


cases = []
for name, options in OPTIMIZERS.items():
    for _ in range(CASES):
        given = {'lr': draw.uniform(1e-3, 0.05), 'weight_decay': share(0, 0.2), 'second_lr': draw.uniform(1e-3, 0.05),
                 'second_weight_decay': share(0, 0.2), **options()}
        if name == 'SGD' and given['momentum'] > 0 and given['dampening'] == 0:
            given['nesterov'] = draw.choice([0, 1])
        cases.append((name, given, optimized))
for name, options in SCHEDULES.items():
    cases += [(name, options(), rates) for _ in range(CASES)]

lines = [' '.join([name, *(f'{key}={value!r}' for key, value in given.items())]) for name, given, _ in cases]
answers = subprocess.run([sys.argv[1]], input='\n'.join(lines) + '\n', capture_output=True, text=True, check=True)
answers = answers.stdout.splitlines()
assert len(answers) == len(cases), (len(answers), len(cases))
failures = 0
for line, answer, (name, given, reference) in zip(lines, answers, cases):
    ours, theirs = [float(v) for v in answer.split()], reference(name, given)
    worst = max(abs(a - b) / max(1e-3, abs(b)) for a, b in zip(ours, theirs))
    if len(ours) != len(theirs) or not worst < 1e-9:
        failures += 1
        print(f'differs by {worst:.2g}: {line}')
print(f'{len(cases) - failures} of {len(cases)} agree with torch {torch.__version__}')
sys.exit(failures > 0)
