// The settings under the prefix "objectlink".
#include "settings.hpp"

#include "postgres.hpp"

namespace objectlink {

namespace {

int notify = static_cast<int>(Notify::automatic);

const config_enum_entry notify_words[] = {
    {"auto", static_cast<int>(Notify::automatic), false},
    {"always", static_cast<int>(Notify::always), false},
    {"never", static_cast<int>(Notify::never), false},
    {nullptr, 0, false},
};

}  // namespace

Notify notify_setting() noexcept { return static_cast<Notify>(notify); }

void define_settings() {
  DefineCustomEnumVariable("objectlink.notify", "When a transaction that links or unlinks wakes the daemon.",
                           "auto: if the daemon is asleep and max_prepared_transactions is 0. always: in every such "
                           "transaction. never: the daemon finds the work at its next poll.",
                           &notify, static_cast<int>(Notify::automatic), notify_words, PGC_USERSET, 0, nullptr, nullptr,
                           nullptr);
  MarkGUCPrefixReserved("objectlink");
}

}  // namespace objectlink
