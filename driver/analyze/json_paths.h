/* From a place in a model's JSON files (line and column, as nodes keep it) to the path of the value
 * that stands there, e.g. "$.down_block_types[1]". Files are read when the first place in them is
 * asked for; what cannot be read (or is no JSON any more) has no paths, silently: the place alone
 * still tells where to look. */
#ifndef EBRU_DRIVER_ANALYZE_JSON_PATHS_H
#define EBRU_DRIVER_ANALYZE_JSON_PATHS_H

#include <stdint.h>

typedef struct drv_json_paths drv_json_paths;
drv_json_paths *drv_json_paths_new(void);
void drv_json_paths_free(drv_json_paths *p);
/* NULL when nothing stands there; lives with `p`. */
const char *drv_json_paths_path(drv_json_paths *p, const char *file, uint32_t line, uint32_t col);

#endif
