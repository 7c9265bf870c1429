#pragma once
#include <filesystem>
#include <functional>
#include <string>

// Shared libraries that are opened at run time, so that one build runs on machines with and without what they
// need.
namespace karyon::plugin {

/// How a plugin is found.
struct Place {
  const char* library;      // the file's name
  const char* environment;  // the variable that may name another file
  const char* what;         // "CUDA backend", for messages
};

/// How an attempt went.
struct Attempt {
  bool good = false;  // the plugin works
  bool ours = false;  // it is Karyon's, of whatever build: its reason says more than the loader's
  std::string why;    // it does not
};

/// A function of an open library by its name, or nullptr.
using Find = std::function<void*(const char* name)>;

/// Opens the file that the environment names, or else that in each folder where the program or the library
/// was installed, until `start` says that one is good. Data that a user works on may hold a file of that
/// name, so no other folder is searched. Libraries stay open.
///   returns  the good attempt, or the one that says best why there is none
Attempt open(const Place& place, const std::function<Attempt(const Find& find)>& start);

/// One more folder to search: where an application that links Karyon statically has its libraries.
void set_folder(const char* folder);

}  // namespace karyon::plugin
