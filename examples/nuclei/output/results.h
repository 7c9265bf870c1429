#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "imageio/tiff_writer.h"
#include "imageio/zip_writer.h"
#include "inference/finder.h"
#include "output/finished.h"
#include "output/text_file.h"

namespace nuclei {

enum class LabelFormat { none, png, tiff };

/// Which files are written.
struct ResultOptions {
  LabelFormat labels = LabelFormat::png;
  bool overlays = true;
  bool table = true;           // nuclei.csv and images.csv
  bool probabilities = false;  // the network's maps, as float TIFF
  bool rois = false;           // ImageJ
  bool geojson = false;        // QuPath
  bool coco = false;
  bool bowl = false;  // run lengths of the Data Science Bowl
};

/// What a picture is called.
struct ResultNames {
  std::string results;  // files and rows of results, without endings
  std::string below;    // the picture's file below the folder that was given: COCO's file_name
  std::string file;     // the picture's file as it was given: the table's last column
};

/// These options as finished.jsonl holds them, and back. Throws nlohmann::json::exception.
void to_json(nlohmann::ordered_json& settings, const ResultOptions& options);
void from_json(const nlohmann::ordered_json& settings, ResultOptions& options);

/// Whether the pictures share a table, shared_files[file].
bool is_wanted(std::size_t file, const ResultOptions& options);

/// Throws Failure where a picture's own files would replace some that are there.
void require_free(const std::filesystem::path& out, const std::string& name, const ResultOptions& options);
/// The same for the files that pictures share.
void require_free_shared(const std::filesystem::path& out, const ResultOptions& options);

/// Whether a picture's own files and those that it shares with others are all in the folder.
bool are_there(const std::filesystem::path& out, const std::string& name, const ResultOptions& options);

/// Removes a picture's own files.
void remove_results(const std::filesystem::path& out, const std::string& name, const ResultOptions& options);

/// Removes all files of an earlier run, and folders that are empty then: those of the pictures that
/// finished.jsonl lists and of the one that was begun, so nothing else that lies in the folder.
/// finished.jsonl goes last.
///   inputs  places (place_of) of pictures to work on; Failure if one of them would be removed
void remove_earlier_run(const std::filesystem::path& out, const std::set<std::string>& inputs);

/// Writes what is found in one picture as it comes:
///   labels/<name>.png or .tif   0 is background, k is nucleus k; 16 bits. 32-bit TIFF above 65535 nuclei and
///                               for pictures that are worked on in parts
///   overlays/<name>.png         outlines on the image, made smaller for pictures worked on in parts
///   probabilities/<name>.tif    the network's maps, 32-bit floats
///   rois/<name>.zip, geojson/<name>.geojson, coco/<name>.json
/// and rows for the files that all pictures share.
class ImageResults : public FindSink {
 public:
  /// `header` gives the picture's size, channels and scale; `map_channels` those of the network.
  ImageResults(const std::filesystem::path& out, const ResultNames& names, const Image& header,
               int map_channels, const ResultOptions& options);

  void rows(int y, int count, const std::int32_t* labels, const float* maps, const float* pixels) override;
  void nucleus(const Found& found) override;

  /// Completes the picture's own files.
  void finish();
  /// The picture's rows of shared_files[file]; empty where the file is not written.
  ///   zoom, note  how the network saw the picture, and what was chosen of its file
  std::string shared_rows(std::size_t file, double zoom, const std::string& note) const;

 private:
  std::filesystem::path file(const char* folder, const std::string& extension);
  // Opens the files that depend on the first rows: on whether all rows come at once, and on their labels.
  void begin(int count, const std::int32_t* labels);
  void write_labels(int count, const std::int32_t* labels);
  void show(int y, int count, const std::int32_t* labels, const float* pixels);

  std::filesystem::path out_;
  ResultNames names_;
  Image header_;
  ResultOptions options_;
  int map_channels_;
  int step_ = 1;       // the overlay shows every so many pixels
  bool wide_ = false;  // labels have 32 bits
  Image shown_;
  LabelMap shown_labels_;
  std::unique_ptr<TiffWriter> labels_, maps_;
  std::unique_ptr<ZipWriter> rois_;
  std::unique_ptr<TextFile> geojson_, coco_;
  std::string table_, bowl_;
  std::int64_t nuclei_ = 0;
  std::vector<std::int64_t> areas_;
};

}  // namespace nuclei
