#include "dataset/diagnosis.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>
#include <numeric>
#include <optional>

#include <karyon/core/parallel.h>

#include "common/error.h"
#include "common/progress.h"
#include "common/quantile.h"
#include "common/stop.h"
#include "common/text.h"
#include "dataset/bowl_layout.h"
#include "dataset/examination.h"
#include "dataset/listing.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;

double median(std::vector<double> values) {
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

class SetExamination {
 public:
  SetExamination(const std::vector<Facts>& facts, std::vector<Finding>& findings)
      : facts_(facts), findings_(findings) {}

  /// `all_pairs`: also what needs a comparison of all pairs of images.
  void run(bool all_pairs) {
    look_for_duplicates();
    if (all_pairs) look_for_near_duplicates();
    look_at_names();
    look_at_sizes();
    look_at_brightness();
    look_at_truth();
  }

 private:
  void find(const char* key, const std::string& file, std::string what) {
    findings_.push_back({&fault(key), file, std::move(what)});
  }

  void look_for_duplicates() {
    std::map<std::uint64_t, const Facts*> first;
    for (const Facts& f : facts_) {
      if (!f.readable || f.thumbnail.empty()) continue;
      const auto [at, added] = first.try_emplace(f.hash, &f);
      if (added) continue;
      find("duplicate-image", f.image,
           "the same pixels as " + at->second->image +
               (f.truth_hash == at->second->truth_hash ? "" : ", but other masks"));
    }
  }

  void look_for_near_duplicates() {
    constexpr float alike_threshold = 0.95f;
    std::vector<std::size_t> match(facts_.size(), facts_.size());
    karyon::parallel_for(
        static_cast<std::int64_t>(facts_.size()), 8, [&](std::int64_t begin, std::int64_t end) {
          for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
            for (std::size_t j = 0; j < i && match[i] == facts_.size(); ++j) {
              const Facts &a = facts_[i], &b = facts_[j];
              if (a.thumbnail.empty() || b.thumbnail.empty() || a.hash == b.hash) continue;
              const float alike =
                  std::inner_product(a.thumbnail.begin(), a.thumbnail.end(), b.thumbnail.begin(), 0.0f);
              if (alike > alike_threshold) match[i] = j;
            }
          }
        });
    for (std::size_t i = 0; i < facts_.size(); ++i) {
      if (match[i] == facts_.size()) continue;
      const Facts& other = facts_[match[i]];
      find("near-duplicate", facts_[i].image,
           "nearly the same as " + other.image +
               (facts_[i].stats.width == other.stats.width && facts_[i].stats.height == other.stats.height
                    ? ""
                    : " in another size"));
    }
  }

  void look_at_names() {
    std::map<std::string, std::string> first;
    for (const Facts& f : facts_) {
      const std::string id = fs::path(f.image).begin()->string();
      if (f.image.empty()) continue;
      const auto [at, added] = first.try_emplace(lower(id), id);
      if (!added) find("case-only", id, "differs from " + at->second + " in upper and lower case only");
    }
  }

  void look_at_sizes() {
    constexpr std::size_t enough = 5;
    constexpr double huge = 12;
    for (const Facts& f : facts_) {
      if (f.areas.size() < enough) continue;
      std::vector<double> areas;
      for (const auto& [file, area] : f.areas) areas.push_back(static_cast<double>(area));
      // Many nuclei may be fragments, or cut by the image's edge. The upper quartile is the area of a whole
      // one.
      const double usual = quantile(areas, 0.75),
                   pixels = static_cast<double>(f.stats.width) * f.stats.height;
      for (const auto& [file, area] : f.areas) {
        const auto size = static_cast<double>(area);
        if (size > huge * usual && size > 0.02 * pixels)
          find("huge-nucleus", file,
               std::to_string(area) + " pixels, " + fixed(size / usual, 0) +
                   " times as many as three of four nuclei of its image have at most");
      }
    }
  }

  void look_at_brightness() {
    constexpr std::size_t enough = 10;
    constexpr double far = 6;  // robust standard deviations
    for (const Modality kind : {Modality::fluorescence, Modality::brightfield, Modality::stained}) {
      std::vector<double> levels;
      const auto level = [](const Facts& f) {
        return std::log((f.stats.mean[0] + f.stats.mean[1] + f.stats.mean[2]) / 3 + 0.004);
      };
      for (const Facts& f : facts_) {
        if (f.readable && f.kind == kind) levels.push_back(level(f));
      }
      if (levels.size() < enough) continue;
      const double middle = median(levels);
      std::vector<double> distances;
      for (const double value : levels) distances.push_back(std::abs(value - middle));
      const double spread = std::max(1.4826 * median(distances), 0.1);
      for (const Facts& f : facts_) {
        if (!f.readable || f.kind != kind || std::abs(level(f) - middle) <= far * spread) continue;
        find("odd-brightness", f.image,
             fixed(std::exp(level(f) - middle), 2) + " times the brightness that is usual among the " +
                 name(kind) + " images");
      }
    }
  }

  void look_at_truth() {
    std::size_t with_masks = 0, empty = 0;
    for (const Facts& f : facts_) {
      with_masks += f.any_mask;
      empty += f.any_mask && !f.any_nucleus;
    }
    if (with_masks > 0 && 2 * empty > with_masks)
      find("nothing-to-learn", ".",
           std::to_string(empty) + " of " + counted(with_masks, "image") + " have no pixel of a nucleus");
  }

  const std::vector<Facts>& facts_;
  std::vector<Finding>& findings_;
};

/// What a folder that is not in the layout holds instead.
std::string what_lies_there(const fs::path& root) {
  std::error_code ignored;
  if (fs::is_directory(root / "images", ignored) && list_folder(root / "images").size() > 1)
    return "its folder images holds " + std::to_string(list_folder(root / "images").size()) +
           " files; every image needs a folder of its own; nuclei arrange makes them";
  try {
    scan_bowl(root, false);
  } catch (const Failure& e) {
    return e.what();
  }
  return "nothing that could be read";
}

/// Examines the folders of images on all processors.
///   take  where the images are to be used: is called with every examination, in order. A signal stops the
///         reading then, and comparisons of all pairs are left out.
void examine(const fs::path& root, const std::vector<fs::path>& folders, Diagnosis& diagnosis,
             const std::function<void(Examination&, std::size_t)>& take = {}) {
  const auto stopped = [&] { return take && StopOnSignal::signal() != 0; };
  std::vector<Facts> facts;
  Progress progress(take ? "reading" : "examining", static_cast<std::int64_t>(folders.size()));
  constexpr std::size_t at_once = 32;
  for (std::size_t first = 0; first < folders.size(); first += at_once) {
    std::vector<Examination> some;
    for (std::size_t i = first; i < std::min(first + at_once, folders.size()); ++i)
      some.emplace_back(root, folders[i], static_cast<bool>(take));
    karyon::parallel_for(static_cast<std::int64_t>(some.size()), 1,
                         [&](std::int64_t begin, std::int64_t end) {
                           for (std::int64_t i = begin; i < end && !stopped(); ++i)
                             some[static_cast<std::size_t>(i)].run();
                         });
    if (stopped()) throw Stopped("stopped while reading the images; nothing was written");
    for (std::size_t i = 0; i < some.size(); ++i) {
      if (take) take(some[i], first + i);
      std::ranges::move(some[i].findings, std::back_inserter(diagnosis.findings));
      facts.push_back(std::move(some[i].facts));
      diagnosis.images += some[i].images;
      diagnosis.masks += some[i].masks;
    }
    progress.update(static_cast<std::int64_t>(first + some.size()));
  }
  progress.finish();
  SetExamination(facts, diagnosis.findings).run(!take);
  std::ranges::stable_sort(diagnosis.findings, {}, [](const Finding& finding) { return finding.fault; });
}

/// The kinds of faults of a severity, with their files: "masks with holes (2: a/masks/1.png, ...)".
std::string listed(const Diagnosis& diagnosis, Severity severity) {
  constexpr std::size_t kinds_at_most = 3;
  std::string text;
  std::size_t kinds = 0;
  for (auto first = diagnosis.findings.begin(), last = first; first != diagnosis.findings.end();
       first = last) {
    const Fault* fault = first->fault;
    last = std::find_if(first, diagnosis.findings.end(),
                        [&](const Finding& finding) { return finding.fault != fault; });
    if (fault->severity != severity || ++kinds > kinds_at_most) continue;
    const auto n = static_cast<std::size_t>(last - first);
    text += (kinds > 1 ? ", " : "") + std::string(fault->title);
    text += first->file == "." ? " (" + first->what + ")"
                               : " (" + std::to_string(n) + ": " + first->file + (n > 1 ? ", ...)" : ")");
  }
  return text + (kinds > kinds_at_most ? ", ..." : "");
}

}  // namespace

std::size_t Diagnosis::count(Severity severity) const {
  return static_cast<std::size_t>(std::ranges::count_if(
      findings, [&](const Finding& finding) { return finding.fault->severity == severity; }));
}

Diagnosis diagnose(const fs::path& root) {
  std::error_code ignored;
  if (!fs::is_directory(root, ignored))
    throw Failure("examining " + root.string() +
                  ": expected a folder, there is none of this name; check the path");
  Diagnosis diagnosis;
  std::vector<fs::path> folders;
  for (const fs::path& entry : list_folder(root)) {
    if (!fs::is_directory(entry, ignored) || entry.filename() == "__MACOSX") continue;
    if (fs::is_directory(entry / "images", ignored) || fs::is_directory(entry / "masks", ignored)) {
      folders.push_back(entry);
    } else {
      diagnosis.findings.push_back(
          {&fault("ignored-file"), entry.filename().string(), "a folder without images"});
    }
  }
  if (folders.empty()) {
    diagnosis.findings = {{&fault("layout"), ".", what_lies_there(root)}};
    return diagnosis;
  }

  examine(root, folders, diagnosis);
  return diagnosis;
}

Examined read_examined(const fs::path& data, const std::vector<Sample>& samples) {
  Examined all;
  std::vector<fs::path> folders;
  for (const Sample& sample : samples) folders.push_back(data / sample.id);
  examine(data, folders, all.diagnosis, [&](Examination& one, std::size_t i) {
    std::optional<Example> example = one.take_example();
    if (!example) {
      example = read_example(samples[i]);  // says what is wrong, or reads it in another way
      std::erase_if(one.findings, [](const Finding& f) { return f.fault == &fault("unreadable"); });
    }
    all.examples.push_back(std::move(*example));
  });
  return all;
}

void refuse_faults(const Diagnosis& diagnosis, const fs::path& data, bool ignore_faults) {
  const std::string errors = listed(diagnosis, Severity::error), folder = data.string(),
                    warnings = listed(diagnosis, Severity::warning),
                    more = "; nuclei doctor --data " + folder + " says why, and what to do";
  if (!errors.empty() && !ignore_faults)
    throw Failure(folder + ": " + errors + more + "; --ignore-faults takes the data as they are");
  const std::string both = errors + (errors.empty() || warnings.empty() ? "" : ", ") + warnings;
  if (!both.empty()) std::fprintf(stderr, "warning: %s\n", printable(folder + ": " + both + more).c_str());
}

}  // namespace nuclei
