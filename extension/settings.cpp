// The settings under the prefix "objectlink".
#include "settings.hpp"

#include "postgres.hpp"

namespace objectlink {

namespace {

int notify = static_cast<int>(Notify::automatic);
bool record_row_keys = true;
double reconcile_share = 0.1;

const config_enum_entry notify_words[] = {
    {"auto", static_cast<int>(Notify::automatic), false},
    {"always", static_cast<int>(Notify::always), false},
    {"never", static_cast<int>(Notify::never), false},
    {nullptr, 0, false},
};

}  // namespace

Notify notify_setting() noexcept { return static_cast<Notify>(notify); }

bool record_row_keys_setting() noexcept { return record_row_keys; }

void define_settings() {
  DefineCustomEnumVariable("objectlink.notify", "When a transaction that links or unlinks wakes the daemon.",
                           "auto: if the daemon is asleep and max_prepared_transactions is 0. always: in every such "
                           "transaction. never: the daemon finds the work at its next poll.",
                           &notify, static_cast<int>(Notify::automatic), notify_words, PGC_USERSET, 0, nullptr, nullptr,
                           nullptr);
  // Not for every user: it decides what can be proved later.
  DefineCustomBoolVariable("objectlink.record_row_keys", "Whether an erasure record says from which row the link went.",
                           "on: by the values of its primary key. off: the record names the table only.",
                           &record_row_keys, true, PGC_SUSET, 0, nullptr, nullptr, nullptr);
  // Read by objectlink.reconcile_share(), in the daemon's session.
  DefineCustomRealVariable("objectlink.reconcile_share",
                           "The share of its time that a run of reconcile_storage() works beside other sessions.",
                           "While no other session executes anything, it works all the time. 1: always.",
                           &reconcile_share, 0.1, 0.01, 1, PGC_USERSET, 0, nullptr, nullptr, nullptr);
  MarkGUCPrefixReserved("objectlink");
}

}  // namespace objectlink
