#include "capability_probe.hpp"

#include <memory>
#include <utility>
#include <vector>

#include "s3_etag.hpp"
#include "s3_reply.hpp"

namespace objectlink {
namespace {

constexpr std::string_view content = "objectlink tries out what this store can do; this object may be deleted";
constexpr std::string_view wrong_etag = "\"00000000000000000000000000000000\"";
constexpr long precondition_failed = 412;
// Two keys whose order differs between bytes and UTF-16: U+FFFD and U+1F600.
constexpr std::string_view lower_by_bytes = "\xef\xbf\xbd";
constexpr std::string_view higher_by_bytes = "\xf0\x9f\x98\x80";

// Nobody has answered, or not to the question: this says nothing of the store, now or later.
bool is_no_answer(const HttpReply& reply) {
  if (reply.outcome != HttpReply::Outcome::replied) return true;
  const S3Error error = classify(reply);
  switch (error.klass) {
    // Wrong keys or no such bucket: a person will mend it. Only rights may be missing for good.
    case ErrorClass::store: return reply.status != 501 && reply.status != 405 && error.code != "AccessDenied";
    case ErrorClass::transient: return reply.status >= 500 || reply.status == 408;
    case ErrorClass::throttled:
    case ErrorClass::clock:
    case ErrorClass::credentials:
    case ErrorClass::redirect: return true;
    default: return false;
  }
}

bool succeeded(const HttpReply& reply) { return reply.status >= 200 && reply.status < 300; }
bool is_unsupported(const HttpReply& reply) { return reply.status == 501 || reply.status == 405; }

// Lives as long as one of its requests does.
class CapabilityProbe : public std::enable_shared_from_this<CapabilityProbe> {
 public:
  using Next = std::function<void(const HttpReply&)>;

  CapabilityProbe(Errand& errand, const std::string& id, std::function<void(const ProbeFindings&)> done)
      : errand_(errand), folder_(".objectlink/probe/" + id + "/"), done_(std::move(done)) {}

  void start() { ask_versioning(); }

 private:
  std::string key(std::string_view name) const { return folder_ + std::string(name); }

  // Sends, and ends the probe if the store does not answer.
  void ask(bool mutating, const char* what, Transport::Build build, Next next) {
    errand_.send(mutating, std::move(build),
                 [self = shared_from_this(), what, next = std::move(next)](const HttpReply& reply) {
                   if (is_no_answer(reply)) {
                     self->findings_.error = std::string(what) + ": " + classify(reply).describe();
                     return self->done_(self->findings_);
                   }
                   next(reply);
                 });
  }

  void undecided(const char* what, const HttpReply& reply) {
    if (!findings_.error.empty()) findings_.error += "; ";
    findings_.error +=
        std::string(what) + ": " + (succeeded(reply) ? "an unexpected reply" : classify(reply).describe());
  }

  struct PutHeaders {
    bool if_none_match = false;
    std::string if_match = {};
    std::optional<Sha256> checksum = {};
  };

  void put(const char* what, std::string_view name, const PutHeaders& headers, Next next) {
    ask(
        true, what,
        [key = key(name), headers](S3RequestBuilder& builder, const Signing& signing) {
          PutObject put;
          put.key = key;
          put.body = std::make_shared<const std::string>(content);
          put.if_none_match = headers.if_none_match;
          put.if_match = headers.if_match;
          put.checksum = headers.checksum;
          return builder.put_object(signing, put);
        },
        std::move(next));
  }

  void remove(const char* what, const std::string& name, const std::string& version_id, const std::string& if_match,
              Next next) {
    ask(
        true, what,
        [key = key(name), version_id, if_match](S3RequestBuilder& builder, const Signing& signing) {
          return builder.delete_object(signing, key, version_id, if_match);
        },
        std::move(next));
  }

  void head(const char* what, const std::string& name, Next next) {
    ask(
        false, what,
        [key = key(name)](S3RequestBuilder& builder, const Signing& signing) {
          return builder.head_object(signing, key);
        },
        std::move(next));
  }

  void ask_versioning() {
    ask(
        false, "GetBucketVersioning",
        [](S3RequestBuilder& builder, const Signing& signing) { return builder.get_bucket_versioning(signing); },
        [self = shared_from_this()](const HttpReply& reply) {
          const auto versioning = parse_get_bucket_versioning(reply);
          if (versioning.ok())
            self->found().versioning = versioning.value();
          else if (is_unsupported(reply))
            self->found().versioning = Versioning::never;
          else
            self->undecided("versioning", reply);
          self->sweep([self] { self->put_base(); });
        });
  }

  // Whatever lies in the probe's folder, by an earlier one or this one.
  void sweep(std::function<void()> next) {
    const bool versions = found().is_versioned();
    ask(
        false, "listing the probe's objects",
        [folder = folder_, versions](S3RequestBuilder& builder, const Signing& signing) {
          if (versions) return builder.list_object_versions(signing, {.prefix = folder});
          return builder.list_objects_v2(signing, {.prefix = folder});
        },
        [self = shared_from_this(), versions, next = std::move(next)](const HttpReply& reply) {
          auto left = std::make_shared<std::vector<std::pair<std::string, std::string>>>();
          const std::size_t folder = self->folder_.size();
          if (versions) {
            const auto page = parse_list_object_versions(reply);
            if (page.ok())
              for (const auto& version : page->versions)
                left->emplace_back(version.key.substr(folder), version.version_id);
          } else {
            const auto page = parse_list_objects_v2(reply);
            if (page.ok())
              for (const auto& object : page->objects) left->emplace_back(object.key.substr(folder), std::string());
          }
          self->remove_each(left, next);
        });
  }

  void remove_each(const std::shared_ptr<std::vector<std::pair<std::string, std::string>>>& left,
                   const std::function<void()>& next) {
    if (left->empty()) return next();
    auto [name, version_id] = std::move(left->back());
    left->pop_back();
    remove("deleting the probe's objects", name, version_id, {},
           [self = shared_from_this(), left, next](const HttpReply& reply) {
             if (!parse_delete_object(reply).ok()) self->undecided("deleting the probe's objects", reply);
             self->remove_each(left, next);
           });
  }

  void put_base() {
    put("PUT of a probe", "base", {}, [self = shared_from_this()](const HttpReply& reply) {
      const auto base = parse_put_object(reply);
      if (!base.ok()) {
        // Without a throwaway object nothing can be tried out.
        self->undecided("PUT of a probe", reply);
        return self->finish();
      }
      self->etag_ = base->etag;
      self->put_over_base();
    });
  }

  void put_over_base() {
    put("PUT If-None-Match", "base", {.if_none_match = true}, [self = shared_from_this()](const HttpReply& reply) {
      if (reply.status != precondition_failed) {
        if (succeeded(reply) || is_unsupported(reply))
          self->found().conditional_put = Support::no;
        else
          self->undecided("PUT If-None-Match", reply);
        return self->try_etag(false);
      }
      self->put("PUT If-Match", "base", {.if_match = std::string(wrong_etag)}, [self](const HttpReply& again) {
        if (again.status == precondition_failed)
          self->found().conditional_put = Support::yes;
        else if (succeeded(again) || is_unsupported(again))
          self->found().conditional_put = Support::no;
        else
          self->undecided("PUT If-Match", again);
        self->try_etag(false);
      });
    });
  }

  // In which form does it know its own ETag?
  void try_etag(bool bare) {
    found().bare_etag = bare;
    if (found().conditional_put != Support::yes) {
      found().bare_etag = false;
      return delete_wrong();
    }
    const std::string condition = found().condition(etag_);
    put("PUT If-Match", "base", {.if_match = condition}, [self = shared_from_this(), bare](const HttpReply& reply) {
      if (reply.status == precondition_failed && !bare) return self->try_etag(true);
      if (!succeeded(reply)) self->found().conditional_put = Support::no;  // it knows only how to refuse
      if (!succeeded(reply)) self->found().bare_etag = false;
      self->delete_wrong();
    });
  }

  void delete_wrong() {
    remove("DELETE If-Match", "base", {}, std::string(wrong_etag), [self = shared_from_this()](const HttpReply& reply) {
      const bool refused = reply.status == precondition_failed;
      self->head("DELETE If-Match", "base", [self, refused, deleted = reply](const HttpReply& look) {
        if (look.status == 404) {
          self->found().conditional_delete = Support::no;
          return self->put_checked();
        }
        if (look.status != 200 || !refused) {
          if (is_unsupported(deleted) && look.status == 200)
            self->found().conditional_delete = Support::no;
          else
            self->undecided("DELETE If-Match", deleted);
          return self->put_checked();
        }
        self->delete_right(self->found().bare_etag);
      });
    });
  }

  // It refuses the wrong one; it is of use only if it takes the right one.
  void delete_right(bool bare) {
    Capabilities form;
    form.bare_etag = bare;
    remove("DELETE If-Match", "base", {}, form.condition(etag_),
           [self = shared_from_this(), bare](const HttpReply& reply) {
             if (reply.status == precondition_failed && !bare && self->found().conditional_put != Support::yes)
               return self->delete_right(true);
             self->found().conditional_delete = succeeded(reply) ? Support::yes : Support::no;
             if (succeeded(reply)) self->found().bare_etag = bare;
             self->put_checked();
           });
  }

  void put_checked() {
    put("PUT with a checksum", "sum", {.checksum = sha256(content)},
        [self = shared_from_this()](const HttpReply& reply) {
          if (!succeeded(reply)) {
            if (is_unsupported(reply))
              self->found().checksums = Support::no;
            else
              self->undecided("PUT with a checksum", reply);
            return self->put_low();
          }
          self->put("PUT with a wrong checksum", "sum", {.checksum = sha256("something else")},
                    [self](const HttpReply& wrong) {
                      if (succeeded(wrong))
                        self->found().checksums = Support::no;
                      else if (wrong.status == 400)
                        self->found().checksums = Support::yes;
                      else
                        self->undecided("PUT with a wrong checksum", wrong);
                      self->put_low();
                    });
        });
  }

  void put_low() {
    put("PUT of a probe", higher_by_bytes, {}, [self = shared_from_this()](const HttpReply& high) {
      self->put("PUT of a probe", lower_by_bytes, {}, [self, high](const HttpReply& low) {
        if (!succeeded(high) || !succeeded(low)) {
          self->undecided("PUT of a probe", succeeded(high) ? low : high);
          return self->tidy_up();
        }
        self->list_both();
      });
    });
  }

  void list_both() {
    ask(
        false, "listing",
        [folder = folder_](S3RequestBuilder& builder, const Signing& signing) {
          return builder.list_objects_v2(signing, {.prefix = folder});
        },
        [self = shared_from_this()](const HttpReply& reply) {
          const auto page = parse_list_objects_v2(reply);
          std::size_t seen = 0;
          if (page.ok())
            for (const ListedObject& object : page->objects)
              if (object.key == self->key(lower_by_bytes) || object.key == self->key(higher_by_bytes)) ++seen;
          if (seen == 2)
            self->found().list_order = page->in_order ? Support::yes : Support::no;
          else
            self->undecided("listing", reply);
          self->delete_both();
        });
  }

  void delete_both() {
    std::vector<ObjectVersion> both{{key(lower_by_bytes), {}, {}}, {key(higher_by_bytes), {}, {}}};
    // One of them must stay, if the store knows conditions here as well.
    const bool conditional = found().conditional_delete == Support::yes;
    if (conditional) both[0].if_match = found().condition(wrong_etag);
    ask(
        true, "DeleteObjects",
        [both](S3RequestBuilder& builder, const Signing& signing) { return builder.delete_objects(signing, both); },
        [self = shared_from_this(), both, conditional](const HttpReply& reply) {
          const auto deleted = parse_delete_objects(reply, both);
          if (!deleted.ok()) {
            if (is_unsupported(reply))
              self->found().multi_delete = Support::no;
            else
              self->undecided("DeleteObjects", reply);
            return self->tidy_up();
          }
          const auto& first = deleted->objects[0].error;
          const auto& second = deleted->objects[1].error;
          if (second || (first && !conditional))
            self->undecided("DeleteObjects", reply);
          else
            self->found().multi_delete = Support::yes;
          if (conditional && !second) {
            const bool refused = first && first->klass == ErrorClass::conflict;
            self->found().conditional_multi_delete = refused ? Support::yes : Support::no;
          }
          self->tidy_up();
        });
  }

  void tidy_up() {
    sweep([self = shared_from_this()] { self->finish(); });
  }

  void finish() {
    findings_.complete = true;
    done_(findings_);
  }

  Capabilities& found() { return findings_.capabilities; }

  Errand& errand_;
  const std::string folder_;
  const std::function<void(const ProbeFindings&)> done_;
  ProbeFindings findings_;
  std::string etag_;
};

}  // namespace

void probe_capabilities(Errand& errand, const std::string& id, std::function<void(const ProbeFindings&)> done) {
  std::make_shared<CapabilityProbe>(errand, id, std::move(done))->start();
}

}  // namespace objectlink
