// Which settings (GUCs) steer the backend half of objectlink?
#pragma once

namespace objectlink {

/// objectlink.notify: when a writing transaction wakes the daemon.
enum class Notify : int {
  automatic,  // if the daemon says it is asleep, and two-phase commit is off
  always,
  never,
};

Notify notify_setting() noexcept;

/// objectlink.record_row_keys: whether an erasure record says which row the link went from.
bool record_row_keys_setting() noexcept;

/// Defines the settings; called once, when the module is loaded.
void define_settings();

}  // namespace objectlink
