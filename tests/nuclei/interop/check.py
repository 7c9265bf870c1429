#!/usr/bin/env python3
"""Opens what `nuclei predict` writes with programs that know nothing of it, and compares.

usage: check.py path/to/nuclei [--imagej]

TIFF by tifffile, outlines by roifile, shapely and (--imagej, where it is installed) ImageJ, COCO by pycocotools,
the Bowl's run lengths by their definition, measurements by scikit-image; and the other way round, TIFF files that
tifffile writes. Ends with 77 (skipped) where the Python packages are missing:

    python3 -m venv venv && venv/bin/pip install tifffile roifile shapely pycocotools scikit-image
"""
import csv
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile

SKIPPED = 77
try:
    import numpy as np
    import roifile
    import shapely
    import shapely.geometry
    import tifffile
    from pycocotools.coco import COCO
    from skimage.draw import polygon2mask
    from skimage.io import imread
    from skimage.measure import label, regionprops
except ImportError as missing:
    print(f"skipped: {missing}; see the head of {__file__}")
    sys.exit(SKIPPED)

failures = 0


def check(ok, what):
    global failures
    if not ok:
        failures += 1
    print(("ok      " if ok else "FAILED  ") + what)


def picture(height, width, seed):
    """Bright round spots of many sizes on a dark background, some of them touching."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = random.normal(300, 15, (height, width))
    for _ in range(height * width // 900):
        cy, cx = random.uniform(0, height), random.uniform(0, width)
        a, b, angle = random.uniform(3, 11), random.uniform(3, 8), random.uniform(0, np.pi)
        u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        v = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        image[(u / a) ** 2 + (v / b) ** 2 < 1] += random.uniform(1200, 2500)
    return np.clip(image, 0, 4095).astype(np.uint16)


def brightness_model(path, outputs):
    """A U-Net of the smallest kind whose weights pass the brightness on: what is bright is a nucleus. Its outputs
    are nucleus alone, or nucleus, border and depth."""
    names = {
        "down.0.conv1.weight": (2, 3, 3, 3), "down.0.conv2.weight": (2, 2, 3, 3),
        "bottom.conv1.weight": (4, 2, 3, 3), "bottom.conv2.weight": (4, 4, 3, 3),
        "up.0.up.weight": (4, 2, 2, 2), "up.0.conv1.weight": (2, 4, 3, 3), "up.0.conv2.weight": (2, 2, 3, 3),
    }
    tensors = {name: np.zeros(shape, np.float32) for name, shape in names.items()}
    for name in [n for n in tensors]:
        out = tensors[name].shape[1 if ".up." in name else 0]
        tensors[name.replace("weight", "bias")] = np.zeros(out, np.float32)
        if "conv" in name and "bottom" not in name:
            tensors[name][0, 0, 1, 1] = 1
    tensors["head.weight"] = np.zeros((outputs, 2, 1, 1), np.float32)
    tensors["head.bias"] = np.full(outputs, -10, np.float32)
    tensors["head.weight"][0, 0] = 20
    if outputs == 3:
        tensors["head.weight"][2, 0] = 20
    header, data = {"__metadata__": {
        "karyon.model": "unet", "karyon.unet.in_channels": "3", "karyon.unet.out_channels": str(outputs),
        "karyon.unet.base_width": "2", "karyon.unet.depth": "1", "karyon.unet.norm": "none",
        "karyon.unet.up": "transposed", "karyon.unet.dropout": "0"}}, b""
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [len(data), len(data) + tensor.nbytes]}
        data += tensor.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + data)


def run(program, *arguments):
    done = subprocess.run([program, "predict", *arguments], capture_output=True, text=True, timeout=300)
    check(done.returncode == 0, "nuclei predict " + " ".join(arguments[-2:]))
    if done.returncode != 0:
        print(done.stdout + done.stderr)
    return done


def check_labels(folder, name, count):
    labels = imread(f"{folder}/labels/{name}.png")
    check(labels.dtype == np.uint16 and labels.max() == count, f"{name}: labels 1 to {count} in a 16-bit PNG")
    return labels


def check_table(folder, name, labels, image, pixel_size):
    with open(f"{folder}/nuclei.csv", newline="") as file:
        rows = {int(row["label"]): row for row in csv.DictReader(file) if row["image"] == name}
    properties = regionprops(labels, intensity_image=image.astype(float))
    worst = {}
    for p in properties:
        row = rows[p.label]
        turned = np.degrees(p.orientation)
        turned = turned + 90 if turned <= 0 else turned - 90
        expected = {
            "area": p.area, "centroid_x": p.centroid[1], "centroid_y": p.centroid[0], "perimeter": p.perimeter,
            "bbox_x0": p.bbox[1], "bbox_y0": p.bbox[0], "bbox_x1": p.bbox[3], "bbox_y1": p.bbox[2],
            "major_axis": p.axis_major_length, "minor_axis": p.axis_minor_length,
            "eccentricity": p.eccentricity, "solidity": p.solidity, "mean_intensity": p.intensity_mean,
            "min_intensity": p.intensity_min, "max_intensity": p.intensity_max,
            "std_intensity": image[labels == p.label].std(),
            "total_intensity": image[labels == p.label].astype(float).sum(),
            "area_um2": p.area * pixel_size ** 2, "perimeter_um": p.perimeter * pixel_size}
        if p.eccentricity > 0.1:
            difference = abs(float(row["orientation"]) - turned)
            worst["orientation"] = max(worst.get("orientation", 0), min(difference, 180 - difference))
        for column, value in expected.items():
            error = abs(float(row[column]) - value) / max(1, abs(value))
            worst[column] = max(worst.get(column, 0), error)
    off = {column: error for column, error in worst.items() if error > (0.051 if column == "orientation" else 0.0051)}
    check(len(rows) == len(properties) and not off, f"{name}: measurements as regionprops {off or ''}")


def check_rois(folder, name, labels):
    rois = roifile.roiread(f"{folder}/rois/{name}.zip")
    rois = rois if isinstance(rois, list) else [rois]
    same = len(rois) == labels.max()
    for roi in rois:
        number = int(roi.name)
        corners = roi.coordinates()
        mask = polygon2mask(labels.shape, corners[:, ::-1] - 0.5)  # pixels are points there
        single = label(labels == number, connectivity=1).max() == 1
        if single:
            same = same and np.array_equal(mask, shapely_free_of_holes(labels == number))
    check(same, f"{name}: {len(rois)} ImageJ outlines are the labels, by roifile")


def shapely_free_of_holes(mask):
    outside = label(np.pad(~mask, 1, constant_values=True), connectivity=2)
    return ~(outside == outside[0, 0])[1:-1, 1:-1]


def check_geojson(folder, name, labels):
    with open(f"{folder}/geojson/{name}.geojson") as file:
        collection = json.load(file)
    good = collection["type"] == "FeatureCollection" and len(collection["features"]) == labels.max()
    for feature in collection["features"]:
        shape = shapely.geometry.shape(feature["geometry"])
        number = int(feature["properties"]["name"])
        x0, y0, x1, y1 = (int(v) for v in shape.bounds)
        inside = labels[y0:y1, x0:x1] == number
        good = good and shape.is_valid and shape.area == (labels == number).sum() == inside.sum()
        y, x = np.nonzero(inside)
        points = shapely.points(x + x0 + 0.5, y + y0 + 0.5)
        good = good and bool(shapely.contains(shape, points).all())
    check(good, f"{name}: {len(collection['features'])} GeoJSON features are valid and are the labels, by shapely")


def check_coco(folder, labels_of):
    stdout, sys.stdout = sys.stdout, io.StringIO()
    try:
        coco = COCO(f"{folder}/coco.json")
    finally:
        sys.stdout = stdout
    good = len(coco.imgs) == len(labels_of)
    for image in coco.imgs.values():
        labels = labels_of[os.path.splitext(image["file_name"])[0]]
        good = good and labels.shape == (image["height"], image["width"])
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        good = good and len(annotations) == labels.max()
        for number, annotation in enumerate(annotations, 1):
            mask = coco.annToMask(annotation).astype(bool)
            x, y, w, h = annotation["bbox"]
            good = good and np.array_equal(mask, labels == number) and annotation["area"] == mask.sum()
            good = good and mask[y:y + h, x:x + w].sum() == mask.sum()
    check(good, "COCO masks are the labels, by pycocotools")


def check_bowl(folder, labels_of):
    painted = {name: np.zeros(labels.T.size, np.int64) for name, labels in labels_of.items()}
    with open(f"{folder}/bowl.csv", newline="") as file:
        number = {}
        for row in csv.DictReader(file):
            number[row["ImageId"]] = number.get(row["ImageId"], 0) + 1
            values = [int(v) for v in row["EncodedPixels"].split()]
            for start, length in zip(values[::2], values[1::2]):
                painted[row["ImageId"]][start - 1:start - 1 + length] += number[row["ImageId"]]
    check(all(np.array_equal(painted[name].reshape(labels.T.shape).T, labels) for name, labels in labels_of.items()),
          "the Bowl's run lengths are the labels")


def check_readers(program, model, folder):
    """The same picture in every dress gives the same nuclei."""
    image = picture(150, 170, 9)
    other = np.full_like(image, 7)
    variants = {
        "plain": dict(data=image), "bigtiff": dict(data=image, bigtiff=True),
        "big-endian": dict(data=image, byteorder=">"), "tiled": dict(data=image, tile=(64, 64)),
        "deflate": dict(data=image, compression="zlib", predictor=True), "strips": dict(data=image, rowsperstrip=7),
        "float": dict(data=(image / 4095).astype(np.float32)), "float64": dict(data=image.astype(np.float64)),
        "int32": dict(data=image.astype(np.int32)), "half": dict(data=(image / 4095).astype(np.float16)),
        "white": dict(data=65535 - image, photometric="miniswhite"),
        "planar": dict(data=np.stack([image, other]), planarconfig="separate", photometric="minisblack"),
        "ome": dict(data=np.stack([image, other]), ome=True,
                    metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "FITC"]},
                              "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5,
                              "PhysicalSizeYUnit": "µm"}),
        "imagej": dict(data=np.stack([[image, other], [other, other]]), imagej=True, resolution=(2.0, 2.0),
                       metadata={"axes": "ZCYX", "unit": "um"}),
        "pages": dict(data=np.stack([image, other, other]), photometric="minisblack"),
    }
    os.makedirs(f"{folder}/in")
    for name, options in variants.items():
        ome = options.pop("ome", False)
        tifffile.imwrite(f"{folder}/in/{name}.{'ome.' if ome else ''}tif", ome=ome, **options)
    run(program, "--model", model, "--out", f"{folder}/out", "--page", "1", f"{folder}/in")
    truth = imread(f"{folder}/out/labels/plain.png")
    for name in variants:
        labels = imread(f"{folder}/out/labels/{name}.png")
        # Half precision moves a pixel here and there.
        same = np.array_equal(labels, truth) or (name == "half" and ((labels > 0) != (truth > 0)).mean() < 1e-3)
        check(truth.max() > 5 and same, f"tifffile's {name} TIFF gives the same nuclei")
    with open(f"{folder}/out/nuclei.csv", newline="") as file:
        sizes = {row["image"]: row["pixel_size_um"] for row in csv.DictReader(file)}
    check(float(sizes["ome"]) == 0.5 and float(sizes["imagej"]) == 0.5 and sizes["plain"] == "",
          "pixel sizes of OME-TIFF and ImageJ")
    run(program, "--model", model, "--out", f"{folder}/out2", "--channel", "dapi", f"{folder}/in/ome.ome.tif")
    check(np.array_equal(imread(f"{folder}/out2/labels/ome.png"), truth), "an OME channel by name")


MACRO = """
args = split(getArgument(), ";");
newImage("canvas", "16-bit black", parseInt(args[1]), parseInt(args[2]), 1);
roiManager("Open", args[0]);
n = roiManager("count");
for (i = 0; i < n; i++) {
  roiManager("select", i);
  run("Set...", "value=" + parseInt(Roi.getName));
}
saveAs("tiff", args[3]);
"""


def check_imagej(folder, name, labels):
    imagej, xvfb = shutil.which("imagej"), shutil.which("xvfb-run")
    if not imagej or not xvfb:
        print("skipped: ImageJ (Debian: apt-get install imagej xvfb xauth)")
        return
    macro, out = f"{folder}/paint.ijm", f"{folder}/painted.tif"
    with open(macro, "w") as file:
        file.write(MACRO)
    height, width = labels.shape
    jar = "/usr/share/java/ij.jar"
    command = [xvfb, "-a", "java", "-cp", jar, "ij.ImageJ", "-batch", macro,
               f"{folder}/rois/{name}.zip;{width};{height};{out}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    painted = tifffile.imread(out) if os.path.exists(out) else None
    simple = np.isin(labels, [p.label for p in regionprops(labels) if p.euler_number == 1])
    check(painted is not None and np.array_equal(painted[simple], labels[simple]),
          f"{name}: ImageJ paints the outlines as the labels")
    if painted is None:
        print(done.stdout + done.stderr)


def main():
    if len(sys.argv) < 2:
        print(__doc__)
        return 2
    program = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="nuclei-interop-") as folder:
        model = f"{folder}/brightness.safetensors"
        tifffile.imwrite(f"{folder}/probe.tif", np.zeros((8, 8), np.uint8))
        for outputs in (1, 3):  # as many as this version's networks have
            brightness_model(model, outputs)
            probe = [program, "predict", "--model", model, "--out", f"{folder}/probe", f"{folder}/probe.tif"]
            if subprocess.run(probe, capture_output=True, timeout=60).returncode == 0:
                break
        os.makedirs(f"{folder}/in")
        images = {"one": picture(180, 240, 1), "two": picture(101, 67, 2), "empty": np.full((20, 30), 50, np.uint16)}
        for name, image in images.items():
            tifffile.imwrite(f"{folder}/in/{name}.tif", image)
        out = f"{folder}/out"
        run(program, "--model", model, "--out", out, "--rois", "--geojson", "--coco", "--bowl", "--probabilities",
            "--pixel-size", "0.65", f"{folder}/in")
        labels_of = {}
        for name, image in images.items():
            count = len([1 for row in csv.DictReader(open(f"{out}/nuclei.csv", newline="")) if row["image"] == name])
            labels = labels_of[name] = check_labels(out, name, count)
            maps = tifffile.imread(f"{out}/probabilities/{name}.tif")
            check(maps.dtype == np.float32 and maps.shape[:2] == image.shape, f"{name}: probabilities open in tifffile")
            if count:
                check_table(out, name, labels, image, 0.65)
                check_rois(out, name, labels)
                check_geojson(out, name, labels)
            else:
                check(zipfile.ZipFile(f"{out}/rois/{name}.zip").namelist() == [], f"{name}: an empty ROI archive")
        check_coco(out, labels_of)
        check_bowl(out, labels_of)
        tiff_out = f"{folder}/tiff"
        run(program, "--model", model, "--out", tiff_out, "--labels", "tiff", "--pixel-size", "0.65", f"{folder}/in")
        with tifffile.TiffFile(f"{tiff_out}/labels/one.tif") as file:
            page = file.pages[0]
            x = page.tags["XResolution"].value
            check(np.array_equal(page.asarray(), labels_of["one"]) and page.is_tiled
                  and abs(x[0] / x[1] * 0.65 / 1e4 - 1) < 1e-3, "label TIFF opens in tifffile, with its pixel size")
        check_readers(program, model, f"{folder}/readers")
        if "--imagej" in sys.argv:
            check_imagej(out, "one", labels_of["one"])
    print(f"{failures} failed" if failures else "all good")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
