// Goal: a manifest is believed only if it is this bucket's, whole and in a form that is known; of a file exactly the keys go out that are
// objects of the store now, and nothing is called whole that is not what the manifest says.
// Method: manifests and files as AWS writes them, and each thing that may be wrong in them; random damage. OBJECTLINK_SEED replays a failure.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>

#include "gzip_of.hpp"
#include "inventory_file.hpp"
#include "inventory_manifest.hpp"
#include "s3_time.hpp"

namespace objectlink {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr const char* all_versions = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag";
constexpr const char* current = "Bucket, Key, Size, LastModifiedDate, ETag";

json manifest(const std::string& schema = current) {
  return {{"sourceBucket", "docs"},
          {"destinationBucket", "arn:aws:s3:::elsewhere"},
          {"version", "2016-11-30"},
          {"creationTimestamp", "1514944800000"},
          {"fileFormat", "CSV"},
          {"fileSchema", schema},
          {"files",
           {{{"key", "inventory/docs/daily/data/1.csv.gz"},
             {"size", 2147},
             {"MD5checksum", "f11166069f1990abeb9c97ace9cdfabc"}}}}};
}

S3Result<InventoryManifest> read(const json& text) {
  const std::string dump = text.dump();
  return read_manifest(dump, hex(md5(dump)) + "\n", "docs");
}

std::string flaw(const json& text) {
  const auto result = read(text);
  return result.ok() ? "none" : result.error().code;
}

TEST(InventoryManifest, SaysWhatAndHowOld) {
  const auto result = read(manifest());
  ASSERT_TRUE(result.ok()) << result.error().describe();
  EXPECT_EQ(result->created, std::chrono::system_clock::time_point(milliseconds(1514944800000)));
  EXPECT_EQ(result->schema.columns, 5u);
  EXPECT_EQ(result->schema.etag, 4u);
  ASSERT_EQ(result->files.size(), 1u);
  EXPECT_EQ(result->files[0].size, 2147);
  EXPECT_EQ(hex(result->files[0].md5), "f11166069f1990abeb9c97ace9cdfabc");
  const auto versions = read(manifest(all_versions));
  ASSERT_TRUE(versions.ok());
  EXPECT_EQ(versions->schema.is_latest, 3u);
}

TEST(InventoryManifest, OfAnEmptyBucketHasNoFiles) {
  json text = manifest();
  text["files"] = json::array();
  text["creationTimestamp"] = 1514944800000;
  const auto result = read(text);
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(result->files.empty());
}

TEST(InventoryManifest, IsRefusedWithoutAnythingItNeeds) {
  const json well = manifest();
  for (const auto& item : well.items()) {
    if (item.key() == "destinationBucket" || item.key() == "version") continue;
    json text = well;
    text.erase(item.key());
    EXPECT_EQ(flaw(text), "InventoryMalformed") << item.key();
    for (const json& wrong : {json(), json(true), json::array({1}), json::object(), json("")}) {
      text[item.key()] = wrong;
      EXPECT_NE(flaw(text), "none") << item.key() << wrong;
    }
  }
  for (const char* const name : {"key", "size", "MD5checksum"}) {
    json text = well;
    text["files"][0].erase(name);
    EXPECT_EQ(flaw(text), "InventoryMalformed") << name;
    for (const json& wrong : {json(), json(-1), json(""), json("f11166069f1990abeb9c97ace9cdfab"), json::array()}) {
      if (name == std::string("key") && wrong.is_string() && wrong != "") continue;
      text["files"][0][name] = wrong;
      EXPECT_EQ(flaw(text), "InventoryMalformed") << name << wrong;
    }
  }
}

TEST(InventoryManifest, OfAnotherBucketOrFormIsRefused) {
  json text = manifest();
  text["sourceBucket"] = "docs2";
  EXPECT_EQ(flaw(text), "InventoryForeign");
  for (const char* const format : {"ORC", "Parquet"}) {
    text = manifest();
    text["fileFormat"] = format;
    text["fileSchema"] = "struct<bucket:string,key:string>";
    EXPECT_EQ(flaw(text), "InventoryFormat");
  }
}

TEST(InventoryManifest, ASchemaThatDoesNotTellTheObjectIsRefused) {
  for (const char* const schema :
       {"", "Key", "Bucket, Key, Size, LastModifiedDate", "Bucket, Key, ETag, LastModifiedDate",
        "Bucket, Key, Size, ETag", "Bucket, Size, LastModifiedDate, ETag", "Key, Key, Size, LastModifiedDate, ETag",
        "key, size, lastmodifieddate, etag", "Bucket, Key, VersionId, Size, LastModifiedDate, ETag",
        "Bucket, Key, VersionId, IsLatest, Size, LastModifiedDate, ETag"})
    EXPECT_EQ(flaw(manifest(schema)), "InventoryMalformed") << schema;
  EXPECT_EQ(flaw(manifest("ETag,Size,Key,StorageClass,LastModifiedDate")), "none");
}

TEST(InventoryManifest, TimesThatMakeNoSenseAreRefused) {
  for (const json& time : {json("yesterday"), json("1514944800"), json("15149448000000"), json("-1514944800000"),
                           json("1514944800000x"), json(1.5)}) {
    json text = manifest();
    text["creationTimestamp"] = time;
    EXPECT_EQ(flaw(text), "InventoryMalformed") << time;
  }
}

TEST(InventoryManifest, AFileIsNamedOnce) {
  json text = manifest();
  text["files"].push_back(text["files"][0]);
  EXPECT_EQ(flaw(text), "InventoryMalformed");
}

TEST(InventoryManifest, IsTheOneOfItsChecksum) {
  const std::string text = manifest().dump();
  EXPECT_TRUE(read_manifest(text, hex(md5(text)), "docs").ok());
  for (const std::string& checksum :
       {std::string(), std::string("x"), hex(md5(text + " ")), hex(md5(text)).substr(1)}) {
    const auto result = read_manifest(text, checksum, "docs");
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code, "InventoryDamaged");
  }
  for (std::size_t length = 0; length < text.size(); ++length) {
    const std::string cut = text.substr(0, length);
    EXPECT_FALSE(read_manifest(cut, hex(md5(cut)), "docs").ok()) << length;
  }
  EXPECT_EQ(checksum_key("a/2026-01-01T00-00Z/manifest.json"), "a/2026-01-01T00-00Z/manifest.checksum");
  EXPECT_EQ(checksum_key("a/manifest.txt"), std::nullopt);
}

// Files

struct Read {
  std::vector<ListedKey> keys;
  std::string flaw;  // its code; empty: whole
  std::size_t foreign = 0;
};

Read read_file(const std::string& bytes, InventoryFile file, const std::string& schema, const std::string& prefix = "",
               std::size_t piece = 1000, std::size_t at_once = 1000) {
  InventoryFileReader reader(read(manifest(schema))->schema, std::move(file), "docs", prefix,
                             parse_iso8601("2026-01-02T00:00:00Z"));
  Read result;
  std::size_t at = 0;
  for (;;) {
    const std::size_t before = result.keys.size();
    const auto step = reader.read(result.keys, at_once);
    EXPECT_LE(result.keys.size(), before + at_once + 1);
    if (step == InventoryFileReader::Step::flawed) {
      result.flaw = reader.flaw().code;
      break;
    }
    if (step == InventoryFileReader::Step::whole) break;
    if (step == InventoryFileReader::Step::keys) continue;
    if (at >= bytes.size()) {
      ADD_FAILURE() << "is hungry at the end";
      break;
    }
    reader.give(bytes.substr(at, piece));
    at += piece;
  }
  result.foreign = reader.foreign_keys();
  return result;
}

InventoryFile file_of(const std::string& bytes) { return {"data/1.csv.gz", std::ssize(bytes), md5(bytes)}; }

Read read_rows(const std::string& rows, const std::string& schema = current, const std::string& prefix = "") {
  const std::string bytes = gzip_of(rows);
  return read_file(bytes, file_of(bytes), schema, prefix);
}

std::string row(const std::string& key, const std::string& size = "7",
                const std::string& modified = "2026-01-01T00:00:00.000Z") {
  return "\"docs\",\"" + key + "\",\"" + size + "\",\"" + modified + "\",\"9bb58f26192e4ba00f01e2e7b136bbd8\"\n";
}

TEST(InventoryFile, TellsEachObject) {
  const auto result = read_rows(row("a") + row("b+c%2Fd%2B%C3%A9"));
  EXPECT_EQ(result.flaw, "");
  ASSERT_EQ(result.keys.size(), 2u);
  EXPECT_EQ(result.keys[1].key, "b c/d+\xc3\xa9");
  EXPECT_EQ(result.keys[0].size, 7);
  EXPECT_EQ(result.keys[0].etag, "9bb58f26192e4ba00f01e2e7b136bbd8");
  EXPECT_EQ(result.keys[0].age, milliseconds(24 * 3600 * 1000 - 1000));
}

TEST(InventoryFile, MayBeEmptyOrEndWithoutALineEnd) {
  EXPECT_EQ(read_rows("").flaw, "");
  const std::string rows = row("a");
  const auto result = read_rows(rows.substr(0, rows.size() - 1));
  EXPECT_EQ(result.flaw, "");
  EXPECT_EQ(result.keys.size(), 1u);
}

TEST(InventoryFile, OnlyTheLatestVersionsThatAreNoMarkersAreObjects) {
  const auto version = [](const char* key, const char* latest, const char* marker, const char* size) {
    return std::string("\"docs\",\"") + key + "\",\"v\",\"" + latest + "\",\"" + marker + "\",\"" + size +
           "\",\"2026-01-01T00:00:00.000Z\",\"e\"\n";
  };
  const auto result = read_rows(version("now", "true", "false", "1") + version("now", "false", "false", "2") +
                                    version("deleted", "true", "true", "") + version("deleted", "false", "false", "3"),
                                all_versions);
  EXPECT_EQ(result.flaw, "");
  ASSERT_EQ(result.keys.size(), 1u);
  EXPECT_EQ(result.keys[0].key, "now");
  EXPECT_EQ(result.keys[0].size, 1);
  EXPECT_EQ(read_rows(version("x", "", "false", "1"), all_versions).flaw, "InventoryMalformed");
  EXPECT_EQ(read_rows(version("x", "true", "no", "1"), all_versions).flaw, "InventoryMalformed");
}

TEST(InventoryFile, OnlyKeysBelowThePrefixCount) {
  const auto result =
      read_rows(row("images/a") + row("images2/b") + row("image") + row("images%2Fc"), current, "images/");
  ASSERT_EQ(result.keys.size(), 2u);
  EXPECT_EQ(result.keys[1].key, "images/c");
}

TEST(InventoryFile, KeysThatTheDatabaseCannotHoldAreCounted) {
  const auto result = read_rows(row("%FF") + row("a%00b") + row(std::string(1025, 'x')) + row("a"));
  EXPECT_EQ(result.flaw, "");
  EXPECT_EQ(result.keys.size(), 1u);
  EXPECT_EQ(result.foreign, 3u);
}

TEST(InventoryFile, ARowThatIsNoneEndsIt) {
  for (const std::string& bad :
       {row("a%2"), row("a%zz"), row(""), row("a", ""), row("a", "-1"), row("a", "1.5"),
        row("a", "99999999999999999999"), row("a", "1", "yesterday"), row("a", "1", ""),
        std::string("\"docs\",\"a\"\n"), std::string("\n"),
        std::string("\"other\",\"a\",\"1\",\"2026-01-01T00:00:00.000Z\",\"e\"\n"), std::string("\"docs\",\"a\n"),
        std::string("\"Bucket\",\"Key\",\"Size\",\"LastModifiedDate\",\"ETag\"\n"),
        std::string("\"docs\",\"a\",\"1\",\"2026-01-01T00:00:00.000Z\",\"e\",\"more\"\n")}) {
    EXPECT_EQ(read_rows(row("x") + bad).flaw, "InventoryMalformed") << bad;
    EXPECT_EQ(read_rows(bad + row("x")).flaw, "InventoryMalformed") << bad;
  }
}

TEST(InventoryFile, IsWhatTheManifestSays) {
  const std::string bytes = gzip_of(row("a") + row("b"));
  EXPECT_EQ(read_file(bytes, file_of(bytes), current).flaw, "");
  InventoryFile other = file_of(bytes);
  other.md5[3] ^= 1;
  EXPECT_EQ(read_file(bytes, other, current).flaw, "InventoryDamaged");
  other = file_of(bytes);
  --other.size;
  EXPECT_EQ(read_file(bytes, other, current).flaw, "InventoryDamaged");
  // Cut, though size and MD5 are of what is left.
  const std::string cut = bytes.substr(0, bytes.size() - 3);
  EXPECT_EQ(read_file(cut, file_of(cut), current).flaw, "InventoryDamaged");
  EXPECT_EQ(read_file("", file_of(""), current).flaw, "InventoryDamaged");
  const std::string plain = row("a");
  EXPECT_EQ(read_file(plain, file_of(plain), current).flaw, "InventoryDamaged");
}

TEST(InventoryFile, ManyKeysComeSomeAtATimeHoweverTheFileIsCut) {
  std::string rows;
  for (int i = 0; i < 5000; ++i) rows += row("k/" + std::to_string(i));
  const std::string bytes = gzip_of(rows);
  for (const std::size_t piece : {1, 17, 100'000}) {
    const auto result = read_file(bytes, file_of(bytes), current, "", piece, 100);
    EXPECT_EQ(result.flaw, "");
    EXPECT_EQ(result.keys.size(), 5000u) << piece;
  }
  // Of another prefix: passed over, and not all at once.
  EXPECT_EQ(read_file(bytes, file_of(bytes), current, "other/", 100'000, 10).keys.size(), 0u);
}

// The manifest's MD5 is that of the damaged file: so nothing but the reader itself is in the way. What it takes for whole has keys that could
// have been written so.
TEST(InventoryFile, NoDamageBringsItDown) {
  const char* const text = std::getenv("OBJECTLINK_SEED");
  const unsigned seed = text ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : std::random_device{}();
  RecordProperty("seed", static_cast<int>(seed));
  std::mt19937 chance(seed);
  const auto draw = [&chance](std::size_t max) { return std::uniform_int_distribution<std::size_t>(0, max)(chance); };
  const std::string well = row("a") + row("b%20c") + row("d");
  int whole = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string rows = well;
    for (std::size_t i = draw(3); i > 0 && !rows.empty(); --i) {
      const std::size_t at = draw(rows.size() - 1);
      switch (draw(3)) {
        case 0: rows[at] = static_cast<char>(draw(255)); break;
        case 1: rows.erase(at, draw(20)); break;
        case 2: rows.insert(at, 1, "\",\n%"[draw(3)]); break;
        default: rows.resize(at + 1);
      }
    }
    std::string bytes = gzip_of(rows);
    if (draw(2) == 0) bytes[draw(bytes.size() - 1)] ^= static_cast<char>(1 + draw(254));
    const auto result = read_file(bytes, file_of(bytes), current, "", 1 + draw(40), 1 + draw(3));
    whole += result.flaw.empty();
    for (const ListedKey& key : result.keys) ASSERT_TRUE(can_be_ours(key.key) && key.size >= 0) << "seed " << seed;
  }
  EXPECT_GT(whole, 300);
}

}  // namespace
}  // namespace objectlink
