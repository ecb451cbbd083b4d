// The validator of the foreign-data wrapper objectlink: which options may CREATE and ALTER SERVER give?
#include "core/store_options.hpp"

#include "boundary.hpp"
#include "postgres.hpp"

#include <string>

namespace objectlink {

namespace {

int sqlstate_of(OptionFault fault) noexcept {
  switch (fault) {
    case OptionFault::unknown:
    case OptionFault::secret: return ERRCODE_FDW_INVALID_OPTION_NAME;
    case OptionFault::malformed: return ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE;
    case OptionFault::missing: return ERRCODE_FDW_OPTION_NAME_NOT_FOUND;
  }
  return ERRCODE_FDW_ERROR;
}

void report(Failure& failure, const OptionProblem& problem) {
  const bool bad_name = problem.fault == OptionFault::unknown || problem.fault == OptionFault::secret;
  failure.set(sqlstate_of(problem.fault),
              (bad_name ? "invalid option \"" : "invalid value for option \"") + problem.option + "\"", problem.detail,
              problem.hint);
}

// Options belong to servers alone; above all, a user mapping would show its secrets in logs and pg_stat_statements.
void refuse_option(Oid catalog, const char* name) {
  const bool mapping = catalog == UserMappingRelationId;
  ereport(
      ERROR, errcode(ERRCODE_FDW_INVALID_OPTION_NAME), errmsg("invalid option \"%s\"", name),
      mapping ? errdetail("User mappings of objectlink take no options.")
              : errdetail("Only servers of objectlink take options."),
      mapping
          ? errhint("Put secrets into a profile of the credentials file, and name that profile with the server option "
                    "\"credentials\".")
          : errhint("Set options with CREATE SERVER or ALTER SERVER."));
}

}  // namespace

OBJECTLINK_FUNCTION(server_options_validator) {
  List* const options = untransformRelOptions(PG_GETARG_DATUM(0));
  const Oid catalog = PG_GETARG_OID(1);

  Failure failure;
  ListCell* cell = nullptr;
  foreach (cell, options) {
    DefElem* const option = lfirst_node(DefElem, cell);
    if (catalog != ForeignServerRelationId) refuse_option(catalog, option->defname);
    const char* const value = defGetString(option);
    guarded(failure, [&](Failure& out) {
      StoreOptions read;
      if (const auto problem = set_store_option(read, {option->defname, value})) report(out, *problem);
    });
    raise_failure(failure);
  }
  PG_RETURN_VOID();
}

}  // namespace objectlink
