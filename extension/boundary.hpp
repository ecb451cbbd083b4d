// How do C++ errors become PostgreSQL errors? Here, and nowhere else.
//
// A function that SQL calls has three phases:
//   1. PostgreSQL phase: fetch arguments. It may raise (longjmp), so only trivially destructible locals live here.
//   2. C++ phase, inside guarded(): anything goes but calls that may raise. Exceptions end here, as a Failure.
//   3. PostgreSQL phase: build the result, or raise_failure().
// A function that neither throws nor allocates in C++ (all of the trigger path) needs no second phase.
#pragma once

#include "postgres.hpp"

#include <concepts>
#include <string_view>

namespace objectlink {

/// An error on its way from the C++ phase to the PostgreSQL phase: fixed size, trivially destructible, allocates
/// nothing.
struct Failure {
  int sqlstate = 0;  // 0: no failure
  char message[256] = {};
  char detail[512] = {};
  char hint[512] = {};

  /// Text that does not fit is cut at a character's boundary.
  void set(int state, std::string_view message_text, std::string_view detail_text, std::string_view hint_text) noexcept;
};

/// Translates the exception being handled. Called inside a catch only; raises nothing.
void set_from_exception(Failure& failure) noexcept;

/// Runs the C++ phase. The body reports expected problems by failure.set().
template <std::invocable<Failure&> Body>
void guarded(Failure& failure, Body&& body) noexcept {
  try {
    body(failure);
  } catch (...) {
    set_from_exception(failure);
  }
}

/// Raises the failure, if it is one.
void raise_failure(const Failure& failure);

}  // namespace objectlink
