// The table of legal transitions.
#include "core/object_state.hpp"

#include <algorithm>
#include <array>

namespace objectlink {

namespace {

using enum ObjectState;

constexpr auto transitions = std::to_array<Transition>({
    {absent, reserved},  {absent, pending},    {absent, unlinked},                        //
    {reserved, pending}, {reserved, unlinked},                                            //
    {pending, stored},   {pending, failed},    {pending, missing},  {pending, unlinked},  //
    {stored, missing},   {stored, corrupt},    {stored, unlinked},                        //
    {missing, pending},  {missing, stored},    {missing, unlinked},  {missing, corrupt},  //
    {corrupt, pending},  {corrupt, stored},    {corrupt, unlinked},  {corrupt, missing},  //
    {failed, pending},   {failed, stored},     {failed, unlinked},                        //
    {unlinked, stored},  {unlinked, pending},  {unlinked, deleting},                      //
    {deleting, stored},  {deleting, pending},  {deleting, unlinked}, {deleting, absent},  //
});

constexpr std::array<std::string_view, 9> names = {gone_name, "reserved", "pending",  "stored",  "missing",
                                                   "corrupt", "failed",   "unlinked", "deleting"};

}  // namespace

std::span<const Transition> legal_transitions() noexcept { return transitions; }

bool transition_is_legal(ObjectState from, ObjectState to) noexcept {
  return from == to || std::ranges::any_of(
                           transitions, [&](const Transition& legal) { return legal.from == from && legal.to == to; });
}

std::string_view state_name(ObjectState state) noexcept { return names[static_cast<std::size_t>(state)]; }

std::optional<ObjectState> parse_state(std::string_view name) noexcept {
  for (std::size_t i = 1; i < names.size(); ++i)
    if (names[i] == name) return static_cast<ObjectState>(i);
  return std::nullopt;
}

}  // namespace objectlink
