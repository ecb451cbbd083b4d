#include "repeat.hpp"

#include "blame.hpp"

namespace objectlink {

Repeat repeat_of(const HttpReply& reply, bool mutating) {
  if (reply.outcome == HttpReply::Outcome::replied && reply.status < 300) return Repeat::no;
  if (reply.failure == HttpFailure::too_late || reply.failure == HttpFailure::timeout) return Repeat::no;
  const S3Error error = classify(reply);
  if (mutating && error.outcome_unknown) return Repeat::no;
  if (weight_of(error) == ErrorWeight::counted) return Repeat::no;  // the object's own: each try is one of its attempts
  if (error.klass == ErrorClass::throttled) return Repeat::throttled;
  return error.klass == ErrorClass::transient ? Repeat::transient : Repeat::no;
}

bool refuses_credentials(const HttpReply& reply) {
  if (reply.outcome != HttpReply::Outcome::replied) return false;
  if (reply.status != 400 && reply.status != 401 && reply.status != 403) return false;
  const S3Error error = classify(reply);
  return error.klass == ErrorClass::credentials || error.code_is_guessed || error.code == "InvalidAccessKeyId" ||
         error.code == "SignatureDoesNotMatch";
}

}  // namespace objectlink
