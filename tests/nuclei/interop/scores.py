#!/usr/bin/env python3
"""Recomputes every score of `nuclei evaluate --json` from the mask files and from the label images of `nuclei predict`.

    scores.py NUCLEI [--model FILE --data FOLDER]

Without a model it draws images, trains a small network on them for a few seconds and checks that one. What is counted
here is counted in another way than in the program: dense tables of intersections, scikit-image's threshold, SciPy's
components, an optimal assignment instead of "above one half is unique". Ends with 77 where a package is missing.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    from PIL import Image
    from scipy import ndimage
    from scipy.optimize import linear_sum_assignment
    from skimage.filters import threshold_otsu
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

THRESHOLDS = [f"{0.5 + 0.05 * k:.2f}" for k in range(10)]


def draw(folder, count, rng):
    """Bright blobs on a dark, noisy background, some of them touching; one image without any."""
    for i in range(count):
        height, width = 48 + 16 * (i % 3), 64
        image = rng.normal(30, 6, (height, width))
        rows, columns = np.mgrid[:height, :width]
        taken = np.zeros((height, width), bool)
        masks = folder / f"image{i:02}" / "masks"
        masks.mkdir(parents=True)
        for n in range(0 if i == 0 else int(rng.integers(4, 12))):
            a, b = rng.uniform(3, 8, 2)
            y, x = rng.uniform(0, height), rng.uniform(0, width)
            blob = (((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 < 1) & ~taken
            if blob.sum() < 12:
                continue
            taken |= blob
            image[blob] += rng.uniform(60, 150)
            Image.fromarray(np.uint8(255) * blob).save(masks / f"{n:02}.png")
        if i == 0:
            Image.fromarray(np.zeros((height, width), np.uint8)).save(masks / "none.png")
        (folder / f"image{i:02}" / "images").mkdir()
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / f"image{i:02}" / "images" / f"image{i:02}.png")


def truth_of(folder, shape):
    labels = np.zeros(shape, int)
    number = 0
    for path in sorted(f for f in (folder / "masks").iterdir() if f.suffix.lower() == ".png" and f.name[0] != "."):
        mask = np.asarray(Image.open(path))
        mask = mask > 0 if mask.ndim == 2 else (mask[..., :3] > 0).any(axis=2)
        mask &= labels == 0
        if mask.any():
            number += 1
            labels[mask] = number
    return labels


def dense(labels):
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape) if (labels == 0).any() else (
        np.unique(labels, return_inverse=True)[1].reshape(labels.shape) + 1)


def counts_of(truth, found):
    truth, found = dense(truth), dense(found)
    t, p = truth.max(), found.max()
    table = np.histogram2d(truth.ravel(), found.ravel(), bins=(np.arange(t + 2), np.arange(p + 2)))[0]
    shared = table[1:, 1:]
    united = table.sum(1)[1:, None] + table.sum(0)[None, 1:] - shared
    iou = shared / np.maximum(united, 1)
    counts = {"pixels": truth.size, "true": (truth > 0).sum(), "found": (found > 0).sum(),
              "both": ((truth > 0) & (found > 0)).sum(), "t": t, "p": p, "iou": 0.0}
    for text in THRESHOLDS:
        # As many pairs as possible above the threshold, each nucleus in one at most.
        ok = iou > float(text) + 1e-9
        rows, columns = linear_sum_assignment(-(ok + np.where(ok, iou, 0) * 1e-6)) if t and p else ([], [])
        counts[text] = int(sum(ok[r, c] for r, c in zip(rows, columns)))
        if text == "0.50":
            counts["iou"] = float(sum(iou[r, c] for r, c in zip(rows, columns) if ok[r, c]))
    common = joint = 0
    used = set()
    for row in range(t):
        if p and shared[row].any():
            best = int(np.argmax(iou[row]))
            used.add(best)
            common += shared[row, best]
            joint += united[row, best]
        else:
            joint += table.sum(1)[row + 1]
    joint += sum(table.sum(0)[column + 1] for column in range(p) if column not in used)
    counts["aji"], counts["aji_all"] = common, joint
    return counts


def scores_of(c):
    ratio = lambda part, whole: part / whole if whole else 1.0
    wrong = c["true"] + c["found"] - 2 * c["both"]
    scores = {"pixel_accuracy": 1 - wrong / c["pixels"], "iou": ratio(c["both"], c["both"] + wrong),
              "dice": ratio(2 * c["both"], c["true"] + c["found"]), "aji": ratio(c["aji"], c["aji_all"]),
              "count_error": abs(c["t"] - c["p"]), "nuclei": c["t"], "predicted": c["p"]}
    fp, fn = c["p"] - c["0.50"], c["t"] - c["0.50"]
    scores["f1"] = ratio(c["0.50"], c["0.50"] + fp / 2 + fn / 2)
    scores["pq"] = ratio(c["iou"], c["0.50"] + fp / 2 + fn / 2)
    scores["sq"] = c["iou"] / c["0.50"] if c["0.50"] else float(c["t"] + c["p"] == 0)
    scores["precision_at_iou"] = {k: ratio(c[k], c["t"] + c["p"] - c[k]) for k in THRESHOLDS}
    scores["dsb_score"] = float(np.mean(list(scores["precision_at_iou"].values())))
    return scores


def flat(scores):
    values = {k: v for k, v in scores.items() if k not in ("precision_at_iou", "nuclei", "predicted")}
    return values | {f"ap_{k}": v for k, v in scores["precision_at_iou"].items()}


def otsu(image):
    grey = image.reshape(*image.shape[:2], -1).astype(float).mean(axis=2) / 255
    if grey.min() == grey.max():
        return np.zeros(grey.shape, int)
    mask = grey.astype(np.float32) > np.float32(threshold_otsu(grey.astype(np.float32).astype(float), 256))
    mask = ~mask if 2 * mask.sum() > mask.size else mask
    labels, n = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=n + 1)
    return np.where(sizes[labels] >= 16, labels, 0)


def compare(what, mine, theirs, tolerance=1e-9):
    for key, value in mine.items():
        if isinstance(value, dict):
            compare(f"{what}, {key}", value, theirs[key], tolerance)
        elif not abs(value - theirs[key]) <= tolerance:
            sys.exit(f"{what}: {key} is {theirs[key]!r} in the JSON file, {value!r} here")


def check_group(what, counts, group):
    scores = [scores_of(c) for c in counts]
    columns = {k: np.array([flat(s)[k] for s in scores]) for k in flat(scores[0])}
    mean = {k: float(v.mean()) for k, v in columns.items()}
    compare(what + ", mean", mean, flat(group["mean"]))
    pool = lambda some: scores_of({k: sum(c[k] for c in some) for k in counts[0]})
    pooled = flat(pool(counts))
    compare(what + ", pooled", pooled, flat(group["pooled"]))
    # Intervals from other random numbers: the ends agree to a fraction of the width.
    rng = np.random.default_rng(7)
    draws = rng.integers(0, len(counts), (2000, len(counts)))
    pools = [flat(pool([counts[i] for i in draw])) for draw in draws[:400]]
    for key, values in columns.items():
        for name, some in (("mean", values[draws].mean(1)), ("pooled", np.array([p[key] for p in pools]))):
            mine, theirs = np.percentile(some, (2.5, 97.5)), group[name + "_interval"][key]
            if np.abs(mine - theirs).max() > 0.3 * (mine[1] - mine[0]) + 1e-6:
                sys.exit(f"{what}: the {name} interval of {key} is {theirs} in the JSON file, about {mine} here")
    return scores


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("nuclei")
    parser.add_argument("--model")
    parser.add_argument("--data")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work, program = pathlib.Path(temporary), pathlib.Path(options.nuclei).resolve()
        run = lambda *arguments: subprocess.run([program, *map(str, arguments)], check=True, cwd=work,
                                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        model, data = options.model, options.data and pathlib.Path(options.data).resolve()
        if not model:
            data, model = work / "data", work / "run" / "model.safetensors"
            draw(data, 16, np.random.default_rng(3))
            run("train", "--data", data, "--out", work / "run", "--epochs", 30, "--crop", 48, "--batch-size", 4,
                "--base-width", 6, "--depth", 2, "--lr", 0.01, "--validation", 0.2)
        model = pathlib.Path(model).resolve()
        run("evaluate", "--model", model, "--data", data, "--json", work / "scores.json")
        run("predict", "--model", model, "--out", work / "found", data)
        report = (work / "report.html").read_text().replace("http://www.w3.org/2000/svg", "")
        if "http:" in report or "https:" in report:
            sys.exit("the report asks for something outside of itself")
        theirs = json.loads((work / "scores.json").read_text())
        counts, kinds, thresholds, nothing = [], [], [], []
        for entry in theirs["images"]:
            picture = next((data / entry["image"] / "images").glob("*.png"))
            image = np.asarray(Image.open(picture))
            image = image[..., :3] if image.ndim == 3 else image
            truth = truth_of(data / entry["image"], image.shape[:2])
            found = np.asarray(Image.open(work / "found" / "labels" / f"{picture.stem}.png")).astype(int)
            counts.append(counts_of(truth, found))
            thresholds.append(counts_of(truth, otsu(image)))
            nothing.append(counts_of(truth, np.zeros_like(truth)))
            kinds.append(entry["modality"])
            compare(entry["image"], scores_of(counts[-1]), entry)
        check_group("all images", counts, theirs)
        for kind in sorted(set(kinds)):
            check_group(kind, [c for c, k in zip(counts, kinds) if k == kind], theirs["by_modality"][kind])
        check_group("Otsu", thresholds, theirs["baselines"]["otsu"])
        check_group("all background", nothing, theirs["baselines"]["all_background"])
        found, true = sum(c["0.50"] for c in counts), sum(c["t"] for c in counts)
        print(f"{len(counts)} images, {true} nuclei of which {found} match, {sum(c['p'] for c in counts)} found: "
              f"all scores agree; report of {len(report)} characters")
        if not options.model and not 0.2 * true < found < 0.99 * true:
            sys.exit("too few or too many matches for the comparison to mean much")


main()
