#include "app/evaluate.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>

#include <karyon/karyon.h>
#include <nlohmann/json.hpp>

#include "app/command.h"
#include "common/progress.h"
#include "common/text.h"
#include "dataset/bowl_layout.h"
#include "dataset/diagnosis.h"
#include "imageio/atomic_file.h"
#include "inference/segmenter.h"
#include "report/html_report.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

std::string zoom_text(double zoom) {
  return zoom == auto_zoom ? "auto" : fixed(zoom, zoom == 0.25 ? 2 : zoom == 0.5 ? 1 : 0);
}

// --- JSON

Json to_json(const Scores& s) {
  Json json = {{"nuclei", s.true_count}, {"predicted", s.predicted_count}};
  Json ap = Json::object();
  for (const Metric& metric : metrics()) {
    if (metric.key.starts_with("ap_")) {
      ap[metric.key.substr(3)] = metric.of(s);
    } else {
      json[metric.key] = metric.of(s);
    }
  }
  json["precision_at_iou"] = ap;
  return json;
}

Json to_json(const std::vector<Interval>& intervals) {
  Json json = Json::object();
  for (std::size_t m = 0; m < metrics().size(); ++m)
    json[metrics()[m].key] = {intervals[m].low, intervals[m].high};
  return json;
}

Json to_json(const Summary& summary) {
  return {{"images", summary.images},
          {"mean", to_json(summary.mean)},
          {"mean_interval", to_json(summary.mean_interval)},
          {"pooled", to_json(summary.pooled)},
          {"pooled_interval", to_json(summary.pooled_interval)}};
}

Json by_modality(const Evaluation& evaluation, const std::vector<Scores>& scores) {
  Json json = Json::object();
  for (const auto& [kind, summary] : evaluation.by_modality(scores)) json[name(kind)] = to_json(summary);
  return json;
}

Json everything(const EvaluateOptions& options, const Evaluation& evaluation, const Baselines& baselines) {
  Json json = to_json(evaluation.summary());
  json["images"] = Json::array();
  json["model"] = options.model.string();
  json["data"] = options.data.string();
  json["tta"] = options.tta;
  json["zoom"] = zoom_text(options.zoom);
  json["precision"] = options.precision;
  json["bootstrap"] = {{"resamples", resamples}, {"level", 0.95}, {"over", "images"}};
  json["by_modality"] = by_modality(evaluation, evaluation.scores());
  for (const auto& [key, scores] :
       {std::pair("otsu", &baselines.otsu), {"all_background", &baselines.background}}) {
    json["baselines"][key] = to_json(summarize(*scores));
    json["baselines"][key]["by_modality"] = by_modality(evaluation, *scores);
  }
  for (const ImageScores& image : evaluation.images()) {
    Json entry = to_json(image.scores);
    entry["image"] = image.id;
    entry["modality"] = name(image.kind);
    entry["seconds"] = image.seconds;
    for (const Fate fate : all_fates) entry["fates"][name(fate)] = image.fates[fate];
    json["images"].push_back(entry);
  }
  return json;
}

// --- Text

std::string shown(const Metric& metric, double value) {
  return fixed(value, metric.key == "count_error" ? 2 : 4);
}

std::string shown(const Metric& metric, const Interval& interval) {
  return "[" + shown(metric, interval.low) + ", " + shown(metric, interval.high) + "]";
}

void print_summary(const Summary& all, const Summary& otsu, const Summary& background) {
  std::printf("\n%-26s %-26s  %-26s  %8s  %10s\n", "",
              ("mean of " + std::to_string(all.images) + " images").c_str(), "all nuclei pooled", "Otsu",
              "background");
  for (std::size_t m = 0; m < metrics().size(); ++m) {
    const Metric& metric = metrics()[m];
    std::printf("%-26s %8s %-18s %8s %-18s  %8s  %10s\n", metric.label.c_str(),
                shown(metric, metric.of(all.mean)).c_str(), shown(metric, all.mean_interval[m]).c_str(),
                shown(metric, metric.of(all.pooled)).c_str(), shown(metric, all.pooled_interval[m]).c_str(),
                shown(metric, metric.of(otsu.mean)).c_str(),
                shown(metric, metric.of(background.mean)).c_str());
  }
  std::printf("%-26s %8d of %d\n", "Nuclei found", all.mean.predicted_count, all.mean.true_count);
}

void print_modalities(const std::map<Modality, Summary>& kinds) {
  std::printf("\n%-26s", "mean of a kind's images");
  for (const auto& [kind, summary] : kinds)
    std::printf(" %-27s", (std::string(name(kind)) + " (" + std::to_string(summary.images) + ")").c_str());
  std::printf("\n");
  for (std::size_t m = 0; m < metrics().size(); ++m) {
    const Metric& metric = metrics()[m];
    std::printf("%-26s", metric.label.c_str());
    for (const auto& [kind, summary] : kinds)
      std::printf(" %8s %-18s", shown(metric, metric.of(summary.mean)).c_str(),
                  shown(metric, summary.mean_interval[m]).c_str());
    std::printf("\n");
  }
}

void print_fates(const Evaluation& evaluation) {
  const FateCounts sum = evaluation.fates();
  std::printf("\nof %zu nuclei: %d correct, %d missed, %d merged with another, %d split; %d extra\n",
              evaluation.true_areas().size(), sum[Fate::correct], sum[Fate::missed], sum[Fate::merged],
              sum[Fate::split], sum[Fate::extra]);
  if (!evaluation.worst().empty()) std::printf("lowest Bowl scores:\n");
  for (const Evaluation::Shown* shown : evaluation.worst()) {
    const ImageScores& image = evaluation.images()[shown->index];
    std::printf("  %.4f  %-12s %s\n", image.scores.bowl, name(image.kind), printable(image.id).c_str());
  }
}

// --- Report

std::vector<std::pair<std::string, std::string>> configuration(const EvaluateOptions& options,
                                                               const Segmenter& segmenter) {
  std::vector<std::pair<std::string, std::string>> entries{{"model", fs::absolute(options.model).string()},
                                                           {"images", fs::absolute(options.data).string()},
                                                           {"tta", options.tta ? "yes" : "no"},
                                                           {"zoom", zoom_text(options.zoom)},
                                                           {"precision", options.precision}};
  for (const auto& [key, value] : segmenter.metadata) {
    // Settings are kept as JSON objects; a row each is easier to read.
    const Json json = Json::parse(value, nullptr, false);
    if (!json.is_object()) {
      entries.emplace_back(key, value);
      continue;
    }
    for (const auto& [inner, entry] : json.items())
      entries.emplace_back(key + ": " + inner, entry.is_string() ? entry.get<std::string>() : entry.dump());
  }
  return entries;
}

/// report.html beside the JSON file, or in the working folder; evaluation.html in the model's own folder,
/// where report.html is the training's.
fs::path default_report(const EvaluateOptions& options) {
  const fs::path folder = options.json.has_parent_path() ? options.json.parent_path() : ".";
  const fs::path run = options.model.has_parent_path() ? options.model.parent_path() : ".";
  std::error_code ignored;
  return folder / (fs::equivalent(folder, run, ignored) ? "evaluation.html" : "report.html");
}

}  // namespace

void evaluate(const EvaluateOptions& options) {
  const auto start = Clock::now();
  const fs::path report = !options.write_report    ? fs::path()
                          : options.report.empty() ? default_report(options)
                                                   : options.report;
  for (const auto& [file, mark] : {std::pair(options.json, "\"all_background\""), {report, report_mark}}) {
    if (file.empty()) continue;
    require_folder_of(file);
    if (!options.overwrite) require_ours(file, mark);
  }
  Segmenter segmenter(options.model, select_device(options.device));
  const karyon::AutocastGuard autocast(select_precision(options.precision));
  const std::vector<Sample> samples = scan_bowl(options.data, true);
  refuse_faults(diagnose(options.data), options.data, options.ignore_faults);
  Evaluation evaluation;
  Baselines baselines;
  double finding = 0;
  {
    Progress progress("evaluating", static_cast<std::int64_t>(samples.size()));
    for (const Sample& sample : samples) {
      const Example example = read_example(sample);
      const auto begin = Clock::now();
      const LabelMap found = segmenter(example.image, options.tta, options.zoom);
      const double seconds = seconds_since(begin);
      finding += seconds;
      evaluation.add(example, found, seconds);
      baselines.add(example);
      progress.update(static_cast<std::int64_t>(evaluation.images().size()));
    }
  }
  const Summary all = evaluation.summary();
  print_summary(all, summarize(baselines.otsu), summarize(baselines.background));
  const std::map<Modality, Summary> kinds = evaluation.by_modality();
  if (kinds.size() > 1) print_modalities(kinds);
  print_fates(evaluation);
  std::printf(
      "\n[low, high]: 95 %% bootstrap interval over images. AP: TP / (TP + FP + FN). Otsu and background (no "
      "nucleus "
      "at all): means of answers that need no model.\n");

  if (!options.json.empty())
    write_file_atomically(
        options.json,
        everything(options, evaluation, baselines).dump(2, ' ', false, Json::error_handler_t::replace) +
            "\n");
  if (options.write_report) {
    const double total = seconds_since(start), n = static_cast<double>(samples.size());
    const ReportPage page{
        .title = "Evaluation",
        .subject = options.model.string() + " on " + std::to_string(samples.size()) + " images of " +
                   options.data.string(),
        .metrics_csv = read_if_there(options.model.parent_path() / "metrics.csv"),
        .configuration = configuration(options, segmenter),
        .timing = {{"whole evaluation", format_duration(total)},
                   {"finding nuclei", format_duration(finding)},
                   {"images a second, finding alone", fixed(n / std::max(finding, 1e-9), 1)},
                   {"threads", std::to_string(karyon::num_threads())}}};
    write_file_atomically(report, html_report(page, evaluation, baselines));
    std::printf("report: %s\n", printable(report.string()).c_str());
  }
}

namespace {

struct Evaluate : Command {
  EvaluateOptions options;

  Evaluate() : Command("evaluate", "score a model against true masks") {}

  void add_options(CLI::App& app) override {
    app.add_option("--model", options.model,
                   "model.safetensors of a run, or default: the one that comes with nuclei");
    app.add_option("--data", options.data, "folder in the Data Science Bowl layout")->required();
    add_tta(app, options.tta);
    add_zoom(app, options.zoom);
    add_precision(app, options.precision, bf16_outlines);
    app.add_option("--json", options.json, "write every score here too");
    app.add_option("--report", options.report,
                   "where the HTML report goes (default: report.html beside --json or in this folder; "
                   "evaluation.html in the model's folder)");
    app.add_flag("!--no-report", options.write_report, "write no report");
    add_ignore_faults(app, options.ignore_faults);
    app.add_flag("--overwrite", options.overwrite, "replace files that no earlier evaluation wrote");
    app.footer(
        "Example:\n  nuclei evaluate --model run/model.safetensors --data stage1_test --json scores.json");
    add_threads_and_device(app, options.device);
  }

  int run() override {
    options.model = model_file(options.model);
    evaluate(options);
    return 0;
  }
};

}  // namespace

std::unique_ptr<Command> evaluate_command() { return std::make_unique<Evaluate>(); }

}  // namespace nuclei
