#include "known_store.hpp"

#include <utility>

#include "log.hpp"
#include "s3_reply.hpp"

namespace objectlink {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr seconds load_interval{5};          // forget_capabilities() takes effect within this time
constexpr seconds probe_retry{60};           // after one that was not answered
constexpr seconds versioning_interval{300};  // a bucket may become versioned at any time, and a reply need not say so

}  // namespace

void KnownStore::set_options(const StoreOptions& options) {
  traits_.delete_all_versions = options.delete_all_versions;
  traits_.prefix = options.prefix;
  traits_.bucket = options.bucket;
  traits_.inventory_bucket = options.inventory_bucket;
  if (endpoint_ == options.endpoint && bucket_ == options.bucket) {
    next_probe_ = {};  // what stood in the way may be mended
    return;
  }
  endpoint_ = options.endpoint;
  bucket_ = options.bucket;
  take_over({});
  ++configuration_;
  probed_ = probing_ = asking_ = false;
  found_.reset();
  found_versioning_.reset();
  next_load_ = next_probe_ = next_versioning_ = {};
}

bool KnownStore::ready(Database& database, Time now, bool may_ask) {
  if (probing_) return false;
  if (now >= next_load_) load(database, now);
  if (!may_ask) return true;
  if (!probed_ && now >= next_probe_) {
    probe(now);
    return false;
  }
  if (probed_ && !asking_ && now >= next_versioning_) {
    next_versioning_ = now + versioning_interval;
    ask_versioning();
  }
  return !asking_;
}

void KnownStore::load(Database& database, Time now) {
  next_load_ = now + load_interval;
  const Rows rows =
      database.query("SELECT * FROM objectlink.known_capabilities($1, $2, $3, $4)", store_, epoch_, endpoint_, bucket_);
  enum Column { probe_id, probed, versioning_age, first_capability };
  probe_id_ = rows.string(0, probe_id);
  if (probed_ && !rows.boolean(0, probed)) next_probe_ = {};  // it was forgotten on purpose
  probed_ = rows.boolean(0, probed);
  if (const auto age = rows.optional_integer(0, versioning_age))
    next_versioning_ = now + versioning_interval - milliseconds(*age);
  take_over(read_capabilities(rows, first_capability));
}

void KnownStore::take_over(const Capabilities& capabilities) {
  if (capabilities.checksums != traits_.capabilities.checksums) checksums_changed_ = true;
  traits_.capabilities = capabilities;
}

void KnownStore::probe(Time now) {
  probing_ = true;
  next_probe_ = now + probe_retry;
  probe_capabilities(errand_, probe_id_, [this, configuration = configuration_](const ProbeFindings& findings) {
    if (configuration == configuration_) found_ = findings;
  });
}

void KnownStore::ask_versioning() {
  asking_ = true;
  errand_.send(
      false, [](S3RequestBuilder& builder, const Signing& signing) { return builder.get_bucket_versioning(signing); },
      [this, configuration = configuration_](const HttpReply& reply) {
        if (configuration != configuration_) return;
        asking_ = false;
        const auto versioning = parse_get_bucket_versioning(reply);
        if (versioning.ok()) found_versioning_ = versioning.value();
      });
}

void KnownStore::saw_reply(const HttpReply& reply) {
  const std::string* const version = reply.header("x-amz-version-id");
  if (version == nullptr || version->empty() || traits_.capabilities.is_versioned()) return;
  found_versioning_ = Versioning::enabled;
  traits_.capabilities.versioning = Versioning::enabled;
  next_versioning_ = {};  // enabled or suspended: it says so when it is asked
}

void KnownStore::record(Database& database) {
  const auto write = [&](const std::optional<std::string>& findings, const std::string& error) {
    database.query("SELECT objectlink.record_capabilities($1, $2, $3, $4, $5::json, $6)", store_, epoch_, endpoint_,
                   bucket_, findings, error.empty() ? std::nullopt : std::optional(error));
  };
  if (auto found = std::exchange(found_, std::nullopt)) {
    probing_ = false;
    // What may not be asked may have shown by itself.
    if (!found->capabilities.versioning) found->capabilities.versioning = traits_.capabilities.versioning;
    log::info("store.probed",
              found->complete ? "found out what the store can do" : "could not find out what the store can do",
              {{"store", name_}, {"found", to_json(found->capabilities)}, {"reason", found->error}});
    write(found->complete ? std::optional(to_json(found->capabilities)) : std::nullopt, found->error);
    if (found->complete) {
      probed_ = true;
      next_versioning_ = std::chrono::steady_clock::now() + versioning_interval;
      take_over(found->capabilities);
    }
  }
  if (const auto versioning = std::exchange(found_versioning_, std::nullopt)) {
    traits_.capabilities.versioning = *versioning;
    write(R"({"versioning":")" + std::string(versioning_text(*versioning)) + "\"}", {});
    next_load_ = {};  // it may have to be probed again
  }
}

}  // namespace objectlink
