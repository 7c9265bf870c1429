#include "dataset/faults.h"

#include <algorithm>
#include <array>

namespace nuclei {

const char* name(Severity severity) {
  constexpr std::array names{"error", "warning", "note"};
  return names[static_cast<std::size_t>(severity)];
}

const std::vector<Fault>& faults() {
  using enum Severity;
  static const std::vector<Fault> all{
      {"layout", error, "the folder is not in the layout <id>/images/*.png, <id>/masks/*.png",
       "nothing would be found to train on",
       "bring a folder of images and one of masks into it with nuclei arrange; or make one folder per image, "
       "with the image in its folder images and one mask per nucleus in its folder masks"},
      {"nothing-to-learn", error, "most images have no pixel of a nucleus in their masks",
       "your Dice would be 0 because the truth is empty: the network learns to answer \"background\"",
       "look at the mask files' values; perhaps the nuclei are not above 0, or the wrong folder was copied"},
      {"unreadable", error, "files that cannot be read", "training stops at the first of them",
       "copy the file again from its source, or save it anew as PNG"},
      {"no-image", error, "masks without an image",
       "training stops: there is nothing to learn these masks on",
       "add the image as <id>/images/NAME.png, or remove the folder"},
      {"several-images", error, "folders with several images",
       "training stops: the masks belong to one of them",
       "keep one image per folder (several channels: merge them into one RGB or grey PNG)"},
      {"no-masks", error, "images without masks",
       "training and evaluation stop; read as background they would teach that nuclei are none",
       "add one mask per nucleus to <id>/masks; an image that truly has no nuclei gets one mask that is all "
       "0"},
      {"size-mismatch", error, "masks of another size than their image",
       "training stops: mask and image pixels would not lie on each other, and your Dice would be near 0",
       "export the masks again at the image's size, without scaling or cropping"},
      {"mask-in-alpha", error, "masks kept in the alpha channel",
       "your Dice would be 0 because only the colours are read, and they are the same everywhere",
       "save the alpha channel as a grey 8-bit PNG: 0 background, 255 nucleus"},
      {"full-mask", error, "masks in which every pixel is set",
       "the whole image would be one nucleus, and every true one be lost below it",
       "check the export: the background must be 0, not 1 or white"},
      {"inverted-mask", error, "inverted masks: nearly everything is set",
       "your Dice would be near 0 because the background is learnt as a nucleus, and the nuclei as "
       "background",
       "invert the file: 0 is background, anything above it nucleus"},
      {"background-mask", error, "masks of the background",
       "the background is learnt as a nucleus, and your Dice would be near 0",
       "remove the file if the nuclei have masks of their own; else invert it: 0 is background, anything "
       "above "
       "it nucleus"},
      {"label-image", error, "label images in place of one mask per nucleus",
       "every value above 0 counts as set, so all nuclei of the file would become a single one; Dice looks "
       "right, and the Bowl score is 0",
       "nuclei arrange writes one file per value"},
      {"all-in-one", error, "all nuclei in one mask",
       "the parts would be one nucleus, and the network never learns where one ends and the next begins",
       "nuclei arrange writes one file per connected part; nuclei that touch must be drawn apart"},
      {"blank-image", error, "images with a single value everywhere",
       "there is nothing to see, so nothing to learn", "export the image again, or remove its folder"},
      {"ignored-picture", warning, "image files of a kind that is not read here",
       "they are passed over, so their nuclei would be taught as background",
       "save them as PNG beside the others"},
      {"off-target", warning, "masks that do not follow the image",
       "your Dice would be near 0 if the masks belong to another image, or are flipped or shifted",
       "lay the masks over the image and look; pair the files again by name"},
      {"identical-masks", warning, "masks that are the same as another",
       "the second one is left without a pixel and dropped", "remove one, or put in the mask that was meant"},
      {"overlapping-masks", warning, "masks that overlap by a quarter or more",
       "a pixel belongs to one nucleus: the first by file name keeps it, the other is cut",
       "redraw the border between the two"},
      {"several-parts", warning, "masks with several separate parts",
       "they would be taught as one nucleus that is in several places", "write one file per part"},
      {"huge-nucleus", warning, "masks far larger than the others of their image",
       "a filled background or several nuclei in one drown the true sizes", "look at the file"},
      {"grey-mask", warning, "masks with values between background and nucleus",
       "every value above 0 counts as set: what JPEG compression or smoothing left around a nucleus makes it "
       "larger, and your Dice smaller",
       "save masks as PNG without smoothing, or set what is below half to 0"},
      {"empty-mask", warning, "masks without a pixel", "the nucleus it should show is taught as background",
       "draw it, or remove the file; as the only mask of an image without nuclei it is right"},
      {"low-contrast", warning, "images with hardly any contrast",
       "stretched to the usual contrast they are mostly noise",
       "check exposure and export; leave them out if nothing is to be seen"},
      {"saturated", warning, "overexposed images",
       "where brightness is cut off, touching nuclei cannot be told apart",
       "export without stretching the contrast, or expose for less"},
      {"duplicate-image", warning, "images that are there twice",
       "they count double, and on both sides of a split of your own they flatter the scores",
       "keep one of them"},
      {"case-only", warning, "names that differ in upper and lower case only",
       "on Windows and macOS they are one folder, and one of the two is lost when copied", "rename one"},
      {"near-duplicate", note, "images that look nearly like another",
       "fine for training, which holds out similar images together; on both sides of a split of your own "
       "they flatter "
       "the scores",
       "keep them on one side"},
      {"small-overlaps", note, "masks that overlap a little",
       "the first by file name keeps the shared pixels", "nothing, unless you want the borders exact"},
      {"specks", note, "masks with a few pixels apart from the rest",
       "they are taught as part of the nucleus; a slip of the pen, mostly", "erase them if you can"},
      {"holes", note, "masks with holes",
       "holes are taught as background, while what is found has its holes closed",
       "fill them, unless they are meant"},
      {"tiny-nuclei", note, "images with nuclei below 16 pixels",
       "predict drops so small ones as specks, so they count as missed",
       "check for slips of the pen; enlarge the images if nuclei are truly that small"},
      {"odd-brightness", note, "images much darker or lighter than others of their kind",
       "fine if you mean to work on such images; else a wrong exposure or export", "look at the image"},
      {"dark-mask", note, "masks that look black in a viewer", "read right: everything above 0 is nucleus",
       "nothing"},
      {"opaque-mask", note, "masks with an alpha channel",
       "read right here; programs that count it as a colour see a full mask",
       "nothing, or save them without"},
      {"dark-in-viewers", note, "16-bit images that use little of their range",
       "read right: contrast is stretched by percentiles; viewers may show them black", "nothing"},
      {"one-colour", note, "one channel saved in a colour",
       "read right: as that channel, in training, evaluate and predict alike", "nothing"},
      {"ignored-file", note, "other files", "they are passed over", "nothing"},
  };
  return all;
}

const Fault& fault(const std::string& key) {
  return *std::ranges::find_if(faults(), [&](const Fault& f) { return f.key == key; });
}

}  // namespace nuclei
