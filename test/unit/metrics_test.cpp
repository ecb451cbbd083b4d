// Goal: what was counted is what Prometheus and a health check are told.
// Method: the exposition text and health reports after known calls; the HTTP server asked over a loopback socket.
#include "metrics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "health.hpp"
#include "health_server.hpp"

namespace objectlink {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Metrics, CountsAddUp) {
  Metrics metrics;
  metrics.count_operation("docs", "upload", "ok");
  metrics.count_operation("docs", "upload", "ok", 4);
  metrics.count_operation("docs", "delete", "failed");
  metrics.count_error("docs", "throttled");
  metrics.count_outbox_rows(1000);
  const std::string text = metrics.exposition();
  EXPECT_THAT(text, HasSubstr(R"(objectlink_operations_total{operation="upload",outcome="ok",store="docs"} 5)"));
  EXPECT_THAT(text, HasSubstr(R"(objectlink_operations_total{operation="delete",outcome="failed",store="docs"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(objectlink_errors_total{class="throttled",store="docs"} 1)"));
  EXPECT_THAT(text, HasSubstr("objectlink_outbox_rows_total 1000"));
  EXPECT_THAT(text, HasSubstr("# TYPE objectlink_operations_total counter"));
}

TEST(Metrics, WhatWasNeverGivenIsNotShown) {
  Metrics metrics;
  EXPECT_THAT(metrics.exposition(), Not(HasSubstr("objectlink_queue_objects{")));
  metrics.set_queue("docs", 7);
  EXPECT_THAT(metrics.exposition(), HasSubstr("objectlink_queue_objects{store=\"docs\"} 7"));
}

TEST(Metrics, EachSessionIsCountedOnce) {
  Metrics metrics;
  for (const bool connected : {true, true, false, true}) metrics.set_connected(connected);
  EXPECT_THAT(metrics.exposition(), HasSubstr("objectlink_database_sessions_total 2"));
}

TEST(Metrics, LabelsThatLookAlikeWhenJoinedAreApart) {
  Metrics metrics;
  metrics.count_error("a", "bc");
  metrics.count_error("ab", "c", 2);
  const std::string text = metrics.exposition();
  EXPECT_THAT(text, HasSubstr(R"({class="bc",store="a"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"({class="c",store="ab"} 2)"));
}

TEST(Metrics, AStoreIsInOneState) {
  Metrics metrics;
  metrics.set_store_state("docs", "active");
  metrics.set_store_state("other", "active");
  metrics.set_store_state("docs", "paused");
  std::string text = metrics.exposition();
  EXPECT_THAT(text, HasSubstr(R"(objectlink_store_state{state="active",store="docs"} 0)"));
  EXPECT_THAT(text, HasSubstr(R"(objectlink_store_state{state="paused",store="docs"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(objectlink_store_state{state="active",store="other"} 1)"));
  metrics.forget_store("docs");
  text = metrics.exposition();
  EXPECT_THAT(text, Not(HasSubstr(R"(store="docs")")));
  metrics.set_store_state("docs", "active");
  EXPECT_THAT(metrics.exposition(), HasSubstr(R"(objectlink_store_state{state="active",store="docs"} 1)"));
}

TEST(Metrics, HistogramsAndProcess) {
  Metrics metrics;
  metrics.observe_request("docs", "put", 0.02);
  metrics.observe_phase(Phase::settle, 0.02);
  const std::string text = metrics.exposition();
  EXPECT_THAT(text, HasSubstr(R"(objectlink_request_seconds_bucket{operation="put",store="docs",le="0.025"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(objectlink_loop_phase_seconds_count{phase="settle"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(objectlink_loop_phase_seconds_count{phase="apply"} 0)"));
  EXPECT_THAT(text, testing::ContainsRegex("process_resident_memory_bytes [1-9]"));
  EXPECT_THAT(text, testing::ContainsRegex("process_start_time_seconds [1-9]"));
}

TEST(Metrics, ThreadsMayCountAtOnce) {
  Metrics metrics;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&metrics] {
      for (int n = 0; n < 1000; ++n) {
        metrics.count_error("docs", "throttled");
        if (n % 100 == 0) metrics.exposition();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(metrics.exposition(), HasSubstr(R"(objectlink_errors_total{class="throttled",store="docs"} 4000)"));
}

TEST(Health, SaysWhatIsWrong) {
  Health health;
  HealthReport report = health.report();
  EXPECT_TRUE(report.alive);
  EXPECT_FALSE(report.ready);
  EXPECT_THAT(report.json, HasSubstr(R"("kind":"database")"));

  health.set_database_connected();
  EXPECT_TRUE(health.report().healthy);
  EXPECT_THAT(health.report().json, HasSubstr(R"("status":"ok","reasons":[])"));

  health.set_store_broken("docs", "403 with password=hunter2");
  report = health.report();
  EXPECT_TRUE(report.ready);
  EXPECT_FALSE(report.healthy);
  const auto json = nlohmann::json::parse(report.json);
  EXPECT_EQ(json["reasons"][0]["store"], "docs");
  EXPECT_EQ(json["reasons"][0]["reason"], "403 with password=***");

  health.set_store_well("docs");
  health.set_database_down("gone");
  EXPECT_THAT(health.report().json, HasSubstr("gone"));
}

TEST(Health, ALoopThatStandsStillIsNotAlive) {
  int beats = 0;
  Health health([&beats] { ++beats; });
  health.set_database_connected();
  health.heartbeat();
  EXPECT_EQ(beats, 1);
  const auto now = Health::Clock::now();
  EXPECT_TRUE(health.report(now + Health::stall_limit / 2).alive);
  const HealthReport later = health.report(now + 2 * Health::stall_limit);
  EXPECT_FALSE(later.alive);
  EXPECT_FALSE(later.healthy);
  EXPECT_THAT(later.json, HasSubstr(R"("kind":"loop")"));
}

TEST(HealthServer, Answers) {
  Metrics metrics;
  Health health;
  const HealthServer server({"127.0.0.1", 0}, metrics, health);
  httplib::Client client("127.0.0.1", server.port());
  auto reply = client.Get("/healthz");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 503);
  EXPECT_TRUE(nlohmann::json::accept(reply->body));
  EXPECT_EQ(client.Get("/livez")->status, 200);
  EXPECT_EQ(client.Get("/readyz")->status, 503);
  health.set_database_connected();
  EXPECT_EQ(client.Get("/healthz")->status, 200);
  reply = client.Get("/metrics");
  EXPECT_EQ(reply->status, 200);
  EXPECT_THAT(reply->body, HasSubstr("objectlink_build_info{version="));
  EXPECT_EQ(client.Get("/else")->status, 404);
}

TEST(HealthServer, ATakenPortIsAnError) {
  Metrics metrics;
  Health health;
  const HealthServer first({"127.0.0.1", 0}, metrics, health);
  try {
    const HealthServer second({"127.0.0.1", first.port()}, metrics, health);
    FAIL() << "two servers on one port";
  } catch (const HealthServerError& error) {
    EXPECT_THAT(error.what(), HasSubstr(std::to_string(first.port())));
  }
}

TEST(HealthServer, ASilentClientDelaysNobody) {
  Metrics metrics;
  Health health;
  const auto started = std::chrono::steady_clock::now();
  {
    const HealthServer server({"127.0.0.1", 0}, metrics, health);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(server.port()));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int silent = socket(AF_INET, SOCK_STREAM, 0);
    ASSERT_EQ(connect(silent, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    httplib::Client client("127.0.0.1", server.port());
    EXPECT_EQ(client.Get("/livez")->status, 200);
    close(silent);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds{4});
}

}  // namespace
}  // namespace objectlink
