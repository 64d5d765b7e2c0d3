// Turns what C++ throws into a message for the other side of a C face.
#pragma once
#include <cstring>
#include <exception>

#include <c10/util/Exception.h>

// A message that the caller frees with free().
inline char* message(const char* text) {
  return strdup(text != nullptr && *text != '\0' ? text : "unknown failure");
}

// Runs `body`; returns null, or what it threw.
template <typename F>
char* guarded(F body) {
  try {
    body();
    return nullptr;
  } catch (const c10::Error& e) {
    return message(e.what_without_backtrace());
  } catch (const std::exception& e) {
    return message(e.what());
  } catch (...) {
    return message(nullptr);
  }
}
