// Which states can an object be in, and which state may follow which? The one table that database and daemon share.
// Why a state changes is not decided here.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace objectlink {

enum class ObjectState : std::uint8_t {
  absent,  // no row in the registry: before the first and after the last state
  reserved,
  pending,
  stored,
  missing,
  corrupt,
  failed,
  unlinked,
  deleting,
};

struct Transition {
  ObjectState from;
  ObjectState to;
};

/// The event-only name of ObjectState::absent as the end of a transition.
inline constexpr std::string_view gone_name = "gone";

/// All legal transitions. From `absent` means a new row, to `absent` its removal. Staying in a state is none of them.
std::span<const Transition> legal_transitions() noexcept;

/// Whether `to` may follow `from`. Staying in a state is always legal.
bool transition_is_legal(ObjectState from, ObjectState to) noexcept;

/// The state's word; `absent` is called "gone". NUL-terminated.
std::string_view state_name(ObjectState state) noexcept;

/// The state of that name. `gone` is no state of a row, so it yields nothing, as any unknown word does.
std::optional<ObjectState> parse_state(std::string_view name) noexcept;

}  // namespace objectlink
