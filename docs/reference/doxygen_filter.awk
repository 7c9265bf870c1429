# What doxygen cannot know of the comments in the headers:
# - Tables of shapes are lines that are indented by three spaces or more. They are shown as they stand.
# - A comment holds for all declarations below it up to an empty line. Doxygen is given a copy for each.
function emit(line) {
  print line
  if (line ~ /^\/\/\//) comment = comment line "\n"
}
/^ *\/\/\/   +[^ ]/ {
  match($0, /^ */)
  indent = substr($0, 1, RLENGTH)
  if (!table) emit(indent "/// \\verbatim")
  table = 1
  emit($0)
  ended = 0
  next
}
/^ *\/\/\// {
  if (table) emit(indent "/// \\endverbatim")
  table = 0
  if (ended) comment = ""
  ended = 0
  emit($0)
  next
}
{
  if (table) emit(indent "/// \\endverbatim")
  table = 0
}
/^$/ { comment = "" }
/^[A-Za-z]/ && ended && comment != "" && !/^(namespace|struct|class|enum|using|template)/ { printf "%s", comment }
{ print }
/[;}]$/ { ended = 1 }
END { if (table) print indent "/// \\endverbatim" }
