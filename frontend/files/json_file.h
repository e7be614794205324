/* JSON documents that are files: read whole within a limit, then parsed by the strict reader. */
#ifndef EBRU_FRONTEND_FILES_JSON_FILE_H
#define EBRU_FRONTEND_FILES_JSON_FILE_H

#include "base/json/json.h"
#include "frontend/files/files.h"

/* Load a document from a path, or from a file of a model folder; `limits` may be NULL. Python wrote
 * the files of model folders: there, Infinity, -Infinity and NaN are numbers (python_numbers). NULL
 * after reporting. The document uses `d` (for reports and for the registered text) and must be freed
 * before it. */
base_json *fe_json_load(base_diag *d, const char *path, const base_json_limits *limits);
base_json *fe_json_load_in(base_diag *d, fe_dir *dir, const char *name,
                           const base_json_limits *limits);

#endif
