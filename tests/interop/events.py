#!/usr/bin/env python3
"""Lets TensorBoard read the events that Karyon writes.

usage: events.py INTEROP_DRIVER

Exit code 77 (skipped) without tensorboard.
"""
import struct
import subprocess
import sys
import tempfile

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError as error:
    print(f'skipped: {error}')
    sys.exit(77)


def expect(holds, message):
    if not holds:
        sys.exit(f'failed: {message}')


with tempfile.TemporaryDirectory() as folder:
    subprocess.run([sys.argv[1], 'events', folder], check=True)
    events = EventAccumulator(folder, size_guidance={'scalars': 0, 'histograms': 0, 'images': 0, 'tensors': 0})
    events.Reload()
    tags = events.Tags()
    expect(tags['scalars'] == ['loss/train'], tags)
    scalars = events.Scalars('loss/train')
    expect([s.step for s in scalars] == [0, 10, 20, 30, 40], scalars)
    expect(all(abs(s.value - 1 / (i + 1)) < 1e-7 for i, s in enumerate(scalars)), scalars)
    expect(scalars[0].wall_time > 1.6e9, scalars)
    histogram = events.Histograms('weights')[0]
    expect(histogram.step == 3 and histogram.histogram_value.num == 100, histogram)
    expect(histogram.histogram_value.sum == 4950 and histogram.histogram_value.max == 99, histogram)
    expect(sum(histogram.histogram_value.bucket) == 100, histogram)
    image = events.Images('picture')[0]
    expect(image.step == 4 and (image.height, image.width) == (200, 150), image)
    expect(image.encoded_image_string[:8] == b'\x89PNG\r\n\x1a\n', image)
    expect(struct.unpack('>II', image.encoded_image_string[16:24]) == (150, 200), image)
    text = events.Tensors('note/text_summary')[0]
    expect(text.step == 5 and text.tensor_proto.string_val[0] == b'**bold**', text)
    try:
        import io
        from PIL import Image
    except ImportError:
        pass
    else:
        picture = Image.open(io.BytesIO(image.encoded_image_string))
        picture.load()
        expect(picture.getpixel((74, 199)) == (255, 0, 0) and picture.getpixel((75, 199)) == (0, 0, 0), picture)
print('passed')
