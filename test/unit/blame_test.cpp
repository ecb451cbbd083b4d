// Goal: an object pays for what is its own fault, and for nothing else.
// Method: every class of error by itself; evidence by others, with time moved by hand.
#include "blame.hpp"

#include <gtest/gtest.h>

namespace objectlink {
namespace {

using namespace std::chrono_literals;
using enum WorkKind;
using Verdict = Blame::Verdict;

S3Error error(ErrorClass klass, std::string code = "Some", long status = 400) {
  S3Error error;
  error.klass = klass;
  error.code = std::move(code);
  error.status = status;
  return error;
}

struct WeightCase {
  S3Error error;
  ErrorWeight weight;
};

TEST(ErrorWeight, IsDecidedByClassAndCode) {
  const WeightCase cases[] = {
      {error(ErrorClass::object, "EntityTooLarge"), ErrorWeight::final},
      {error(ErrorClass::object, "KeyTooLongError"), ErrorWeight::final},
      {error(ErrorClass::not_found, "NoSuchKey", 404), ErrorWeight::counted},
      {error(ErrorClass::conflict, "OperationAborted", 409), ErrorWeight::counted},
      {error(ErrorClass::conflict, "PreconditionFailed", 412), ErrorWeight::counted},
      {error(ErrorClass::transient, "BadDigest"), ErrorWeight::counted},
      {error(ErrorClass::transient, "XAmzContentSHA256Mismatch"), ErrorWeight::counted},
      {error(ErrorClass::transient, "StillThere", 0), ErrorWeight::counted},
      {error(ErrorClass::transient, "NoSuchKey", 404), ErrorWeight::counted},
      {error(ErrorClass::transient, "InternalError", 500), ErrorWeight::unclear},
      {error(ErrorClass::transient, "Timeout", 0), ErrorWeight::unclear},
      {error(ErrorClass::transient, "ConnectionClosed", 0), ErrorWeight::unclear},
      {error(ErrorClass::transient, "UnreadableReply", 200), ErrorWeight::unclear},
      {error(ErrorClass::transient, "NotSentInTime", 0), ErrorWeight::store},
      {error(ErrorClass::transient, "ContentGone", 0), ErrorWeight::store},
      {error(ErrorClass::store, "AccessDenied", 403), ErrorWeight::refused},
      {error(ErrorClass::store, "MethodNotAllowed", 405), ErrorWeight::refused},
      {error(ErrorClass::store, "SignatureDoesNotMatch", 403), ErrorWeight::store},
      {error(ErrorClass::store, "InvalidAccessKeyId", 403), ErrorWeight::store},
      {error(ErrorClass::store, "NoSuchBucket", 404), ErrorWeight::store},
      {error(ErrorClass::store, "QuotaExceeded", 403), ErrorWeight::store},
      {error(ErrorClass::store, "InsufficientStorage", 507), ErrorWeight::store},
      {error(ErrorClass::store, "ConnectFailed", 0), ErrorWeight::store},
      {error(ErrorClass::store, "NameNotResolved", 0), ErrorWeight::store},
      {error(ErrorClass::store, "TlsFailed", 0), ErrorWeight::store},
      {error(ErrorClass::store, "LocalFailure", 0), ErrorWeight::store},
      {error(ErrorClass::throttled, "SlowDown", 503), ErrorWeight::store},
      {error(ErrorClass::throttled, "TooManyRequests", 429), ErrorWeight::store},
      {error(ErrorClass::clock, "RequestTimeTooSkewed", 403), ErrorWeight::store},
      {error(ErrorClass::credentials, "ExpiredToken", 400), ErrorWeight::store},
      {error(ErrorClass::redirect, "PermanentRedirect", 301), ErrorWeight::store},
  };
  for (const WeightCase& c : cases) EXPECT_EQ(weight_of(c.error), c.weight) << c.error.describe();
}

TEST(AttemptsMax, OneForWhatCanNeverSucceedThreeForBrokenBytes) {
  EXPECT_EQ(attempts_max(error(ErrorClass::object), 10), 1);
  EXPECT_EQ(attempts_max(error(ErrorClass::transient, "BadDigest"), 10), 3);
  EXPECT_EQ(attempts_max(error(ErrorClass::transient, "BadDigest"), 2), 2);
  EXPECT_EQ(attempts_max(error(ErrorClass::not_found, "NoSuchKey"), 10), 10);
  EXPECT_EQ(attempts_max(error(ErrorClass::store, "AccessDenied"), 7), 7);
}

class BlameTest : public testing::Test {
 protected:
  Verdict fail(ErrorWeight weight, WorkKind kind = upload, const std::string& key = "k") {
    now_ += 1s;
    return blame_.failed(key, kind, weight, now_);
  }
  void succeed(WorkKind kind) {
    now_ += 1s;
    blame_.succeeded(kind, now_);
  }

  Blame::Time now_ = Blame::Time{} + 1h;
  Blame blame_;
};

TEST_F(BlameTest, WhatIsTheStoresNeverBecomesTheObjects) {
  for (int i = 0; i < 100; ++i) {
    succeed(upload);
    EXPECT_EQ(fail(ErrorWeight::store), Verdict::store);
  }
  EXPECT_EQ(blame_.suspects(), 0u);
}

TEST_F(BlameTest, ARefusalIsTheObjectsIfOthersSucceedInBetween) {
  EXPECT_EQ(fail(ErrorWeight::refused, removal), Verdict::ask);
  succeed(removal);
  EXPECT_EQ(fail(ErrorWeight::refused, removal), Verdict::object);
  EXPECT_EQ(fail(ErrorWeight::refused, removal), Verdict::ask);  // nobody has succeeded since
}

TEST_F(BlameTest, ASuccessBeforeTheFirstRefusalProvesNothing) {
  succeed(removal);
  EXPECT_EQ(fail(ErrorWeight::refused, removal), Verdict::ask);
}

TEST_F(BlameTest, OnlySuccessOfTheSameKindIsEvidence) {
  for (const WorkKind other : {look, upload}) {
    fail(ErrorWeight::refused, removal);
    succeed(other);
    EXPECT_EQ(fail(ErrorWeight::refused, removal), Verdict::ask);
  }
}

TEST_F(BlameTest, AnUnclearFailureNeedsSeveralInARowAndEvidence) {
  for (int i = 1; i < Blame::unclear_failures_min; ++i) {
    EXPECT_EQ(fail(ErrorWeight::unclear), Verdict::store);
    succeed(upload);
  }
  EXPECT_EQ(fail(ErrorWeight::unclear), Verdict::object);
  EXPECT_EQ(fail(ErrorWeight::unclear), Verdict::ask);
}

TEST_F(BlameTest, AnOutageCostsNothingHoweverLongItLasts) {
  for (int i = 0; i < 1000; ++i) {
    EXPECT_NE(fail(ErrorWeight::unclear, upload, "a"), Verdict::object);
    EXPECT_NE(fail(ErrorWeight::unclear, upload, "b"), Verdict::object);
  }
}

TEST_F(BlameTest, WhoSucceedsBeginsAnew) {
  for (int i = 0; i < 10; ++i) {
    fail(ErrorWeight::unclear);
    succeed(upload);
    EXPECT_EQ(fail(ErrorWeight::unclear), Verdict::store);
    blame_.forget("k");
    succeed(upload);
  }
  EXPECT_EQ(blame_.suspects(), 0u);
}

TEST_F(BlameTest, TooManyAtOnceAreAnOutage) {
  for (std::size_t i = 0; i < Blame::suspects_max; ++i) fail(ErrorWeight::refused, upload, std::to_string(i));
  succeed(upload);
  EXPECT_EQ(fail(ErrorWeight::refused, upload, "one more"), Verdict::store);
  succeed(upload);
  EXPECT_EQ(fail(ErrorWeight::refused, upload, "one more"), Verdict::store);
  EXPECT_EQ(fail(ErrorWeight::refused, upload, "0"), Verdict::object);
  EXPECT_EQ(blame_.suspects(), Blame::suspects_max);
}

}  // namespace
}  // namespace objectlink
